"""What goes out now, what waits for its group or for the end of quiet hours, what nobody hears of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from attrition_platform.modeling.watch_rules import NotificationRule, QuietWindow
from attrition_platform.monitoring.grouping import (
    MAX_HELD,
    MAX_LISTED,
    Desk,
    Fate,
    Message,
    admit,
    group_key,
    is_quiet,
    release,
)
from attrition_platform.monitoring.notification import Notification
from attrition_platform.monitoring.wording import as_document

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NIGHT = NotificationRule(quiet=(QuietWindow(begin="22:00", end="07:00"),))
RULE = NotificationRule()


def make(key: str = "w1", at: datetime = NOON, **changes: Any) -> Notification:
    fields: dict[str, Any] = {
        "kind": "drift",
        "key": key,
        "title": f"Drift in {key}",
        "cause": "c",
        "version_before": None,
        "version_after": None,
        "evidence": {},
        "run_url": None,
        "at": at.isoformat(),
        "cause_kind": "drift",
        "pipeline": "drift_report",
    }
    return Notification(**(fields | changes))


def tell(
    told: list[Notification], rule: NotificationRule = RULE, desk: Desk | None = None
) -> tuple[Desk, list[Fate], list[list[str]]]:
    """Admit each at its own time; returns the desk, each one's fate, and the keys of each message."""
    desk, fates, messages = desk or Desk(), [], []
    for notification in told:
        now = datetime.fromisoformat(notification.at)
        desk, fate, out = admit(desk, notification, now, rule, "UTC")
        fates.append(fate)
        messages += [[n.key for n in message.notifications] for message in out]
    return desk, fates, messages


def minutes(n: float) -> datetime:
    return NOON + timedelta(minutes=n)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "performance"},
        {"cause_kind": "volume"},
        {"pipeline": "elsewhere"},
        {"severity": "page"},
        {"cause_kind": "", "cause": "another"},
    ],
)
def test_another_kind_cause_pipeline_or_severity_is_another_group(changes: dict[str, str]) -> None:
    assert group_key(make()) != group_key(make(**changes))
    assert tell([make("a"), make("b", **changes)])[2] == [["a"], ["b"]]


def test_the_first_goes_out_at_once_and_the_rest_with_the_next_after_the_window() -> None:
    told = [make("a"), make("b", minutes(1)), make("c", minutes(59.9)), make("d", minutes(60))]

    _, fates, messages = tell(told)

    assert fates == ["told", "grouped", "grouped", "told"]
    assert messages == [["a"], ["b", "c", "d"]]


def test_a_follow_up_opens_a_window_of_its_own() -> None:
    desk, _, _ = tell([make("a"), make("b", minutes(1))])
    desk, out = release(desk, minutes(60), RULE, "UTC")
    assert [m.n for m in out] == [1]
    desk, fates, messages = tell([make("c", minutes(61))], desk=desk)
    assert (fates, messages) == (["grouped"], [])


def test_the_same_key_is_told_once_a_window_even_where_it_waits() -> None:
    told = [make("a"), make("b", minutes(1)), make("b", minutes(2)), make("a", minutes(3))]

    _, fates, _ = tell(told)

    assert fates == ["told", "grouped", "repeated", "repeated"]


def test_a_page_is_never_taken_for_a_repeated_ticket() -> None:
    assert tell([make("a"), make("a", minutes(1), severity="page")])[1] == ["told", "told"]


def test_a_clock_that_is_a_little_behind_does_not_tell_it_twice() -> None:
    assert tell([make("a"), make("b", minutes(-0.1)), make("a", minutes(-0.1))])[1] == [
        "told",
        "grouped",
        "repeated",
    ]


def test_a_crowd_is_counted_in_full_and_listed_in_part_with_the_newest() -> None:
    told = [make("first"), *[make(str(n)) for n in range(100)]]
    desk, _, _ = tell(told)
    _, (message,) = release(desk, minutes(60), RULE, "UTC")

    assert (message.n, len(message.notifications)) == (100, MAX_LISTED)
    document = as_document(message)
    assert (document["count"], document["key"]) == (100, "99")
    assert document["text"].startswith("100 times: ")
    assert document["others"][0]["key"] == "0"


def test_a_sum_says_who_was_champion_before_the_oldest() -> None:
    first, second = make("a", version_before="m1", version_after="m2"), make("b", version_before="m2")

    assert as_document(Message((first, second), 2))["version_before"] == "m1"


def test_what_was_held_is_told_in_order_and_pages_are_not_held() -> None:
    night = datetime(2026, 3, 1, 23, tzinfo=UTC)
    told = [
        make("a", night, cause_kind="a"),
        make("b", night, cause_kind="b"),
        make("a2", night, cause_kind="a"),
        make("page", night, severity="page"),
    ]
    desk, fates, messages = tell(told, NIGHT)
    assert (fates, messages) == (["held", "held", "held", "told"], [["page"]])

    desk, out = release(desk, datetime(2026, 3, 2, 6, 59, tzinfo=UTC), NIGHT, "UTC")
    assert out == ()
    desk, out = release(desk, datetime(2026, 3, 2, 7, tzinfo=UTC), NIGHT, "UTC")
    assert [[n.key for n in m.notifications] for m in out] == [["a", "a2"], ["b"]]


def test_quiet_hours_that_never_end_hold_nothing_for_longer_than_a_day() -> None:
    always = NotificationRule(
        quiet=(QuietWindow(begin="00:00", end="12:00"), QuietWindow(begin="12:00", end="00:00"))
    )
    desk, fates, _ = tell([make("a")], always)
    assert fates == ["held"]
    assert release(desk, NOON + MAX_HELD - timedelta(seconds=1), always, "UTC")[1] == ()
    assert len(release(desk, NOON + MAX_HELD, always, "UTC")[1]) == 1


def test_muted_kinds_go_nowhere_and_hold_up_nobody() -> None:
    rule = NotificationRule(muted=("drift",))

    desk, fates, messages = tell([make("a"), make("b", kind="performance")], rule)

    assert (fates, messages) == (["muted", "told"], [["b"]])
    assert release(desk, minutes(600), rule, "UTC")[1] == ()


def test_the_desk_forgets_what_is_over() -> None:
    desk, _, _ = tell([make(str(n), cause_kind=str(n)) for n in range(50)])

    desk, _ = release(desk, minutes(61), RULE, "UTC")

    assert (desk.recent, desk.groups) == ({}, {})


@pytest.mark.parametrize(
    ("begin", "end", "hour", "quiet"),
    [
        ("09:00", "17:00", 9, True),
        ("09:00", "17:00", 17, False),
        ("22:00", "07:00", 0, True),
        ("22:00", "07:00", 7, False),
        ("22:00", "07:00", 22, True),
        ("12:00", "12:00", 12, False),
        ("12:00", "00:00", 23, True),
    ],
)
def test_a_window_has_its_begin_and_not_its_end(begin: str, end: str, hour: int, quiet: bool) -> None:
    at = datetime(2026, 3, 1, hour, tzinfo=UTC)

    assert is_quiet((QuietWindow(begin=begin, end=end),), "UTC", at) is quiet


def test_quiet_hours_follow_the_clock_over_a_change_to_summer_time() -> None:
    """Berlin goes from 02:00 to 03:00 on 2026-03-29; its seven o'clock is 05:00 UTC then."""
    windows = NIGHT.quiet

    assert is_quiet(windows, "Europe/Berlin", datetime(2026, 3, 29, 4, 59, tzinfo=UTC))
    assert not is_quiet(windows, "Europe/Berlin", datetime(2026, 3, 29, 5, 0, tzinfo=UTC))
    assert is_quiet(windows, "Europe/Berlin", datetime(2026, 3, 28, 5, 0, tzinfo=UTC))
