"""Tell people what happened: a line in a file, a POST where a web hook is set, a mail where a server is.

A channel that fails never stops the work that it tells of. The file is an outbox: what a channel did not
take is offered again by whoever sends next and by `flush`. What was asked for, and which channel failed, is
in the file; only a full disk loses that too, and then the caller hears of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import Timeout

from attrition_platform.adapters.notification_channels import (
    Channel,
    ChannelName,
    Mail,
    Problem,
    Webhook,
)
from attrition_platform.adapters.notification_journal import (
    ChannelHealth,
    Journal,
    Letter,
    State,
    notifications_in,
)
from attrition_platform.modeling.policy import Policy
from attrition_platform.modeling.watch_rules import NotificationRule
from attrition_platform.monitoring.grouping import Fate, Group, Message, admit, release, time_of
from attrition_platform.monitoring.notification import Notification
from attrition_platform.monitoring.wording import as_document
from attrition_platform.settings import Settings

__all__ = ["Delivery", "Notification", "Notifier", "Status", "build_notifier"]

NOTIFICATIONS = "notifications.jsonl"
MAX_REFUSALS = 5  # of one message by one channel
MAX_OUTBOX = 500
KEEP = timedelta(days=7)
LEASE = timedelta(minutes=2)
REST = timedelta(minutes=1)
SEND_SECONDS = 30.0  # after that, one call begins no further delivery

log = logging.getLogger(__name__)


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
    failing : dict of str to (str, str)
        By channel that fails: since when, and with what.
    """

    n_grouped: int
    undelivered: dict[str, int] = field(default_factory=dict)
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

    @property
    def channels(self) -> tuple[ChannelName, ...]:
        """Names of all channels, the file first."""
        return ("file", *(channel.name for channel in self._channels))

    def send(self, notification: Notification) -> Delivery:
        """Tell it once, on every channel, now or with its group.

        Returns
        -------
        Delivery
            Says what failed; nothing is raised, since the work that is told of is done.
        """
        told = self._addressed(notification)
        now = time_of(told.at, self._clock())
        try:
            with self._journal.locked():
                state = self._caught_up()
                state.desk, fate, messages = admit(state.desk, told, now, self._rule, self._time_zone)
                if fate != "repeated":
                    state.offset = self._journal.append({**told.as_json(), "fate": fate})
                self._post(state, messages)
                self._journal.save(state)
        except (OSError, Timeout) as error:
            failed: dict[ChannelName, str] = {"file": _unwritable(error)}
            if notification.kind in self._rule.muted:
                return Delivery(False, failed, "muted")
            return Delivery(False, failed | self._straight_out(told))
        undelivered = self._deliver(fresh=told.id if fate == "told" else None)
        return Delivery(fate == "repeated", undelivered, fate)

    def flush(self, at: str | None = None, *, patient: bool = False) -> dict[ChannelName, str]:
        """Tell what has waited long enough, and offer again what a channel did not take.

        Parameters
        ----------
        at : str or None
            The time that windows and quiet hours go by; None is the clock's.
        patient : bool
            Leave a channel alone that failed less than `REST` ago: for whoever flushes every few seconds.

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
                    self._post(state, messages)
                    self._journal.save(state)
        except (OSError, Timeout) as error:
            return {"file": _unwritable(error)}
        return self._deliver(fresh=None, patient=patient)

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
            found["file"] = _unwritable(error)
        problems = self._straight_out(told)
        return found | {channel.name: problems.get(channel.name) for channel in self._channels}

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
        for letter in state.outbox:
            for name in letter.pending:
                undelivered[name] = undelivered.get(name, 0) + 1
        failing = {
            name: (health.failing_since, health.problem or "")
            for name, health in state.health.items()
            if health.failing_since is not None
        }
        return Status(sum(g.n_waiting for g in state.desk.groups.values()), undelivered, failing)

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
            self._note("state", "", "The state of the notifications was lost", str(error))
            state = None
        if state is None:
            state = self._rebuilt()
            self._journal.save(state)
            return state
        missed = self._journal.notifications_from(state.offset)
        for left in missed:
            now = time_of(left.at, self._clock())
            state.desk, _, messages = admit(state.desk, left, now, self._rule, self._time_zone)
            self._post(state, messages)
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

    def _post(self, state: State, messages: Sequence[Message]) -> None:
        """Put messages into the outbox, which does not grow for ever."""
        if not self._channels:
            return
        now = self._clock()
        for message in messages:
            pending: dict[str, int] = {channel.name: 0 for channel in self._channels}
            state.outbox.append(Letter(as_document(message), pending, now.isoformat()))
        fresh = [letter for letter in state.outbox if abs(now - time_of(letter.since, now)) < KEEP]
        # Pages are the last to go; among equals the oldest are the first.
        by_worth = sorted(fresh, key=lambda letter: letter.document.get("severity") == "page")
        kept = {id(letter) for letter in by_worth[-MAX_OUTBOX:]}
        for letter in state.outbox:
            if id(letter) not in kept:
                self._note_given_up(letter, "it waited too long, or too many waited")
        state.outbox = [letter for letter in state.outbox if id(letter) in kept]

    def _deliver(self, fresh: str | None, *, patient: bool = False) -> dict[ChannelName, str]:
        """Offer each channel what it has not taken; `fresh` is the notification that was just sent.

        The lock is not held meanwhile, so that a channel that hangs holds up nobody else.
        """
        if not self._channels:
            return {}
        try:
            with self._journal.locked():
                claimed, resting = self._claim()
        except (OSError, Timeout) as error:
            return {"file": _unwritable(error)}
        if not claimed:
            return {}
        deadline = self._clock() + timedelta(seconds=SEND_SECONDS)
        problems: dict[ChannelName, str] = {}
        taken: dict[str, set[str]] = {}
        refused: dict[str, dict[str, Problem]] = {}
        for channel in self._channels:
            if patient and channel.name in resting:
                continue
            for letter in claimed:
                if channel.name not in letter.pending or self._clock() > deadline:
                    continue
                problem = channel.take(letter.document)
                if problem is None:
                    taken.setdefault(channel.name, set()).add(_name(letter))
                    continue
                problems[channel.name] = problem.text
                refused.setdefault(channel.name, {})[_name(letter)] = problem
                if problem.scope == "channel":
                    break
        try:
            with self._journal.locked():
                self._record(claimed, taken, refused, fresh)
        except (OSError, Timeout) as error:
            problems["file"] = _unwritable(error)
        if fresh is None:
            return problems
        return {
            name: text
            for name, text in problems.items()
            if name == "file" or not any(key.startswith(fresh) for key in taken.get(name, ()))
        }

    def _claim(self) -> tuple[list[Letter], set[str]]:
        """Letters that no other process is sending, pages first, ours for `LEASE`; and who just failed."""
        state = self._caught_up()
        now = self._clock()
        free = [letter for letter in state.outbox if not _is_leased(letter, now)]
        for letter in free:
            letter.leased_until = (now + LEASE).isoformat()
        if free:
            self._journal.save(state)
        resting = {
            name
            for name, health in state.health.items()
            if health.tried_at is not None and abs(now - time_of(health.tried_at, now)) < REST
        }
        return sorted(free, key=lambda letter: letter.document.get("severity") != "page"), resting

    def _record(
        self,
        claimed: Sequence[Letter],
        taken: dict[str, set[str]],
        refused: dict[str, dict[str, Problem]],
        fresh: str | None,
    ) -> None:
        state = self._caught_up()
        ours = {_name(letter) for letter in claimed}
        for letter in state.outbox:
            name = _name(letter)
            if name not in ours:
                continue
            letter.leased_until = None
            for channel in list(letter.pending):
                problem = refused.get(channel, {}).get(name)
                if name in taken.get(channel, ()):
                    del letter.pending[channel]
                elif problem is not None and problem.scope != "channel":
                    letter.pending[channel] += 1
                    if problem.scope == "partial" or letter.pending[channel] >= MAX_REFUSALS:
                        del letter.pending[channel]
                        self._note_failed(letter, channel, f"{problem.text}; it is not tried again")
                        continue
                if channel in letter.pending and fresh is not None and name.startswith(fresh):
                    text = problem.text if problem is not None else self._behind(refused.get(channel, {}))
                    self._note_failed(letter, channel, text)
        state.outbox = [letter for letter in state.outbox if letter.pending]
        self._record_health(state, taken, refused)
        state.offset = self._journal.size()
        self._journal.save(state)

    def _record_health(
        self, state: State, taken: dict[str, set[str]], refused: dict[str, dict[str, Problem]]
    ) -> None:
        now = self._clock().isoformat(timespec="milliseconds")
        for name in {*taken, *refused}:
            found = list(refused.get(name, {}).values())
            if not found:
                state.health[name] = ChannelHealth()
                continue
            since = state.health.get(name, ChannelHealth()).failing_since or now
            state.health[name] = ChannelHealth(since, found[-1].text, now)

    @staticmethod
    def _behind(problems: dict[str, Problem]) -> str:
        """Why a message was not even offered: an earlier one stopped the channel."""
        last = list(problems.values())[-1:]
        return f"an earlier one did not pass: {last[0].text}" if last else "another process sends it"

    def _straight_out(self, notification: Notification) -> dict[ChannelName, str]:
        """Send at once, past the outbox."""
        document = as_document(Message((notification,), 1))
        problems = {channel.name: channel.take(document) for channel in self._channels}
        return {name: problem.text for name, problem in problems.items() if problem is not None}

    def _note_failed(self, letter: Letter, channel: str, problem: str) -> None:
        kind, key = letter.document.get("kind"), letter.document.get("key")
        self._note(f"{kind}/{key}", channel, f"The {_WORDS[channel]} did not take a notification", problem)

    def _note_given_up(self, letter: Letter, why: str) -> None:
        for channel in letter.pending:
            self._note_failed(letter, channel, f"{why}; it is not tried again")

    def _note(self, key: str, channel: str, title: str, cause: str) -> None:
        self._journal.append(
            {
                "kind": "notification-failed",
                "key": key,
                "channel": channel,
                "title": title,
                "cause": cause,
                "at": self._clock().isoformat(timespec="milliseconds"),
            }
        )
        log.warning("%s: %s", title, cause)


_WORDS: dict[str, str] = {"webhook": "web hook", "mail": "mail server"}


def _name(letter: Letter) -> str:
    """What tells one letter from another."""
    return f"{letter.document.get('id')}.{letter.document.get('count')}.{letter.since}"


def _is_leased(letter: Letter, now: datetime) -> bool:
    if letter.leased_until is None:
        return False
    # A lease from the future is one of a clock that was set back.
    return timedelta(0) < time_of(letter.leased_until, now) - now <= LEASE


def _unwritable(error: Exception) -> str:
    return f"it can't be written ({type(error).__name__})"
