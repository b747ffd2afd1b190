"""What every benchmark hands back: a table, a finding in one sentence, and what to plot."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

Cell = str | float | int


@dataclass(frozen=True)
class Plot:
    """One picture of a result.

    Attributes
    ----------
    kind : {"bars", "lines"}
        Bars compare things; lines show growth and have both axes logarithmic.
    x : tuple
        Names of the bar groups, or positions of the points.
    series : dict of str to tuple of float
        One value per `x`.
    y_label, x_label : str
        With the unit.
    """

    kind: Literal["bars", "lines"]
    x: tuple[Cell, ...]
    series: dict[str, tuple[float, ...]]
    y_label: str
    x_label: str = ""


@dataclass(frozen=True)
class Result:
    """One benchmark's outcome.

    Attributes
    ----------
    title, finding : str
        Heading, and the answer in one or two sentences.
    header : tuple of str
        Column names of the table.
    rows : tuple of tuple
        Cells; a float is shown with four significant digits.
    notes : tuple of str
        How it was measured, and what it doesn't show.
    plots : tuple of Plot
        May be empty.
    """

    title: str
    finding: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    plots: tuple[Plot, ...] = ()

    def to_json(self) -> str:
        """Write as JSON, for `from_json`."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read what `to_json` wrote.

        Examples
        --------
        >>> plot = Plot("bars", ("a", "b"), {"seconds": (1.0, 2.0)}, "seconds")
        >>> result = Result("Title", "Finding.", ("what", "s"), (("a", 1.0), ("b", 2.0)), ("Note.",), (plot,))
        >>> Result.from_json(result.to_json()) == result
        True
        """
        raw = json.loads(text)
        plots = tuple(
            Plot(**(p | {"x": tuple(p["x"]), "series": {k: tuple(v) for k, v in p["series"].items()}}))
            for p in raw["plots"]
        )
        return cls(
            title=raw["title"],
            finding=raw["finding"],
            header=tuple(raw["header"]),
            rows=tuple(tuple(row) for row in raw["rows"]),
            notes=tuple(raw["notes"]),
            plots=plots,
        )
