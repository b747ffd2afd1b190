"""Messages on their way: what a channel did not take is offered again, in order, by one process at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from filelock import Timeout

from attrition_platform.adapters.notification_channels import Channel, ChannelName, Problem
from attrition_platform.adapters.notification_journal import ChannelHealth, Journal, Letter, State
from attrition_platform.monitoring.grouping import Message, time_of
from attrition_platform.monitoring.notification import Notification
from attrition_platform.monitoring.wording import as_document

MAX_REFUSALS = 5  # of one message by one channel
MAX_OUTBOX = 500
KEEP = timedelta(days=7)
LEASE = timedelta(minutes=2)
REST = timedelta(minutes=1)
SEND_SECONDS = 30.0  # after that, one call begins no further delivery

log = logging.getLogger(__name__)


class Outbox:
    """Hands messages to channels and remembers who did not take which.

    Parameters
    ----------
    journal : Journal
        Its state holds the messages.
    channels : sequence of Channel
        Each fails for itself.
    clock : callable
        The real time in UTC.
    caught_up : callable
        Gives the state that holds now; called with the journal's lock held.
    """

    def __init__(
        self,
        journal: Journal,
        channels: Sequence[Channel],
        clock: Callable[[], datetime],
        caught_up: Callable[[], State],
    ) -> None:
        self._journal = journal
        self._channels = channels
        self._clock = clock
        self._caught_up = caught_up

    def post(self, state: State, messages: Sequence[Message]) -> None:
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

    def deliver(self, fresh: str | None, *, patient: bool = False) -> dict[ChannelName, str]:
        """Offer each channel what it has not taken; `fresh` is the notification that was just sent.

        The lock is not held meanwhile, so that a channel that hangs holds up nobody else.
        """
        if not self._channels:
            return {}
        try:
            with self._journal.locked():
                claimed, resting = self._claim()
        except (OSError, Timeout) as error:
            return {"file": unwritable(error)}
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
            problems["file"] = unwritable(error)
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

    def straight_out(self, notification: Notification) -> dict[ChannelName, str]:
        """Send at once, past the outbox."""
        document = as_document(Message((notification,), 1))
        problems = {channel.name: channel.take(document) for channel in self._channels}
        return {name: problem.text for name, problem in problems.items() if problem is not None}

    def _note_failed(self, letter: Letter, channel: str, problem: str) -> None:
        kind, key = letter.document.get("kind"), letter.document.get("key")
        self.note(f"{kind}/{key}", channel, f"The {_WORDS[channel]} did not take a notification", problem)

    def _note_given_up(self, letter: Letter, why: str) -> None:
        for channel in letter.pending:
            self._note_failed(letter, channel, f"{why}; it is not tried again")

    def note(self, key: str, channel: str, title: str, cause: str) -> None:
        """Write into the file that something about the notifications went wrong."""
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


def unwritable(error: Exception) -> str:
    """Why the file was not written, in words without its path."""
    return f"it can't be written ({type(error).__name__})"
