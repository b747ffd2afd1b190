"""How numbers, times and names are written on the pages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

NOTHING: Final = "–"
_STEPS: Final = ((86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute"))


def number(value: float | None, digits: int = 3) -> str:
    """A number for people; a dash for what is not known.

    >>> number(0.80511), number(12000), number(None), number(float("nan"))
    ('0.805', '12,000', '–', '–')
    """
    if value is None or value != value:
        return NOTHING
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{digits}f}" if abs(value) >= 10**-digits or value == 0 else f"{value:.1g}"


def amount(value: float | None) -> str:
    """A number in some unit, without digits that say nothing.

    >>> amount(15.0), amount(0.999), amount(0.00021), amount(12000.0), amount(None)
    ('15', '0.999', '0.00021', '12,000', '–')
    """
    if value is None or value != value:
        return NOTHING
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def percent(share: float | None) -> str:
    """A share as per cent.

    >>> percent(0.7214), percent(1.0), percent(None)
    ('72.1 %', '100.0 %', '–')
    """
    return NOTHING if share is None or share != share else f"{share * 100:.1f} %"


def interval(found: dict[str, Any] | None) -> str:
    """An estimate with its interval.

    >>> interval({"value": 0.805, "low": 0.786, "high": 0.825}), interval(None)
    ('0.805 (0.786 to 0.825)', '–')
    """
    if not found or found.get("value") is None:
        return NOTHING
    text = number(float(found["value"]))
    if found.get("low") is None or found.get("high") is None:
        return text
    return f"{text} ({number(float(found['low']))} to {number(float(found['high']))})"


def when(at: str | None) -> str:
    """A time in UTC, to the minute.

    >>> when("2026-11-21T13:21:25.4+01:00"), when(None), when("soon")
    ('21 Nov 2026, 12:21 UTC', '–', '–')
    """
    time = parsed(at)
    return NOTHING if time is None else f"{time.day} {time:%b %Y, %H:%M} UTC"


def ago(at: str | None, now: str) -> str:
    """How long ago, to the largest unit.

    >>> ago("2026-11-21T10:00:00+00:00", "2026-11-21T13:30:00+00:00"), ago(None, "2026-11-21")
    ('3 hours ago', '–')
    """
    then, current = parsed(at), parsed(now)
    if then is None or current is None:
        return NOTHING
    seconds = (current - then).total_seconds()
    return "just now" if seconds < 60 else f"{span(seconds)} ago"


def span(seconds: float | None) -> str:
    """A duration, to the largest unit.

    >>> span(5400), span(86400), span(4.2), span(None)
    ('1 hour', '1 day', '4.2 seconds', '–')
    """
    if seconds is None:
        return NOTHING
    for size, name in _STEPS:
        if seconds >= size:
            n = int(seconds // size)
            return f"{n} {name}{'s' if n != 1 else ''}"
    return f"{max(seconds, 0.0):.1f} seconds"


def words(name: str | None) -> str:
    """A stable name as words.

    >>> words("boosted_trees"), words("new-file"), words(None)
    ('boosted trees', 'new file', '–')
    """
    return NOTHING if not name else str(name).replace("_", " ").replace("-", " ")


def parsed(at: str | None) -> datetime | None:
    """A time in UTC; None where it can't be read. Without a zone it is UTC."""
    try:
        time = datetime.fromisoformat(str(at))
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
