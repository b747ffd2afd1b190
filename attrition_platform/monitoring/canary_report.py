"""What is kept when a canary ends: latencies and inputs of both arms, as counts and quantiles only."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np

from attrition_platform.contracts.model import CATEGORICAL_KINDS, NUMERIC_KINDS, Contract
from attrition_platform.monitoring.evidence import Observation

ArmName = Literal["stable", "canary"]
ARMS: Final[tuple[ArmName, ...]] = ("stable", "canary")

# From 10 us to 10 s, eight a decade: neighbours differ by a third, the least ratio that matters.
LATENCY_EDGES_MS: Final = tuple(float(f"{edge:.4g}") for edge in np.logspace(-2, 4, 49))
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


def latency_histogram(observations: Sequence[Observation]) -> dict[str, Any]:
    """Count the latencies of each arm in log-spaced buckets.

    Returns
    -------
    dict
        ``upper_edges_ms``, and ``stable`` and ``canary`` with one count per edge and a last one for
        what is slower than all.

    Examples
    --------
    >>> seen = [Observation("canary", "hr", 0, False, ms, None) for ms in (0.005, 5.0, 20_000.0)]
    >>> counts = latency_histogram(seen)["canary"]
    >>> counts[0], counts[-1], sum(counts), len(counts) - len(LATENCY_EDGES_MS)
    (1, 1, 3, 1)
    """
    found: dict[str, Any] = {"upper_edges_ms": list(LATENCY_EDGES_MS)}
    for arm in ARMS:
        latency = np.array([o.latency_ms for o in observations if o.variant == arm], dtype=np.float64)
        buckets = np.searchsorted(LATENCY_EDGES_MS, latency[np.isfinite(latency)])
        found[arm] = np.bincount(buckets, minlength=len(LATENCY_EDGES_MS) + 1).tolist()
    return found


def feature_snapshot(
    contract: Contract, inputs: Mapping[ArmName, Mapping[str, str]], min_people: int
) -> dict[str, Any]:
    """Summarise what the arms were asked, column by column.

    Parameters
    ----------
    inputs : mapping of ArmName to mapping of str to str
        The newest logged inputs as JSON, by pseudonym, so that nobody counts twice.
    min_people : int
        A category with fewer people is counted under ``other``; a quantile with fewer people beyond it
        is left out, since it could be one person's value.

    Returns
    -------
    dict
        ``n_employees`` by arm; ``features``: by column, kind and arm, shares in [0, 1] or quantiles.
        Dates are left out.
    """
    rows = {arm: [json.loads(text) for text in inputs.get(arm, {}).values()] for arm in ARMS}
    seen = {name for arm in ARMS for row in rows[arm] for name in row}
    features: dict[str, Any] = {}
    for name, column in contract.columns.items():
        if name not in seen:
            continue
        by_arm = {arm: [row.get(name) for row in rows[arm]] for arm in ARMS}
        if column.kind in CATEGORICAL_KINDS:
            about = {arm: _shares(values, column.values, min_people) for arm, values in by_arm.items()}
            features[name] = {"kind": "categories", **about}
        elif column.kind in NUMERIC_KINDS:
            features[name] = {
                "kind": "quantiles",
                **{arm: _quantiles(values, min_people) for arm, values in by_arm.items()},
            }
    return {"n_employees": {arm: len(rows[arm]) for arm in ARMS}, "features": features}


def _shares(values: Sequence[Any], known: Sequence[str], min_people: int) -> dict[str, Any]:
    counts = Counter("" if value is None else str(value) for value in values)
    n = len(values)
    shown = {c: counts[c] / n for c in known if counts[c] >= min_people}
    rest = sum(count for c, count in counts.items() if c and c not in shown)
    return {"shares": shown, "other": rest / n if n else None, "missing": counts[""] / n if n else None}


def _quantiles(values: Sequence[Any], min_people: int) -> dict[str, Any]:
    known = np.array([float(value) for value in values if value is not None], dtype=np.float64)
    shown = [q for q in QUANTILES if len(known) * min(q, 1 - q) >= min_people]
    found: Sequence[float] = np.quantile(known, shown).tolist() if shown else ()
    return {
        "quantiles": {f"{q:g}": value for q, value in zip(shown, found, strict=True)},
        "missing": 1 - len(known) / len(values) if values else None,
    }
