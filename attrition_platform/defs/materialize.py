"""Turns a stored step result into what Dagster records, for all assets alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from attrition_platform.adapters.step_cache import StepResult

Result = dg.MaterializeResult[StepResult]


def materialized(result: StepResult, *, asset: str | None = None, **metadata: Any) -> Result:
    """Build the materialization of a stored result.

    Parameters
    ----------
    result : StepResult
        What the step stored; its data version becomes Dagster's.
    asset : str or None
        Name of the asset, where one step makes several.
    **metadata
        What a person should see first; plain numbers are plotted over time.
    """
    seen: dict[str, Any] = {key: value for key, value in metadata.items() if value is not None}
    seen["reused"] = dg.MetadataValue.bool(result.reused)
    seen["fingerprint"] = result.fingerprint[:16]
    for measure in ("seconds", "cpu_seconds"):
        if measure in result.measured:
            seen[f"{measure}_when_computed"] = float(result.measured[measure])
    return dg.MaterializeResult(
        asset_key=None if asset is None else dg.AssetKey(asset.split("/")),
        value=result,
        data_version=dg.DataVersion(result.data_version),
        metadata=seen,
    )


def row_count(n_rows: int) -> dict[str, Any]:
    """Metadata that the UI plots as the table's size."""
    return {"dagster/row_count": dg.MetadataValue.int(n_rows)}


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dg.MetadataValue:
    """Show rows as a Markdown table; numbers are rounded to four digits."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row.get(column)) for column in columns) + " |" for row in rows]
    return dg.MetadataValue.md("\n".join(lines))


def counts(by_name: Mapping[str, int]) -> dg.MetadataValue:
    """Show counts by name, the largest first."""
    ranked = sorted(by_name.items(), key=lambda item: (-item[1], item[0]))
    return table([{"what": name, "rows": n} for name, n in ranked], ["what", "rows"])


def picture(png: bytes, alt: str) -> dg.MetadataValue:
    """Show a plot inside the materialization."""
    import base64

    return dg.MetadataValue.md(f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode()})")


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return "" if value is None else str(value).replace("|", "\\|")
