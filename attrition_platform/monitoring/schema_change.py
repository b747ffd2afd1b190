"""Name what has changed in the shape of the data: columns, categories, units, spellings.

Such a change is no drift of the people: its cause is a system or a form, and so is its cure. Each kind has
its own name and says in words what to do. What is judged is counts; the only cells that a text quotes are
names of categories that enough rows carry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, get_args

from attrition_platform.contracts.model import NUMERIC_KINDS, Column, Contract
from attrition_platform.contracts.one_value import limits
from attrition_platform.contracts.rows import category_matcher, why_no_category
from attrition_platform.monitoring.summary import ColumnCounts, FrameSummary
from attrition_platform.monitoring.unit_change import find_unit_change

ChangeKind = Literal["unit-change", "missing-column", "new-column", "new-category", "format-change"]

MIN_FORMAT_SHARE: Final = 0.01  # of the rows, above what is usual
MAX_NAMED: Final = 10
LONGEST_NAME: Final = 60


@dataclass(frozen=True)
class SchemaChange:
    """One thing about the data's shape that is not as it was.

    Attributes
    ----------
    kind : ChangeKind
    column : str
        Canonical name; of a new column its header cell.
    text : str
        What changed and what to do.
    numbers : dict of str to float
        Facts: ``n_rows``, ``n_categories``, ``share`` (of the window's rows, in [0, 1]), ``factor``,
        ``distance_before`` and ``distance_after``, each where the kind has it.
    names : tuple of str
        Categories that the text names.
    blocks_scoring : bool
        Scores of such rows would be wrong, so none may be made.
    """

    kind: ChangeKind
    column: str
    text: str
    numbers: dict[str, float] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    blocks_scoring: bool = False

    def as_json(self) -> dict[str, Any]:
        """JSON values, for an asset's facts."""
        return asdict(self) | {"names": list(self.names)}


def find_schema_changes(
    contract: Contract,
    reference: FrameSummary,
    window: FrameSummary,
    *,
    extra: Sequence[str] = (),
    n_normalised: Mapping[str, int] | None = None,
    usual_normalised: Mapping[str, float] | None = None,
    min_named_rows: int = 10,
) -> tuple[SchemaChange, ...]:
    """List everything about a window's shape that differs from the reference and the contract.

    Parameters
    ----------
    reference, window : FrameSummary
        What the champion was made from, and the window's cells as they came: in validated rows an unseen
        category or a number out of range would be gone. What is as usual in the reference is no change,
        so it should be of cells as they came too.
    extra : sequence of str
        Header cells that the contract does not know.
    n_normalised : mapping of str to int
        Cells of the window whose spelling was unified, by column.
    usual_normalised : mapping of str to float
        Share of rows for which that is usual, by column; 0 where nothing is said.
    min_named_rows : int
        A category is named, and counts at all, where at least so many rows carry it.

    Returns
    -------
    tuple of SchemaChange
        In the order of `ChangeKind`, then of the contract.

    Examples
    --------
    >>> from attrition_platform.contracts.toml_file import shipped_contract
    >>> seen = FrameSummary(200, {"remote_work": ColumnCounts("category", ("No", "Yes"), (160, 40))})
    >>> now = FrameSummary(100, {"remote_work": ColumnCounts("category", ("Hybrid", "No"), (30, 70))})
    >>> [change] = find_schema_changes(shipped_contract(), seen, now)
    >>> change.kind, change.names, change.numbers["share"]
    ('new-category', ('Hybrid',), 0.3)
    """
    found = [*_new_columns(extra)]
    usual = usual_normalised or {}
    for name, column in contract.columns.items():
        before, now = reference.columns.get(name), window.columns.get(name)
        n_unified = (n_normalised or {}).get(name, 0)
        found += _unified(name, n_unified, usual.get(name, 0.0), window.n_rows, min_named_rows)
        if before is None:
            continue
        if now is None or (now.n_values == 0 < before.n_values and now.n_unreadable == 0):
            found += _missing(name, column, window.n_rows, is_there=now is not None)
        elif now.kind == before.kind == "category":
            found += _new_categories(name, column, contract, before, now, min_named_rows)
        elif now.kind == before.kind == "number":
            found += _unit_changes(name, column, before, now)
            found += _unreadable(name, column, before, now, min_named_rows)
    order = get_args(ChangeKind)
    return tuple(sorted(found, key=lambda change: order.index(change.kind)))


def unit_hint(contract: Contract, reference: FrameSummary, window: FrameSummary) -> tuple[SchemaChange, ...]:
    """Say which units have changed in a file that was refused because its numbers are out of range.

    Parameters
    ----------
    window : FrameSummary
        The file's cells as they came, some ten thousand rows of them at least where it has so many.

    Returns
    -------
    tuple of SchemaChange
        Only of kind ``unit-change``; empty where no change of a unit explains the numbers.
    """
    found: list[SchemaChange] = []
    for name, column in contract.columns.items():
        before, now = reference.columns.get(name), window.columns.get(name)
        if before is not None and now is not None:
            found += _unit_changes(name, column, before, now)
    return tuple(found)


def _new_columns(extra: Sequence[str]) -> list[SchemaChange]:
    named = [cell for cell in extra if _may_be_named(cell)][:MAX_NAMED]
    found = [
        SchemaChange(
            "new-column",
            cell,
            f"The file has a column '{cell}' that the contract does not know; nothing reads it. If it says "
            "something about who leaves, describe it in the contract and train again.",
        )
        for cell in named
    ]
    n_more = len(extra) - len(named)
    if n_more:
        text = (
            f"The file has {n_more} further columns that the contract does not know; nothing reads them. "
            "Look at its header, and describe in the contract what is worth reading."
        )
        found.append(SchemaChange("new-column", "further columns", text, {"n_columns": n_more}))
    return found


def _missing(name: str, column: Column, n_rows: int, *, is_there: bool) -> list[SchemaChange]:
    if n_rows == 0:
        return []
    what = "is there, but not one cell of it has a value" if is_there else "is gone"
    text = (
        f"Column '{column.source}' ({name}) {what}, and the champion reads it. Have the export corrected; if "
        "the column is gone for good, take it out of the contract and train again."
    )
    return [SchemaChange("missing-column", name, text, {"n_rows": n_rows}, blocks_scoring=True)]


def _new_categories(
    name: str,
    column: Column,
    contract: Contract,
    before: ColumnCounts,
    now: ColumnCounts,
    min_rows: int,
) -> list[SchemaChange]:
    seen = set(before.values)
    rows = {value: n for value, n in _by_category(now).items() if value not in seen}
    known = {_folded(value) for value in column.values}
    known.update(_folded(str(value)) for value in before.values)
    respelled = {value for value in rows if value not in column.values and _folded(value) in known}
    found = []
    n_respelled = sum(rows.pop(value) for value in respelled)
    if n_respelled >= min_rows and n_respelled >= MIN_FORMAT_SHARE * now.n_rows:
        share = n_respelled / now.n_rows
        text = (
            f"{share:.1%} of the cells of '{name}' ({n_respelled} rows) are known categories in another "
            "spelling (capitals, blanks, hyphens or apostrophes), so these rows are set aside. Correct the "
            "export, or allow the spelling in the contract's [normalise]."
        )
        numbers = {"n_rows": n_respelled, "share": share}
        found.append(SchemaChange("format-change", name, text, numbers))
    match = category_matcher(column, contract.normalise)

    def is_allowed(value: str) -> bool:
        return value in column.values or bool(match(value))

    found += _more_foreign(name, is_allowed, before, now, min_rows)
    n_new = sum(rows.values())
    if n_new < min_rows:
        return found
    named = [value for value, n in rows.items() if n >= min_rows and _may_be_named(value)]
    named = sorted(named, key=lambda value: (-rows[value], value))[:MAX_NAMED]
    listed = ", ".join(f"'{value}' ({rows[value]} rows)" for value in named)
    n_unnamed = len(rows) - len(named)
    rest = f"{n_unnamed} that can't be named here" if n_unnamed else ""
    advice = (
        "The contract allows it, but the champion has never seen it: train again."
        if all(map(is_allowed, rows))
        else "If it is meant, add it to the contract's values and train again; else correct the export."
    )
    text = (
        f"{n_new / now.n_rows:.1%} of the rows have a category of '{name}' that training never saw: "
        f"{' and '.join(filter(None, (listed, rest)))}. {advice}"
    )
    numbers = {"n_rows": n_new, "share": n_new / now.n_rows, "n_categories": len(rows)}
    return [*found, SchemaChange("new-category", name, text, numbers, tuple(named))]


def _more_foreign(
    name: str, is_allowed: Callable[[str], bool], before: ColumnCounts, now: ColumnCounts, min_rows: int
) -> list[SchemaChange]:
    """Categories that the contract does not have and that came before: named where there are more of them."""
    usual = {v: n for v, n in _by_category(before).items() if not is_allowed(v)}
    rows = {value: n for value, n in _by_category(now).items() if value in usual}
    n_rows, share = sum(rows.values()), sum(rows.values()) / now.n_rows
    share_before = sum(usual.values()) / before.n_rows
    if n_rows < min_rows or not share - share_before >= MIN_FORMAT_SHARE:
        return []
    named = sorted((v for v, n in rows.items() if n >= min_rows and _may_be_named(v)), key=lambda v: -rows[v])
    listed = ", ".join(f"'{value}' ({rows[value]} rows)" for value in named[:MAX_NAMED])
    text = (
        f"{share:.1%} of the rows have a category of '{name}' that the contract does not allow"
        f"{f': {listed}' if listed else ''}; in the files of training {share_before:.1%} had. These rows are "
        "set aside. Add the category to the contract's values and train again, or correct the export."
    )
    numbers = {"n_rows": n_rows, "share": share, "n_categories": len(rows)}
    return [SchemaChange("new-category", name, text, numbers, tuple(named[:MAX_NAMED]))]


def _by_category(counts: ColumnCounts) -> dict[str, int]:
    return {str(value): n for value, n in zip(counts.values, counts.counts, strict=True)}


def _unit_changes(name: str, column: Column, before: ColumnCounts, now: ColumnCounts) -> list[SchemaChange]:
    change = find_unit_change(name, column, _allowed_numbers(column, before), now)
    if change is None:
        return []
    factor = f"{change.factor:.4g}" if change.factor >= 1 else f"1/{1 / change.factor:.4g}"
    stated = f" The contract says '{column.unit}'." if column.unit else ""
    text = (
        f"'{name}' looks like {change.looks_like}: its values are distributed as those of training times "
        f"{factor}.{stated} Have the export corrected; if the new unit is meant to stay, say so in the "
        "contract and convert the old files."
    )
    numbers = {
        "factor": change.factor,
        "distance_before": change.distance_before,
        "distance_after": change.distance_after,
    }
    return [SchemaChange("unit-change", name, text, numbers, blocks_scoring=True)]


def _allowed_numbers(column: Column, counts: ColumnCounts) -> ColumnCounts:
    """What training could read: a few typos of many digits would hide how large the others are."""
    low, high = limits(column)
    rows = zip(counts.numbers.tolist(), counts.counts, strict=True)
    inside = [(value, n) for value, n in rows if low <= value <= high]
    return ColumnCounts("number", tuple(v for v, _ in inside), tuple(n for _, n in inside))


def _unified(name: str, n_unified: int, usual: float, n_rows: int, min_rows: int) -> list[SchemaChange]:
    if n_rows == 0 or n_unified < min_rows or not n_unified / n_rows - usual >= MIN_FORMAT_SHARE:
        return []
    share = n_unified / n_rows
    text = (
        f"{share:.1%} of the cells of '{name}' ({n_unified} rows) are spelled otherwise than the contract "
        "has them (such as straight instead of curly apostrophes, or blanks around them). They were read as "
        "what they mean, so nothing needs to be done for this file; tell whoever exports it."
    )
    return [SchemaChange("format-change", name, text, {"n_rows": n_unified, "share": share})]


def _unreadable(
    name: str, column: Column, before: ColumnCounts, now: ColumnCounts, min_rows: int
) -> list[SchemaChange]:
    if now.n_rows == 0 or now.n_unreadable < min_rows:
        return []
    share, usual = now.n_unreadable / now.n_rows, before.n_unreadable / max(before.n_rows, 1)
    if not share - usual >= MIN_FORMAT_SHARE:
        return []
    expected = "numbers" if column.kind in NUMERIC_KINDS else "dates like 2026-01-31"
    text = (
        f"{share:.1%} of the cells of '{name}' ({now.n_unreadable} rows) can't be read as {expected}, so "
        "these rows are set aside. Look for another decimal or thousands separator, a unit written into the "
        "cell, or another date format."
    )
    return [SchemaChange("format-change", name, text, {"n_rows": now.n_unreadable, "share": share})]


def _folded(text: str) -> str:
    """Fold capitals, blanks, hyphens and apostrophes, so that spellings of one name are equal.

    >>> _folded("Bachelor's_degree") == _folded("BACHELOR’S Degree"), _folded("C++") == _folded("C#")
    (True, False)
    """
    return re.sub(r"[\s_.'’‘ʼ´`‐‑–—-]+", "", text.casefold()) or text


def _may_be_named(text: str) -> bool:
    """Whether it looks like a name that somebody chose: no formula, no control character, no long text."""
    return len(text) <= LONGEST_NAME and text.isprintable() and why_no_category(text) == "unseen-category"
