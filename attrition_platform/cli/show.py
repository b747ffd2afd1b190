"""How the command line shows tables, JSON and gates."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import click


def show_json(value: object) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    title: str | None = None,
    *,
    whole: Collection[str] = (),
) -> None:
    """Print a table that fits the terminal; numbers stand to the right, `whole` columns are never folded."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold")
    listed = [[_cell(value) for value in row] for row in rows]
    for position, column in enumerate(columns):
        numeric = all(_is_number(row[position]) for row in listed) and bool(listed)
        table.add_column(
            column, justify="right" if numeric else "left", overflow="fold", no_wrap=column in whole
        )
    for row in listed:
        table.add_row(*row)
    Console().print(table, markup=False)


def show_gates(gates: Sequence[Mapping[str, Any]], *, reasons: bool = True) -> None:
    """Print every gate with its verdict and, unless told otherwise, the reason."""
    columns = ["gate", "value", "limit", "verdict", *(["why"] if reasons else [])]
    rows = [
        [g["name"], g["value"], g["limit"], verdict(g), *([g["reason"]] if reasons else [])] for g in gates
    ]
    show_table(columns, rows)


def show_metrics(metrics: Mapping[str, Mapping[str, float | None]]) -> None:
    """Print metrics with their intervals."""
    rows = [[name, m["value"], m["low"], m["high"]] for name, m in metrics.items()]
    show_table(["metric on test", "value", "95 % from", "to"], rows)


def verdict(gate: Mapping[str, Any]) -> str:
    """Say in a word what a gate did.

    >>> verdict({"passed": False, "enforced": True})
    'BLOCKS'
    """
    if gate["passed"]:
        return "passed"
    return "BLOCKS" if gate["enforced"] else "failed, reported only"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_number(text: str) -> bool:
    mantissa, _, exponent = text.partition("e-")  # as in 4.302e-16
    whole = mantissa.replace(".", "", 1).replace("-", "", 1)
    return text == "-" or (whole + exponent).isdigit()
