"""What started a run, in words that name the file, the columns or the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MAX_NAMED = 5  # columns of a cause, and causes of a run
LONGEST = 200


def cause_in_words(kind: str, evidence: Mapping[str, Any], window: str | None = None) -> str:
    """Say in words what started a run.

    Parameters
    ----------
    kind : str
        As in the run's tag ``cause``.
    evidence : mapping
        What the detector put on record; where it lacks what is needed, the window has to do.
    window : str or None
        Short id of what the cause is about.

    Examples
    --------
    >>> cause_in_words("new-file", {"file": "march.csv"}, "fd2528daca2fd11a")
    "new-file: 'march.csv'"
    >>> cause_in_words("drift", {"columns": ["age", "income"], "score": 0.31}, "ab12")
    'drift: in age, income (window ab12)'
    >>> cause_in_words("event", {"kind": "platform-update", "reason": "a new release", "file": "e.toml"})
    "event: platform-update, a new release ('e.toml')"
    >>> cause_in_words("nightly", {})
    'nightly'
    """
    said = str(_said(kind, evidence, window) or window or "")
    return f"{kind}: {shortened(said)}" if said else kind


def causes_in_words(causes: Sequence[str]) -> str:
    """One sentence part of several causes, the first ones named.

    >>> causes_in_words(["new-file: 'a.csv'", "drift: in age"])
    "new-file: 'a.csv'; drift: in age"
    """
    more = len(causes) - MAX_NAMED
    return "; ".join([*causes[:MAX_NAMED], *([f"and {more} more"] if more > 0 else [])])


def listed(names: Sequence[str]) -> str:
    """The first names, and that there are more.

    >>> listed(["a", "b", "c", "d", "e", "f"])
    'a, b, c, d, e, …'
    """
    return ", ".join([*names[:MAX_NAMED], *(["…"] if len(names) > MAX_NAMED else [])])


def shortened(text: str) -> str:
    """One line of bounded length, since a person may have written it."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _said(kind: str, evidence: Mapping[str, Any], window: str | None) -> str | None:
    match kind, evidence:
        case "new-file", {"file": str(name)}:
            return f"'{name}'"
        case "drift", {"columns": [*columns]} if columns:
            return f"in {listed([str(name) for name in columns])}" + (f" (window {window})" if window else "")
        case "performance", {"reasons": [*reasons]} if reasons:
            return "; ".join(str(reason) for reason in reasons)
        case "volume", {"n_new": int(n_new)}:
            return f"{n_new:,} employees labelled since the last training"
        case "new-column", {"columns": [*columns]} if columns:
            return listed([str(name) for name in columns])
        case "event", {"kind": str(what), **more}:
            reason, file = more.get("reason"), more.get("file")
            return what + (f", {reason}" if reason else "") + (f" ('{file}')" if file else "")
        case _:
            return None
