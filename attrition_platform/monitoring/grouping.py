"""Which notifications go out now, as one message, and which wait, are grouped or stay in the file.

Nothing here reads a clock, a file or a setting: the state goes in, the state comes out. Notifications of
one kind, severity, cause and pipeline form a group. Its first goes out at once and opens a window; what
follows is counted, and told as one message when the window has ended. In quiet hours only pages go out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from attrition_platform.modeling.watch_rules import NotificationRule, QuietWindow
from attrition_platform.monitoring.notification import Notification, Severity

Fate = Literal["told", "grouped", "held", "muted", "repeated"]
GroupKey = tuple[str, str, str, str]
Subject = tuple[str, str, str, str]

MAX_LISTED = 20  # of a group; the others are only counted
MAX_HELD = timedelta(hours=24)  # quiet windows that cover the whole day must not silence anything for ever


@dataclass(frozen=True)
class Group:
    """Notifications that belong together.

    Attributes
    ----------
    told_at : datetime or None
        When the last message about them went out; None when there was none yet.
    first, n_waiting : int
        Place in line of the oldest that waits, and how many wait.
    waiting : tuple of Notification
        At most `MAX_LISTED` of them, oldest first: the first ones, and always the newest.
    """

    told_at: datetime | None = None
    first: int = 0
    n_waiting: int = 0
    waiting: tuple[Notification, ...] = ()


@dataclass(frozen=True)
class Desk:
    """What is remembered between two notifications.

    Attributes
    ----------
    n_seen : int
        Notifications admitted so far: the next one's place in line.
    recent : mapping of Subject to datetime
        When each was last admitted.
    groups : mapping of GroupKey to Group
        Groups with an open window or with something that waits.
    """

    n_seen: int = 0
    recent: Mapping[Subject, datetime] = field(default_factory=dict)
    groups: Mapping[GroupKey, Group] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """What goes out in one piece.

    Attributes
    ----------
    notifications : tuple of Notification
        Oldest first; at most `MAX_LISTED`, the newest among them.
    n : int
        How many it speaks of, at least as many as are listed.
    """

    notifications: tuple[Notification, ...]
    n: int

    @property
    def severity(self) -> Severity:
        """The same for all of them."""
        return self.notifications[0].severity


def group_key(notification: Notification) -> GroupKey:
    """What notifications of one group share; without a kind of cause, the cause's own words."""
    cause = notification.cause_kind or notification.cause
    return (notification.kind, notification.severity, cause, notification.pipeline)


def subject(notification: Notification) -> Subject:
    """What makes two notifications the same; a page is not the same as the ticket before it."""
    return (notification.kind, notification.key, notification.severity, notification.pipeline)


def time_of(text: str, otherwise: datetime) -> datetime:
    """Read an ISO 8601 time; without a zone it is UTC, and what is none of our days is `otherwise`.

    >>> noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> time_of("2026-03-01T13:00:00+01:00", noon) == time_of("at noon", noon) == noon
    True
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return otherwise
    if not 1900 <= time.year <= 2500:  # near the ends of the calendar, arithmetic overflows
        return otherwise
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def is_quiet(windows: tuple[QuietWindow, ...], time_zone: str, now: datetime) -> bool:
    """Whether only pages go out; a window's begin belongs to it, its end does not.

    Parameters
    ----------
    windows : tuple of QuietWindow
        One that ends where it begins covers nothing.
    time_zone : str
        IANA name of the clock that they speak of.
    now : datetime
        With a zone.

    Examples
    --------
    >>> night = (QuietWindow(begin="22:00", end="07:00"),)
    >>> [is_quiet(night, "Europe/Berlin", datetime(2026, 1, 5, h, tzinfo=UTC)) for h in (20, 21, 5, 6)]
    [False, True, True, False]
    """
    clock = now.astimezone(ZoneInfo(time_zone)).strftime("%H:%M")
    for window in windows:
        if window.begin < window.end:
            inside = window.begin <= clock < window.end
        else:  # over midnight
            inside = window.begin != window.end and not window.end <= clock < window.begin
        if inside:
            return True
    return False


def admit(
    desk: Desk, notification: Notification, now: datetime, rule: NotificationRule, time_zone: str
) -> tuple[Desk, Fate, tuple[Message, ...]]:
    """Take one notification in and say what goes out now.

    Parameters
    ----------
    desk : Desk
        The state before.
    now : datetime
        When it happened, with a zone.

    Returns
    -------
    Desk
        The state after.
    Fate
        ``told``: it is in a message that goes out now; ``grouped``: it waits for its group's window;
        ``held``: for the end of the quiet hours; ``muted``: nobody wants to hear of it; ``repeated``: the
        same was taken in within the window, so nothing is kept of it.
    tuple of Message
        All that is due now, oldest first, from other groups too.

    Examples
    --------
    >>> rule, noon = NotificationRule(), datetime(2026, 3, 1, 12, tzinfo=UTC)
    >>> def drift(key):
    ...     return Notification("drift", key, "t", "c", None, None, {}, None, noon.isoformat())
    >>> desk, fate, out = admit(Desk(), drift("w1"), noon, rule, "UTC")
    >>> fate, len(out)
    ('told', 1)
    >>> desk, fate, out = admit(desk, drift("w2"), noon, rule, "UTC")
    >>> fate, len(out)
    ('grouped', 0)
    """
    window = timedelta(minutes=rule.group_minutes)
    name = subject(notification)
    last = desk.recent.get(name)
    if last is not None and abs(now - last) < window:
        desk, messages = release(desk, now, rule, time_zone)
        return desk, "repeated", messages
    desk = replace(desk, n_seen=desk.n_seen + 1, recent={**desk.recent, name: now})
    if notification.kind in rule.muted:
        desk, messages = release(desk, now, rule, time_zone)
        return desk, "muted", messages
    place = group_key(notification)
    desk = replace(desk, groups={**desk.groups, place: _joined(desk, place, notification)})
    desk, messages = release(desk, now, rule, time_zone)
    group = desk.groups[place]
    if not group.n_waiting:
        return desk, "told", messages
    return desk, "grouped" if _is_open(group, now, window) else "held", messages


def release(
    desk: Desk, now: datetime, rule: NotificationRule, time_zone: str
) -> tuple[Desk, tuple[Message, ...]]:
    """Say what of that which waits goes out now, oldest first."""
    window = timedelta(minutes=rule.group_minutes)
    quiet = is_quiet(rule.quiet, time_zone, now)
    groups: dict[GroupKey, Group] = {}
    messages: list[tuple[int, Message]] = []
    for place, group in desk.groups.items():
        is_open = _is_open(group, now, window)
        if group.n_waiting and not is_open and not (quiet and _may_wait(group, now)):
            messages.append((group.first, Message(group.waiting, group.n_waiting)))
            groups[place] = Group(told_at=now)
        elif group.n_waiting or is_open:
            groups[place] = group
    recent = {name: at for name, at in desk.recent.items() if abs(now - at) < window}
    in_order = tuple(message for _, message in sorted(messages, key=lambda pair: pair[0]))
    return replace(desk, recent=recent, groups=groups), in_order


def _joined(desk: Desk, place: GroupKey, notification: Notification) -> Group:
    group = desk.groups.get(place, Group())
    listed = (*group.waiting[: MAX_LISTED - 1], notification)
    first = group.first if group.n_waiting else desk.n_seen
    return replace(group, first=first, n_waiting=group.n_waiting + 1, waiting=listed)


def _is_open(group: Group, now: datetime, window: timedelta) -> bool:
    # Processes' clocks differ a little, so a message may have gone out "later" than now.
    return group.told_at is not None and abs(now - group.told_at) < window


def _may_wait(group: Group, now: datetime) -> bool:
    oldest = group.waiting[0]
    return oldest.severity != "page" and now - time_of(oldest.at, now) < MAX_HELD
