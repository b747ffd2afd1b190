"""Whatever is told in whatever order: nothing is lost or told twice, and no quiet hour holds a page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from attrition_platform.modeling.watch_rules import NotificationRule, QuietWindow
from attrition_platform.monitoring.grouping import MAX_HELD, Desk, Fate, GroupKey, admit, group_key, release
from attrition_platform.monitoring.notification import Notification

START = datetime(2026, 3, 1, tzinfo=UTC)
RULES = st.builds(
    NotificationRule,
    group_minutes=st.sampled_from([1.0, 60.0, 600.0]),
    quiet=st.sampled_from([(), (QuietWindow(begin="20:00", end="06:00"),)]),
    muted=st.sampled_from([(), ("a",)]),
)
# Minutes since the one before, kind, cause, key, severity; one of them is nobody's notification but a flush.
EVENTS = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=500),
        st.sampled_from("ab"),
        st.sampled_from("xy"),
        st.integers(min_value=0, max_value=3),
        st.sampled_from(["page", "ticket", "info"]),
        st.booleans(),
    ),
    max_size=25,
)


class Run:
    """What happened: each notification's fate, and each message with its time."""

    def __init__(self, rule: NotificationRule, events: list[tuple[int, str, str, int, str, bool]]) -> None:
        self.rule = rule
        self.fates: list[tuple[Notification, Fate]] = []
        self.messages: list[tuple[datetime, GroupKey, int, list[str]]] = []
        desk, now = Desk(), START
        for minutes, kind, cause, key, severity, is_flush in events:
            now += timedelta(minutes=minutes)
            if is_flush:
                desk, out = release(desk, now, rule, "UTC")
            else:
                told = Notification(
                    kind,
                    str(key),
                    "t",
                    "c",
                    None,
                    None,
                    {},
                    None,
                    now.isoformat(),
                    severity=severity,  # type: ignore[arg-type]
                    cause_kind=cause,
                )
                desk, fate, out = admit(desk, told, now, rule, "UTC")
                self.fates.append((told, fate))
            self._note(now, out)
        self.n_waiting = sum(group.n_waiting for group in desk.groups.values())
        # A day and a window later everything must be out.
        desk, out = release(desk, now + MAX_HELD + timedelta(minutes=rule.group_minutes), rule, "UTC")
        self.n_left = sum(group.n_waiting for group in desk.groups.values())
        self.last = now
        self.n_late = sum(message.n for message in out)
        self.late = [n.id for message in out for n in message.notifications]

    def _note(self, now: datetime, out: tuple) -> None:  # type: ignore[type-arg]
        for message in out:
            ids = [n.id for n in message.notifications]
            self.messages.append((now, group_key(message.notifications[0]), message.n, ids))


@given(rule=RULES, events=EVENTS)
def test_everything_that_is_not_muted_or_repeated_goes_out_once(
    rule: NotificationRule, events: list[tuple[int, str, str, int, str, bool]]
) -> None:
    run = Run(rule, events)
    wanted = [told.id for told, fate in run.fates if fate not in ("muted", "repeated")]
    told = [found for *_, ids in run.messages for found in ids] + run.late

    assert run.n_left == 0
    assert sorted(told) == sorted(wanted)
    assert sum(n for _, _, n, _ in run.messages) + run.n_late == len(wanted)


@given(rule=RULES, events=EVENTS)
def test_a_group_sends_one_message_a_window(
    rule: NotificationRule, events: list[tuple[int, str, str, int, str, bool]]
) -> None:
    last: dict[GroupKey, datetime] = {}
    for now, place, _, _ in Run(rule, events).messages:
        if place in last:
            assert now - last[place] >= timedelta(minutes=rule.group_minutes)
        last[place] = now


@given(rule=RULES, events=EVENTS)
def test_a_page_waits_for_its_group_only(
    rule: NotificationRule, events: list[tuple[int, str, str, int, str, bool]]
) -> None:
    for told, fate in Run(rule, events).fates:
        assert not (fate == "held" and told.severity == "page")


@given(rule=RULES, events=EVENTS)
def test_what_goes_out_together_is_in_order(
    rule: NotificationRule, events: list[tuple[int, str, str, int, str, bool]]
) -> None:
    run = Run(rule, events)
    place = {told.id: n for n, (told, _) in enumerate(run.fates)}
    by_time: dict[datetime, list[list[int]]] = {}
    for now, _, _, ids in run.messages:
        by_time.setdefault(now, []).append([place[found] for found in ids])
    for messages in by_time.values():
        assert all(message == sorted(message) for message in messages)
