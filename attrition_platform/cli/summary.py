"""What `attrition train` says at the end: what happened, in plain words, and what to try next."""

from __future__ import annotations

import click

from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.cli.show import show_gates, show_metrics, show_table
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release import missing_approvals, release_state
from attrition_platform.stages.views import newest

_TIMED = (
    "validated_employees",
    "split_manifest",
    "leaderboard",
    "challenger",
    "fairness_audit",
    "frontier",
    "promotion_decision",
    "model_card",
)


def print_summary(platform: Platform) -> None:
    """Print rows in, candidates, metrics, gates, the champion and how long each stage took."""
    from attrition_platform.modeling.families import FAMILIES

    raw, validated, quarantined = (
        newest(platform, name) for name in ("raw_employees", "validated_employees", "quarantined_employees")
    )
    challenger, decision = newest(platform, "challenger"), newest(platform, "promotion_decision")
    candidates = {family: newest(platform, f"candidates/{family}") for family in FAMILIES}
    click.echo("")
    _print_rows(raw, validated, quarantined)
    rows = [
        [
            family,
            result.facts["best"]["roc_auc"],
            result.facts["best"]["recall"],
            len(result.facts["trials"]),
            sum(trial["pruned"] for trial in result.facts["trials"]),
            _took(result),
        ]
        for family, result in candidates.items()
    ]
    show_table(
        ["candidate", "ROC AUC", "recall", "trials", "pruned", "took"],
        rows,
        title="Candidates, scored on validation",
    )
    show_metrics(challenger.facts["evaluation"]["metrics"])
    show_gates(decision.facts["gates"], reasons=False)
    stages = [[name, _took(newest(platform, name))] for name in _TIMED]
    show_table(["stage", "took"], stages)
    _print_outcome(platform, challenger, decision)
    click.echo(
        "Try next: `make ui` for the lineage and the plots, `.venv/bin/attrition champion`, "
        "`.venv/bin/attrition decision`, `.venv/bin/attrition leaderboard`."
    )


def _print_rows(raw: StepResult, validated: StepResult, quarantined: StepResult) -> None:
    generated = all(batch["origin"] == "generated" for batch in raw.facts["batches"])
    origin = "generated employees who do not exist" if generated else "extracts from the inbox"
    received = quarantined.facts["n_received"]
    click.echo(
        f"Rows: {received:,} received ({origin}), {quarantined.facts['n_rows']:,} quarantined, "
        f"{validated.facts['n_rows']:,} employees, {validated.facts['n_labelled']:,} with a known outcome."
    )
    for refusal in raw.measured["refused"]:
        click.echo(f"Refused: '{refusal['name']}' ({refusal['reason']}). {refusal['detail']}")


def _print_outcome(platform: Platform, challenger: StepResult, decision: StepResult) -> None:
    facts = decision.facts
    version = facts["version"]
    champion = platform.ledger.champion()
    if facts["outcome"] == "promoted":
        _print_release(platform, version, challenger.facts["family"])
    elif facts["outcome"] == "unchanged":
        click.echo(f"Champion: {version}, unchanged: the same data and code made the same model.")
    else:
        blockers = [gate["reason"] for gate in facts["gates"] if gate["enforced"] and not gate["passed"]]
        click.echo(f"Blocked: {version}. " + "; ".join(blockers) + ".")
        click.echo(f"Champion: {champion.version if champion else 'none yet'}.")


def _print_release(platform: Platform, version: str, family: str) -> None:
    """Say where a challenger that passed every gate stands: not each one serves at once."""
    state = release_state(platform.ledger.records())
    stable = "none yet" if state.stable is None else state.stable.version
    if stable == version:
        click.echo(f"Champion: {version} ({family}), promoted by this run.")
        return
    if state.canary is not None and state.canary.version == version:
        click.echo(f"Canary: {version} ({family}); `.venv/bin/attrition canary status` follows it.")
    elif state.waiting is not None and state.waiting.version == version:
        click.echo(f"Waiting: {version} ({family}) passed every gate and is not released yet.")
        click.echo(f"  Approvals that it needs: {missing_approvals(platform, state)} more. Each person runs")
        click.echo(f"  .venv/bin/attrition approve {version} --by NAME --reason TEXT")
    else:
        click.echo(f"Not released: {version} ({family}); the lines under 'champion' above say why.")
    click.echo(f"Champion: {stable}, still.")


def _took(result: StepResult) -> str:
    seconds = result.measured.get("seconds")
    if result.reused:
        return "reused"
    return "-" if seconds is None else f"{seconds:.1f} s"
