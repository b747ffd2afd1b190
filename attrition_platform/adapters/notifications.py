"""Tell people what happened: a line in a file, a POST where a web hook is set, a mail where a server is.

A channel that fails never stops the work that it tells of. The file is an outbox: what a channel did not
take is offered again by whoever sends next and by `flush`. What was asked for, and which channel failed, is
in the file; only a full disk loses that too, and then the caller hears of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import Timeout

from attrition_platform.adapters.notification_channels import Channel, ChannelName, Mail, Webhook
from attrition_platform.adapters.notification_journal import Journal, State, notifications_in
from attrition_platform.adapters.notification_outbox import (
    PERSON_SECONDS,
    WORDS,
    Outbox,
    has_perhaps_arrived,
    unwritable,
)
from attrition_platform.modeling.policy import Policy
from attrition_platform.modeling.watch_rules import NotificationRule
from attrition_platform.monitoring.grouping import Fate, Group, admit, release, time_of
from attrition_platform.monitoring.notification import Notification
from attrition_platform.settings import Settings

__all__ = ["Delivery", "Notification", "Notifier", "Status", "build_notifier"]

NOTIFICATIONS = "notifications.jsonl"


@dataclass(frozen=True)
class Delivery:
    """What became of a notification.

    Attributes
    ----------
    repeated : bool
        It was told within the policy's `group_minutes`, so it was not told again.
    failed : dict of ChannelName to str
        Channels that did not take it, and why; they are tried again later.
    fate : Fate
        Whether it went out, waits for its group or for the end of quiet hours, or is muted.
    """

    repeated: bool
    failed: dict[ChannelName, str]
    fate: Fate = "told"


@dataclass(frozen=True)
class Status:
    """What waits, and which channel fails.

    Attributes
    ----------
    n_grouped : int
        Notifications that wait for their group's window or the end of quiet hours.
    undelivered : dict of str to int
        Messages by channel that did not take them yet.
    perhaps_delivered : dict of str to int
        Messages by channel that got them several times and never answered; not among the undelivered ones.
    failing : dict of str to (str, str)
        By channel that fails: since when, and with what.
    """

    n_grouped: int
    undelivered: dict[str, int] = field(default_factory=dict)
    perhaps_delivered: dict[str, int] = field(default_factory=dict)
    failing: dict[str, tuple[str, str]] = field(default_factory=dict)


def build_notifier(settings: Settings, policy: Policy) -> Notifier:
    """The notifier of a place, with every channel that is set."""
    channels: list[Channel] = []
    if settings.webhook_url is not None:
        channels.append(Webhook(settings.webhook_url, settings.webhook_format))
    if settings.smtp_url is not None and settings.mail_from is not None:
        channels.append(Mail(settings.smtp_url, settings.mail_from, settings.mail_to))
    return Notifier(
        settings.data_dir / NOTIFICATIONS, channels, policy.notifications, policy.triggers.time_zone
    )


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Notifier:
    """Writes notifications to a file, groups them, and hands them to channels.

    Parameters
    ----------
    file : Path
        One JSON document a line, oldest first; made when it is missing. Several processes may share it.
    channels : sequence of Channel
        Ways to people beside the file.
    rule : NotificationRule
        Owner, grouping, quiet hours, what is muted, where runbooks lie.
    time_zone : str
        IANA name of the clock of the quiet hours.
    clock : callable
        The real time in UTC, for leases and ages of what was not delivered. Grouping and quiet hours go
        by a notification's own time.
    """

    def __init__(
        self,
        file: Path,
        channels: Sequence[Channel] = (),
        rule: NotificationRule | None = None,
        time_zone: str = "UTC",
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.file = file
        self._journal = Journal(file)
        self._channels = tuple(channels)
        self._rule = NotificationRule() if rule is None else rule
        self._time_zone = time_zone
        self._clock = clock
        self._outbox = Outbox(self._journal, self._channels, clock, self._caught_up)

    @property
    def channels(self) -> tuple[ChannelName, ...]:
        """Names of all channels, the file first."""
        return ("file", *(channel.name for channel in self._channels))

    def send(self, notification: Notification) -> Delivery:
        """Tell it once, on every channel, now or with its group; as `send_all` does."""
        return self.send_all([notification])[0]

    def send_all(self, notifications: Sequence[Notification]) -> list[Delivery]:
        """Write all of them down, then offer the channels what is due, once and in bounded time.

        Returns
        -------
        list of Delivery
            One for each; says what failed. Nothing is raised, since the work that is told of is done. What
            the channels have not taken after `notification_outbox.WAIT_SECONDS` is left to `flush`.
        """
        told = [self._addressed(notification) for notification in notifications]
        fates: list[Fate] = []
        is_due = False
        try:
            with self._journal.locked():
                state = self._caught_up()
                for one in told:
                    now = time_of(one.at, self._clock())
                    state.desk, fate, messages = admit(state.desk, one, now, self._rule, self._time_zone)
                    if fate != "repeated":
                        state.offset = self._journal.append({**one.as_json(), "fate": fate})
                    self._outbox.post(state, messages)
                    fates.append(fate)
                    is_due = is_due or bool(messages)
                self._journal.save(state)
        except (OSError, Timeout) as error:
            return self._told_without_the_file(told, unwritable(error))
        problems, taken = self._outbox.deliver("news") if is_due else ({}, {})
        return [
            Delivery(fate == "repeated", _failed(one.id, problems, taken) if fate == "told" else {}, fate)
            for one, fate in zip(told, fates, strict=True)
        ]

    def _told_without_the_file(self, told: Sequence[Notification], problem: str) -> list[Delivery]:
        loud = [one for one in told if one.kind not in self._rule.muted]
        failed: dict[ChannelName, str] = {"file": problem}
        problems = self._outbox.straight_out(loud) if loud else {}
        return [
            Delivery(False, failed | problems) if one in loud else Delivery(False, failed, "muted")
            for one in told
        ]

    def flush(self, at: str | None = None, *, patient: bool = False) -> dict[ChannelName, str]:
        """Tell what has waited long enough, and offer again what a channel did not take.

        Parameters
        ----------
        at : str or None
            The time that windows and quiet hours go by; None is the clock's.
        patient : bool
            Leave alone what failed lately, longer each time, and wait only some seconds for the channels:
            for whoever flushes every few seconds.

        Returns
        -------
        dict of ChannelName to str
            Channels that still fail, and why. Nothing is raised.
        """
        now = self._clock() if at is None else time_of(at, self._clock())
        try:
            if not self.file.exists():
                return {}
            with self._journal.locked():
                state = self._caught_up()
                desk, messages = release(state.desk, now, self._rule, self._time_zone)
                if desk != state.desk:
                    state.desk = desk
                    self._outbox.post(state, messages)
                    self._journal.save(state)
        except (OSError, Timeout) as error:
            return {"file": unwritable(error)}
        return self._outbox.deliver("patient" if patient else "all")[0]

    def test(self, at: str) -> dict[ChannelName, str | None]:
        """Send a test at once through every channel; returns what went wrong with each, or None."""
        told = self._addressed(
            Notification(
                kind="notification-test",
                key=at,
                title="This is a test of the notifications",
                cause="Somebody ran `attrition notifications test`; there is nothing to do.",
                version_before=None,
                version_after=None,
                evidence={},
                run_url=None,
                at=at,
                severity="info",
                cause_kind="test",
                pipeline="notifications",
            )
        )
        found: dict[ChannelName, str | None] = {"file": None}
        try:
            with self._journal.locked():
                self._journal.append({**told.as_json(), "fate": "told"})
        except (OSError, Timeout) as error:
            found["file"] = unwritable(error)
        for name, problem in self._outbox.straight_out([told], PERSON_SECONDS).items():
            found[name] = problem
            title = f"The {WORDS[name]} did not take a test"
            with suppress(OSError):
                self._outbox.note(f"{told.kind}/{at}", name, title, f"{problem}; a test is not repeated")
        return {name: found.get(name) for name in self.channels}

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """The last lines of the file, notes about channels included, oldest first."""
        return self._journal.newest()[-limit:]

    def size(self) -> int:
        """Bytes of the file so far."""
        return self._journal.size()

    def lines_since(self, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Lines that begin at a byte or after it, and the byte where the next one will."""
        return self._journal.whole_lines_from(offset)

    def status(self) -> Status:
        """What waits, and which channel fails."""
        try:
            state = self._journal.load() or State()
        except ValueError:
            state = State()
        undelivered: dict[str, int] = {}
        perhaps: dict[str, int] = {}
        for letter in state.outbox:
            for name, offer in letter.pending.items():
                counts = perhaps if has_perhaps_arrived(offer) else undelivered
                counts[name] = counts.get(name, 0) + 1
        failing = {
            name: (health.failing_since, health.problem or "")
            for name, health in state.health.items()
            if health.failing_since is not None
        }
        return Status(sum(g.n_waiting for g in state.desk.groups.values()), undelivered, perhaps, failing)

    def _addressed(self, notification: Notification) -> Notification:
        runbook = notification.runbook
        if runbook is not None and "/" not in runbook:
            runbook = f"{self._rule.runbooks.rstrip('/')}/{runbook}.md"
        owner = notification.owner or self._rule.owner
        return replace(notification, owner=owner, runbook=runbook)

    def _caught_up(self) -> State:
        """The state, with what a killed process wrote to the file and did not deal with."""
        try:
            state = self._journal.load()
        except ValueError as error:
            self._outbox.note("state", "", "The state of the notifications was lost", str(error))
            state = None
        if state is None:
            state = self._rebuilt()
            self._journal.save(state)
            return state
        if state.offset > self._journal.size():  # somebody moved the file away, and what was in it is done
            state.offset = self._journal.size()
            self._journal.save(state)
        missed = self._journal.notifications_from(state.offset)
        for left in missed:
            now = time_of(left.at, self._clock())
            state.desk, _, messages = admit(state.desk, left, now, self._rule, self._time_zone)
            self._outbox.post(state, messages)
        state.offset = self._journal.size()
        if missed:
            self._journal.save(state)
        return state

    def _rebuilt(self) -> State:
        """A state in which everything that stands in the file was told."""
        state = State(offset=self._journal.size())
        for told in notifications_in(self._journal.newest()):
            now = time_of(told.at, self._clock())
            state.desk, _, _ = admit(state.desk, told, now, self._rule, self._time_zone)
        groups = {
            key: Group(told_at=group.told_at or time_of(group.waiting[-1].at, self._clock()))
            for key, group in state.desk.groups.items()
        }
        state.desk = replace(state.desk, groups=groups)
        return state


def _failed(
    told: str, problems: Mapping[ChannelName, str], taken: Mapping[ChannelName, set[str]]
) -> dict[ChannelName, str]:
    """Problems of the channels that did not take this very notification."""
    return {
        name: text
        for name, text in problems.items()
        if name == "file" or not any(letter.startswith(told) for letter in taken.get(name, ()))
    }
