"""Evidently's data drift report: the page that a person opens, and the statistics to compare ours with.

Evidently takes four seconds to import and 50 MB of rows to plot, so it is loaded only when somebody asks.
What it raises on (empty columns, missing ones) or draws as NaN (constant ones) is left out and said so.

The page holds no employee: no ids, no protected columns, no category that too few people carry, and each
point of its line charts is the mean of at least `min_named_rows` shuffled rows. On either side, no number
lies beyond the smallest and the largest one that so many people reach: what does is drawn there, so that the
ends of a histogram are nobody's own. It loads nothing from the network: a content security policy in it
forbids that, and no category's name can end a script.
"""

from __future__ import annotations

import html
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrition_platform.contracts.model import FEATURE_KINDS, NUMERIC_KINDS, Contract
from attrition_platform.monitoring.customary_statistics import CustomaryVerdict, Method
from attrition_platform.monitoring.summary import ColumnKind

if TYPE_CHECKING:
    import polars as pl

MAX_ROWS: Final = 50_000
MAX_CATEGORIES: Final = 50
OTHERS: Final = "(others)"
LESS_THAN: Final = "\u2039"  # what a name shows for "<", which could end a script
SEED: Final = 7

_METHODS: Final[dict[str, Method]] = {
    "K-S p_value": "ks",
    "chi-square p_value": "chisquare",
    "Z-test p_value": "z",
    "Wasserstein distance (normed)": "wasserstein",
    "Jensen-Shannon distance": "jensenshannon",
    "PSI": "psi",
}
_POLICY: Final = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:; base-uri 'none'; form-action 'none'\">"
)


@dataclass(frozen=True)
class ReportPage:
    """What a page shows.

    Attributes
    ----------
    path : Path
    columns : tuple of str
        On the page.
    left_out : dict of str to str
        Why another column is not on it, in words.
    n_reference, n_current : int
        Rows that it was drawn from.
    """

    path: Path
    columns: tuple[str, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    n_reference: int = 0
    n_current: int = 0


def write_report(
    reference: pl.DataFrame,
    current: pl.DataFrame,
    columns: Sequence[str],
    out: Path,
    *,
    contract: Contract,
    prediction: str | None = None,
    min_named_rows: int = 10,
) -> ReportPage:
    """Write the HTML of Evidently's data drift preset.

    Parameters
    ----------
    reference, current : DataFrame
        Validated rows or text cells, by canonical name; more columns than asked for do no harm.
    columns : sequence of str
        Canonical names. Ids, protected columns, the label and what the contract does not know are left out.
    out : Path
        Appears whole or not at all.
    prediction : str or None
        Name of a column of probabilities that both frames have.
    min_named_rows : int
        Categories that the contract does not declare and fewer rows carry are shown together, and numbers
        that fewer rows reach are drawn at the first one that so many do.

    Returns
    -------
    ReportPage
        Larger frames are sampled to `MAX_ROWS` rows each, always the same ones.
    """
    left_out: dict[str, str] = {}
    kinds = {name: kind for name in columns if (kind := _shown_as(name, contract, left_out)) is not None}
    if prediction is not None:
        kinds[prediction] = "number"
    frames = [_drawn(frame, kinds) for frame in (reference, current)]
    shown = _comparable(frames, kinds, min_named_rows, left_out)
    for name, kind in list(shown.items()):
        if kind == "category":
            declared = contract.columns[name].values
            frames = _without_rare(frames, name, declared, min_named_rows)
        elif (clipped := _without_ends(frames, name, min_named_rows)) is not None:
            frames = clipped
        else:
            left_out[name] = "all but a few rows have one and the same value"
            del shown[name]
    page = ReportPage(out, tuple(shown), left_out, frames[0].height, frames[1].height)
    text = _empty_page()
    if shown:
        text = _run(frames, shown, min_named_rows).get_html_str(as_iframe=False)
    sizes = [(reference.height, frames[0].height), (current.height, frames[1].height)]
    _write_whole(out, _with_notes(text, page, sizes))
    return page


def evidently_statistics(
    reference: pl.DataFrame, current: pl.DataFrame, kinds: Mapping[str, ColumnKind]
) -> dict[str, CustomaryVerdict]:
    """What Evidently's preset says of each column by its defaults, from all rows.

    Parameters
    ----------
    kinds : mapping of str to {"number", "category"}
        How each column counts.

    Returns
    -------
    dict of str to CustomaryVerdict
        Without columns on which Evidently raises.
    """
    frames = [_typed(frame, kinds) for frame in (reference, current)]
    shown = _comparable(frames, kinds, 1, {}, constant_too=True)
    if not shown:
        return {}
    snapshot = _run(frames, shown, 1)
    found: dict[str, CustomaryVerdict] = {}
    for metric in snapshot.dict()["metrics"]:
        config = metric["config"]
        if "column" in config:
            method, value = _METHODS[config["method"]], float(metric["value"])
            limit = float(config["threshold"])
            is_chance = method in ("ks", "chisquare", "z")
            # As each of its functions compares: Kolmogorov-Smirnov alone counts a tie as drift.
            drifted = (value < limit or (method == "ks" and value == limit)) if is_chance else value >= limit
            found[config["column"]] = CustomaryVerdict(method, value, drifted)
    return found


def _shown_as(name: str, contract: Contract, left_out: dict[str, str]) -> ColumnKind | None:
    column = contract.columns.get(name)
    if column is None or column.kind not in FEATURE_KINDS:
        left_out[name] = "it is no feature of the contract"
        return None
    if column.protected:
        left_out[name] = "it is protected, and only the audit reads it"
        return None
    return "number" if column.kind in (*NUMERIC_KINDS, "date") else "category"


def _drawn(frame: pl.DataFrame, kinds: Mapping[str, ColumnKind]) -> pl.DataFrame:
    """Shuffled, so that a place in the page says nothing about a place in the file."""
    return _typed(frame.sample(min(frame.height, MAX_ROWS), shuffle=True, seed=SEED), kinds)


def _typed(frame: pl.DataFrame, kinds: Mapping[str, ColumnKind]) -> pl.DataFrame:
    """Finite floats and texts only: Evidently raises on nullable integers."""
    import polars as pl

    found = []
    for name, kind in kinds.items():
        if name not in frame.columns:
            continue
        cells = frame[name]
        if kind == "category":
            found.append(cells.cast(pl.String, strict=False))
            continue
        if cells.dtype == pl.String and cells.str.contains(r"^\d{4}-\d{2}-\d{2}$").any():
            cells = cells.str.to_date("%Y-%m-%d", strict=False)
        if cells.dtype.is_temporal():
            cells = cells.cast(pl.Date).cast(pl.Int32)
        values = (
            cells.cast(pl.String).cast(pl.Float64, strict=False)
            if _is_text(cells)
            else cells.cast(pl.Float64)
        )
        found.append(pl.select(pl.when(values.is_finite()).then(values).alias(name)).to_series())
    return pl.DataFrame(found) if found else pl.DataFrame()


def _is_text(cells: pl.Series) -> bool:
    import polars as pl

    return cells.dtype in (pl.String, pl.Categorical, pl.Enum)


def _comparable(
    frames: Sequence[pl.DataFrame],
    kinds: Mapping[str, ColumnKind],
    min_rows: int,
    left_out: dict[str, str],
    *,
    constant_too: bool = False,
) -> dict[str, ColumnKind]:
    """Columns that Evidently can compare; says of the others why not."""
    shown: dict[str, ColumnKind] = {}
    for name, kind in kinds.items():
        absent = [side for side, frame in zip(_SIDES, frames, strict=True) if name not in frame.columns]
        if absent:
            left_out[name] = f"it is missing in {' and '.join(absent)}"
            continue
        cells = [frame[name].drop_nulls() for frame in frames]
        few = [side for side, c in zip(_SIDES, cells, strict=True) if c.len() < max(min_rows, 2)]
        distinct = {value for c in cells for value in c.unique().head(2)}
        if few:
            left_out[name] = f"it has too few values in {' and '.join(few)}"
        elif len(distinct) == 1 and not constant_too:
            left_out[name] = "it has one and the same value everywhere"
        else:
            shown[name] = kind
    return shown


_SIDES: Final = ("the reference", "the window")


def _without_ends(frames: Sequence[pl.DataFrame], name: str, min_rows: int) -> list[pl.DataFrame] | None:
    """Draw what lies beyond the smallest and the largest value that enough rows of its side reach at it.

    Evidently gives each side a histogram of its own, so that each has its own ends. None where one and the
    same value is left.
    """
    import polars as pl

    ends, clipped = set(), []
    for frame in frames:
        values = frame[name].drop_nulls().sort()
        # Fewer than twice as many rows leave nothing but the one in the middle.
        first = min(min_rows, values.len() // 2 + 1) - 1
        low, high = values[first], values[max(-min_rows, first - values.len())]
        ends |= {low, high}
        clipped.append(frame.with_columns(pl.col(name).clip(low, high)))
    return clipped if len(ends) > 1 else None


def _without_rare(
    frames: Sequence[pl.DataFrame], name: str, declared: Sequence[str], min_rows: int
) -> list[pl.DataFrame]:
    """Throw categories together that few people carry, and all after the most frequent ones.

    Evidently writes names into its scripts as they are.
    """
    import polars as pl

    counts = pl.concat([frame[name] for frame in frames]).drop_nulls().value_counts(sort=True, name="n")
    counts = counts.sort("n", name, descending=[True, False])
    kept = counts.filter((pl.col("n") >= min_rows) | pl.col(name).is_in(list(declared)))[name]
    names = kept.head(MAX_CATEGORIES).to_list()
    cells = pl.col(name)
    shown = pl.when(cells.is_in(names) | cells.is_null()).then(cells).otherwise(pl.lit(OTHERS))
    safe = shown.str.replace_all("<", LESS_THAN, literal=True)
    return [frame.with_columns(safe.alias(name)) for frame in frames]


def _as_pandas(frame: pl.DataFrame, rows_per_point: int) -> Any:
    """Evidently's line charts show means by index, so that rows which share one make a point."""
    import pandas as pd

    rows = pd.DataFrame({name: frame[name].to_numpy() for name in frame.columns})
    last = max(frame.height // rows_per_point - 1, 0)
    rows.index = pd.Index([min(i // rows_per_point, last) for i in range(frame.height)])
    return rows


def _run(frames: Sequence[pl.DataFrame], kinds: Mapping[str, ColumnKind], rows_per_point: int) -> Any:
    from evidently import DataDefinition, Dataset, Report  # type: ignore[import-untyped]
    from evidently.presets import DataDriftPreset  # type: ignore[import-untyped]

    definition = DataDefinition(
        numerical_columns=[name for name, kind in kinds.items() if kind == "number"],
        categorical_columns=[name for name, kind in kinds.items() if kind == "category"],
    )
    before, now = (
        Dataset.from_pandas(_as_pandas(frame.select(list(kinds)), rows_per_point), data_definition=definition)
        for frame in frames
    )
    return Report([DataDriftPreset(columns=list(kinds))]).run(now, before)


def _empty_page() -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="UTF-8"><title>Drift</title></head>'
        "<body><p>No column can be compared.</p></body></html>"
    )


def _with_notes(text: str, page: ReportPage, sizes: Sequence[tuple[int, int]]) -> str:
    """Forbid the network, and say above the report what it does not show."""
    notes = [
        f"{side.capitalize()} has {n_rows:,} rows; {n_drawn:,} of them, drawn by chance, are shown."
        for side, (n_rows, n_drawn) in zip(_SIDES, sizes, strict=True)
        if n_drawn < n_rows
    ]
    notes += [f"Column {name} is left out: {why}." for name, why in page.left_out.items()]
    notes.append(
        "The smallest and largest few numbers of each column are drawn at the next one, so that the ends "
        "of a chart are no single person's."
    )
    notes.append(
        "These are Evidently's customary statistics and limits. What raises an alarm is decided by the "
        "platform's own tests, see drift_report."
    )
    listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    text = text.replace("<head>", f"<head>{_POLICY}", 1)
    return text.replace("<body>", f'<body><ul style="font-family: sans-serif">{listed}</ul>', 1)


def _write_whole(out: Path, text: str) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(out)
    finally:
        Path(name).unlink(missing_ok=True)
