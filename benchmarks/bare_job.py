"""The main job's work as one bare script: the same functions, no Dagster and no MLflow.

``python -m benchmarks.bare_job`` reads the same settings as the job and does what it does, stage by
stage: ingest, checks, features, splits, tuning, refit, evaluation, plots, audit, frontier, decision,
card. What is left out is the orchestrator's events and the tracking of trials.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from attrition_platform.modeling.families import FAMILIES
from attrition_platform.settings import Settings
from attrition_platform.stages import (
    candidates,
    challenger,
    champion,
    checks,
    features,
    governance,
    ingest,
    splits,
)
from attrition_platform.stages.card import write_card
from attrition_platform.stages.platform import Platform


class _NoTracking:
    """Takes what a registry takes and keeps nothing."""

    run_id = "none"

    @contextmanager
    def run(self, *_: object) -> Iterator[_NoTracking]:
        yield self

    def __getattr__(self, _: str) -> Any:
        return lambda *args, **kwargs: "0"


def main() -> None:
    """Do the work once."""
    platform = Platform(Settings.from_environment())
    platform.__dict__["registry"] = _NoTracking()
    tell = click.echo
    raw = ingest.take_in(platform, tell)
    validated, quarantined = ingest.validate(platform, raw, tell)
    checks.contract_is_kept(platform, validated)
    checks.employees_are_unique(platform, validated)
    protected = ingest.separate_protected(platform, validated)
    groups = {name: features.compute_features(platform, validated, name) for name in platform.contract.groups}
    manifest, sides = splits.split(platform, validated, groups)
    checks.look_for_suspicious_features(platform, sides["train"], protected)
    checks.splits_do_not_overlap(platform, sides)
    known = {side: sides[side] for side in ("train", "validation")}
    tuned = {family: candidates.tune_candidate(platform, family, known, {}, tell) for family in FAMILIES}
    leaderboard = candidates.rank_candidates(platform, tuned)
    found = challenger.build_challenger(platform, leaderboard, sides, {}, "bare", tell)
    audit = governance.audit_fairness(platform, found, protected)
    frontier = governance.draw_frontier(platform, found, known, groups, protected, tell)
    decision = champion.decide_promotion(platform, found, audit, sides["test"], groups, None, tell)
    crowned = champion.crown(platform, found, decision, validated, {}, "bare", tell)
    write_card(
        platform,
        {
            "champion": crowned,
            "challenger": found,
            "promotion_decision": decision,
            "fairness_audit": audit,
            "frontier": frontier,
            "split_manifest": manifest,
            "validated_employees": validated,
            "quarantined_employees": quarantined,
            "raw_employees": raw,
        },
    )


if __name__ == "__main__":
    main()
