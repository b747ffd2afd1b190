"""What people are told: one notification, in plain values."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Severity = Literal["page", "ticket", "info"]


@dataclass(frozen=True)
class Notification:
    """What people are told; names, counts and rates, never an employee's values.

    Attributes
    ----------
    kind : str
        Short and stable, such as ``canary-rolled-back``.
    key : str
        What it is about: the same kind, key, severity and pipeline are told once in the policy's
        `group_minutes`.
    title, cause : str
        In words: what happened, and why.
    version_before, version_after : str or None
        Models that answered before and answer now.
    evidence : mapping
        The numbers behind it.
    run_url : str or None
        Where the run behind it can be read.
    at : str
        Time in UTC, ISO 8601.
    severity : {"page", "ticket", "info"}
        ``page``: somebody must act now; ``ticket``: in working hours; ``info``: nothing to do.
    cause_kind : str
        Short and stable, such as ``drift``: notifications that share it, the kind, the severity and the
        pipeline are grouped. Where it is empty, `cause` takes its place.
    pipeline : str
        The job, service or contract that it happened in.
    owner : str
        Who looks after it; empty means as the policy says.
    runbook : str or None
        File name of the runbook without its ending, such as ``drift``; sent as a link.
    metrics : mapping of str to float or None
        What the model after it is worth.
    """

    kind: str
    key: str
    title: str
    cause: str
    version_before: str | None
    version_after: str | None
    evidence: Mapping[str, Any]
    run_url: str | None
    at: str
    severity: Severity = "ticket"
    cause_kind: str = ""
    pipeline: str = ""
    owner: str = ""
    runbook: str | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits; the same notification told twice has the same ones."""
        said = "\0".join((self.kind, self.key, self.severity, self.pipeline, self.at))
        return hashlib.sha256(said.encode(errors="replace")).hexdigest()[:16]

    def as_json(self) -> dict[str, Any]:
        """Plain values; a number that is not finite becomes None, what JSON does not know its type's name."""
        found: dict[str, Any] = plain({f.name: getattr(self, f.name) for f in fields(self)})
        return {"id": self.id, **found}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Notification:
        """Read what `as_json` wrote; what an older version did not write takes its default.

        Raises
        ------
        ValueError
            If a field that has no default is missing, or a text is none.

        Examples
        --------
        >>> told = Notification("drift", "w7", "t", "c", None, None, {}, None, "2026-03-01T12:00:00+00:00")
        >>> Notification.from_json(told.as_json()) == told
        True
        """
        known = {f.name: document[f.name] for f in fields(cls) if f.name in document}
        texts = ("kind", "key", "title", "cause", "at", "severity", "cause_kind", "pipeline", "owner")
        if any(not isinstance(known.get(name, ""), str) for name in texts):
            raise ValueError("A notification's texts must be texts.")
        if any(not isinstance(known.get(name, {}), Mapping) for name in ("evidence", "metrics")):
            raise ValueError("A notification's evidence and metrics must be mappings.")
        try:
            return cls(**known)
        except TypeError:
            raise ValueError("A notification lacks a field.") from None


def plain(value: Any) -> Any:
    """Make JSON values of anything.

    >>> plain({"share": math.nan, "columns": ("age",), 3: None, "what": object()})
    {'share': None, 'columns': ['age'], '3': None, 'what': '<object>'}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return f"<{type(value).__name__}>"
