"""A scratch place for a simulated year: what arrives in it, and what its champions are truly worth."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from attrition_platform.population.scenario import (
    HORIZON_DAYS,
    Extract,
    Month,
    YearPlan,
    day_of,
    draw_outcomes,
    outcomes_arrive,
)
from attrition_platform.settings import Settings
from attrition_platform.stages.platform import Platform

if TYPE_CHECKING:
    from attrition_platform.ports import LedgerRecord

OPENS = clock_time(6)
POLICY_NAME = "simulated-year"
# Two trials per family find what four would, and seconds may not decide what is found.
_TUNING = "[tuning]\nseconds = 3600\ntrials = 2\nmedian_stopping_steps = 5\n"

Floats = NDArray[np.float64]


class SimulatedClock:
    """A clock that stands still until it is set; it never goes back."""

    def __init__(self) -> None:
        self._now = datetime.combine(day_of(0), OPENS, UTC)

    def __call__(self) -> datetime:
        """The time now, in UTC."""
        return self._now

    def forward(self, **wait: float) -> None:
        """Go on by ``minutes=``, ``hours=`` or ``days=``."""
        self._now += timedelta(**wait)

    def begin_month(self, number: int) -> None:
        """Go on to a month's first morning; a time that is later already stays."""
        self._now = max(self._now, datetime.combine(day_of(number), OPENS, UTC))


@dataclass(frozen=True)
class Worth:
    """What a model is worth to a cohort, by the chances that only the simulation knows.

    Attributes
    ----------
    roc_auc : float
        Expected over draws of who leaves; ideal is the chances' own (about 0.85), useless is 0.5.
    cost : float
        Expected cost per employee at the model's threshold, in the policy's units; ideal is what the
        chances themselves would cost.
    """

    roc_auc: float
    cost: float


def scratch_environment(folder: Path, n_threads: int) -> dict[str, str]:
    """Settings of a place below a folder, with nothing of the user's: no key, database or channel."""
    return {
        "ATTRITION_DATA": str(folder / "data"),
        "ATTRITION_KEY_FILE": str(folder / "key"),
        "ATTRITION_POLICY": str(folder / f"{POLICY_NAME}.toml"),
        "ATTRITION_THREADS": str(n_threads),
        "DAGSTER_HOME": str(folder / "dagster"),
    }


def open_scratch_place(folder: Path, plan: YearPlan, n_threads: int = 1) -> tuple[Platform, SimulatedClock]:
    """Make a place with a key and a policy of its own, which tells the time by a simulated clock.

    The key follows from the seed: pseudonyms order the rows, so another key would be another year. It
    keeps no secret, since nobody in the place exists.
    """
    environment = scratch_environment(folder, n_threads)
    for name in ("data/inbox", "data/outcomes", "dagster"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    key = folder / "key"
    key.write_text(hashlib.sha256(f"simulated year {plan.seed}".encode()).hexdigest(), encoding="ascii")
    key.chmod(0o600)
    (folder / f"{POLICY_NAME}.toml").write_text(policy_text(), encoding="utf-8")
    clock = SimulatedClock()
    return Platform(Settings.from_environment(environment), clock), clock


def policy_text() -> str:
    """The shipped policy with less tuning, and a horizon that is over when the outcomes arrive."""
    shipped = files("attrition_platform").joinpath("policies/responsible.toml").read_text(encoding="utf-8")
    sections = shipped.replace('name = "responsible"', f'name = "{POLICY_NAME}"').split("\n[")
    kept = [part for part in sections if not part.startswith("tuning]")]
    return "\n[".join(kept) + f"\n{_TUNING}\n[performance]\nhorizon_days = {HORIZON_DAYS}\n"


def drop_extract(platform: Platform, extract: Extract) -> None:
    """Put a file into the inbox."""
    _drop(platform.settings.inbox / extract.name, extract.rows.write_csv().encode())


def drop_outcomes(platform: Platform, plan: YearPlan, months: Sequence[Month], number: int) -> None:
    """Put the outcomes that arrive in a month into `outcomes/`."""
    for month in months:
        if month.number > 0 and outcomes_arrive(plan, month.number) == number:
            content = draw_outcomes(plan, month).write_csv().encode()
            _drop(platform.settings.data_dir / "outcomes" / f"of-month-{month.number:02}.csv", content)


def true_worth(platform: Platform, record: LedgerRecord, month: Month, valid: Path) -> Worth:
    """Say what a model is worth to a cohort.

    Parameters
    ----------
    record : LedgerRecord
        The model.
    valid : Path
        Parquet of the cohort's validated rows.
    """
    import polars as pl

    from attrition_platform.contracts.identity import pseudonyms
    from attrition_platform.scoring.judgement import SLACK
    from attrition_platform.stages.drift import score_rows
    from attrition_platform.stages.predicting import load_arm

    arm = load_arm(platform, record)
    of = month.truth.with_columns(
        pl.Series("pseudonym", pseudonyms(month.truth["employee_id"].to_list(), platform.key), pl.String)
    )
    scored = pl.read_parquet(valid, columns=["pseudonym"]).with_columns(score_rows(platform, valid, arm))
    judged = scored.join(of, on="pseudonym", maintain_order="left")
    chance, probability = judged["chance"].to_numpy(), judged["probability"].to_numpy()
    flagged = probability >= arm.threshold - SLACK
    rule = platform.policy.threshold
    cost = expected_cost(chance, flagged, rule.cost_false_alarm, rule.cost_missed_leaver)
    return Worth(round(expected_auc(chance, probability), 4), round(cost, 4))


def expected_auc(chance: Floats, score: Floats) -> float:
    """ROC AUC that a score has when each employee leaves with a known chance.

    Every pair counts with the chance that its first leaves and its second stays; ties count half.

    Parameters
    ----------
    chance, score : ndarray of shape (n_employees,)

    Returns
    -------
    float
        In [0, 1]; NaN where nobody can leave, or nobody can stay.

    Examples
    --------
    >>> expected_auc(np.array([1.0, 0.0, 1.0]), np.array([0.9, 0.1, 0.1]))
    0.75
    """
    _, group = np.unique(score, return_inverse=True)
    leaves = np.bincount(group, weights=chance)
    stays = np.bincount(group, weights=1 - chance)
    below = np.cumsum(stays) - stays
    # The pair of an employee with the same employee is no pair.
    own = float(np.sum(chance * (1 - chance)))
    pairs = float(leaves.sum() * stays.sum()) - own
    return float((leaves @ (below + stays / 2) - own / 2) / pairs) if pairs > 0 else float("nan")


def expected_cost(chance: Floats, flagged: NDArray[np.bool_], false_alarm: float, missed: float) -> float:
    """Expected cost per employee of some flags, when each employee leaves with a known chance.

    >>> expected_cost(np.array([0.9, 0.2]), np.array([True, False]), 1.0, 1.0)
    0.15
    """
    return float(np.mean(np.where(flagged, (1 - chance) * false_alarm, chance * missed)))


def newest_valid_rows(platform: Platform) -> Path | None:
    """Validated rows of the batch that came last; None where it was refused whole."""
    from attrition_platform.adapters.batches import list_batches
    from attrition_platform.stages.ingest import validate_one_batch

    batch = list_batches(platform.settings.data_dir, platform.contract.name)[-1]
    result = validate_one_batch(platform, batch, lambda _: None)
    return platform.file(result.files["valid.parquet"]) if "valid.parquet" in result.files else None


def _drop(file: Path, content: bytes) -> None:
    """Write a file that has stood still for a minute by the machine's own clock, which detectors ask."""
    file.write_bytes(content)
    then = time.time() - 60
    os.utime(file, (then, then))
