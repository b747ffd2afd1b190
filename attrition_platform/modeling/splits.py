"""Who is trained on, who selects, who verifies.

Sides follow the employee: the bucket (0..99) is a keyed hash of the employee id, so an employee
never moves between sides as data grows, and a champion is never tested on rows it was trained on.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from attrition_platform.contracts.model import Contract

if TYPE_CHECKING:
    from attrition_platform.modeling.policy import SmallDataRule

Side = Literal["train", "validation", "test"]
TRAIN_BELOW = 70
VALIDATION_BELOW = 85
TEST_SHARE = 0.15
N_FOLDS = 5
_HASHED_ROWS = 500_000


@dataclass(frozen=True)
class SplitManifest:
    """Who is on which side, in numbers, and the fingerprint of exactly that.

    Attributes
    ----------
    fingerprint : str
        sha256 over every labelled employee's pseudonym, side and label.
    rule : str
        The rule in words.
    cross_validated : bool
        Whether candidates are selected by cross-validation over train and validation.
    n_rows, n_positive : dict of str to int
        Labelled employees and leavers by side.
    n_unlabelled : int
        Employees without a label; they are only scored.
    n_without_side : int
        Labelled employees that an out-of-time contract can't place, because they have no date.
    """

    fingerprint: str
    rule: str
    cross_validated: bool
    n_rows: dict[str, int]
    n_positive: dict[str, int]
    n_unlabelled: int
    n_without_side: int = 0

    def facts(self) -> dict[str, Any]:
        """Plain values, with the share of leavers by side."""
        shares = {s: self.n_positive[s] / n if n else None for s, n in self.n_rows.items()}
        return asdict(self) | {"left_rate": shares}


def side_of(bucket: int) -> Side:
    """Side of a bucket: 70 in 100 train, 15 select, 15 verify.

    >>> [side_of(bucket) for bucket in (0, 69, 70, 84, 85, 99)]
    ['train', 'train', 'validation', 'validation', 'test', 'test']
    """
    return "train" if bucket < TRAIN_BELOW else "validation" if bucket < VALIDATION_BELOW else "test"


def fold_of(buckets: np.ndarray) -> np.ndarray:
    """Cross-validation fold (0..4) of each bucket.

    >>> fold_of(np.array([0, 6, 99])).tolist()
    [0, 1, 4]
    """
    return buckets.astype(np.int64) % N_FOLDS


def needs_cross_validation(n_rows: int, rule: SmallDataRule) -> bool:
    """Whether train and validation together are too few to select on one validation side."""
    return n_rows < rule.cross_validate_below_rows


def assign_sides(frame: pl.DataFrame, contract: Contract) -> pl.Series:
    """Give every labelled employee a side.

    Parameters
    ----------
    frame : DataFrame
        `split_bucket`, the label and, where the contract names one, the date column.
    contract : Contract
        With `out_of_time`, the newest 15 % of labelled rows by date are the test side, and the rest is
        shared by bucket between train and validation as 70 to 15. Days are never cut in two, so the
        test side is larger when many rows share its first day.

    Returns
    -------
    Series of str of shape (n_employees,)
        Null where there is no label, or no date while one is needed.
    """
    bucket = pl.col("split_bucket").cast(pl.Int64)
    by_hash = (
        pl.when(bucket < TRAIN_BELOW)
        .then(pl.lit("train"))
        .when(bucket < VALIDATION_BELOW)
        .then(pl.lit("validation"))
        .otherwise(pl.lit("test"))
    )
    labelled = pl.col(contract.label).is_not_null()
    if contract.out_of_time is None:
        return frame.select(pl.when(labelled).then(by_hash).alias("side"))["side"]
    date = contract.out_of_time
    dates = frame.filter(labelled & pl.col(date).is_not_null())[date]
    cut = dates.quantile(1.0 - TEST_SHARE, interpolation="higher") if dates.len() else None
    earlier = pl.when(bucket * VALIDATION_BELOW < TRAIN_BELOW * 100).then(pl.lit("train"))
    side = (
        pl.when(pl.col(date) >= pl.lit(cut))
        .then(pl.lit("test"))
        .otherwise(earlier.otherwise(pl.lit("validation")))
    )
    usable = labelled & pl.col(date).is_not_null()
    return frame.select(pl.when(usable).then(side).alias("side"))["side"]


def build_manifest(
    frame: pl.DataFrame, sides: pl.Series, contract: Contract, rule: SmallDataRule
) -> SplitManifest:
    """Count the sides and fingerprint them; arguments as in `assign_sides`, rows sorted by pseudonym."""
    label = frame[contract.label]
    rows = pl.DataFrame({"p": frame["pseudonym"], "s": sides, "y": label}).drop_nulls()
    n_rows = {s: int((sides == s).sum()) for s in ("train", "validation", "test")}
    n_positive = {s: int(label.filter(sides == s).sum()) for s in n_rows}
    known = n_rows["train"] + n_rows["validation"]
    words = (
        "70/15/15 by a keyed hash of the employee id"
        if contract.out_of_time is None
        else f"the newest 15 % by '{contract.out_of_time}' test, the rest 70:15 by a keyed hash of the id"
    )
    return SplitManifest(
        fingerprint=_fingerprint(rows.with_columns(pl.col("y").cast(pl.Int8).cast(pl.String))),
        rule=words,
        cross_validated=needs_cross_validation(known, rule),
        n_rows=n_rows,
        n_positive=n_positive,
        n_unlabelled=int(label.is_null().sum()),
        n_without_side=int((label.is_not_null() & sides.is_null()).sum()),
    )


def _fingerprint(rows: pl.DataFrame) -> str:
    """Hash text columns value by value, a slice at a time so that memory stays small."""
    hashers = [hashlib.sha256() for _ in rows.columns]
    for part in rows.iter_slices(_HASHED_ROWS):
        for hasher, name in zip(hashers, rows.columns, strict=True):
            hasher.update(f"{part[name].str.join(chr(10))[0]}\n".encode())
    return hashlib.sha256("".join(hasher.hexdigest() for hasher in hashers).encode()).hexdigest()
