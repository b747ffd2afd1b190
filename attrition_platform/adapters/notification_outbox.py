"""Messages on their way: what a channel did not take is offered again, in order, by one process at a time.

Channels are served side by side, and nobody waits longer than `WAIT_SECONDS` for all of them together: what
is under way then is finished in the background, and what was not begun is left to the next who delivers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from filelock import Timeout

from attrition_platform.adapters.notification_channels import Channel, ChannelName, Problem
from attrition_platform.adapters.notification_journal import ChannelHealth, Journal, Letter, Offer, State
from attrition_platform.adapters.notification_rounds import Found, Round
from attrition_platform.monitoring.grouping import Message, time_of
from attrition_platform.monitoring.notification import Notification
from attrition_platform.monitoring.wording import as_document

MAX_REFUSALS = 5  # of one message by one channel
MAX_UNANSWERED = 4  # then it has perhaps arrived
MAX_OUTBOX = 500
KEEP = timedelta(days=7)
LEASE = timedelta(minutes=2)  # longer than any channel takes over one message
REST = timedelta(minutes=1)  # of a channel that failed; of a message at first
LONGEST_REST = timedelta(hours=1)
PERHAPS_REST = timedelta(days=1)  # of a message that has perhaps arrived
WAIT_SECONDS = 12.0  # for all channels together, by whoever sends; a web hook's time limit fits in
PERSON_SECONDS = 40.0  # the same for a person who looks on; a mail's time limit fits in

# How eager a delivery is. `news` leaves alone what has perhaps arrived, and a channel that just let us wait
# for nothing, unless it is a page. `patient` leaves alone whatever failed lately: it is for those who come
# every few seconds. `all` leaves alone nothing.
Eagerness = Literal["news", "patient", "all"]

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
            pending = {str(channel.name): Offer() for channel in self._channels}
            state.outbox.append(Letter(as_document(message), pending, now.isoformat()))
        fresh = [letter for letter in state.outbox if abs(now - time_of(letter.since, now)) < KEEP]
        # Pages are the last to go; among equals the oldest are the first.
        by_worth = sorted(fresh, key=lambda letter: letter.document.get("severity") == "page")
        kept = {id(letter) for letter in by_worth[-MAX_OUTBOX:]}
        for letter in state.outbox:
            if id(letter) not in kept:
                for name in letter.pending:
                    why = "it waited too long, or too many waited; it is not tried again"
                    self._note_failed(letter, name, why)
        state.outbox = [letter for letter in state.outbox if id(letter) in kept]

    def deliver(self, eagerness: Eagerness) -> tuple[dict[ChannelName, str], dict[ChannelName, set[str]]]:
        """Offer each channel what it has not taken; says what went wrong, and which letters were taken.

        The lock is not held meanwhile, so that a channel that hangs holds up nobody else.
        """
        if not self._channels:
            return {}, {}
        until = time.monotonic() + (PERSON_SECONDS if eagerness == "all" else WAIT_SECONDS)
        problems: dict[ChannelName, str] = {}
        taken: dict[ChannelName, set[str]] = {}
        try:
            with self._journal.locked():
                claimed, resting = self._claim(eagerness)
            problems |= resting
            rounds = [
                Round(channel, [(each.name, each.document) for each in letters], self._late(channel.name))
                for channel, letters in claimed
            ]
            found = [round_.close(until) for round_ in rounds]
            for (channel, _), one in zip(claimed, found, strict=True):
                taken[channel.name] = {name for name, problem in one.answers.items() if problem is None}
                if one.problem is not None:
                    problems[channel.name] = one.problem
            if claimed:
                with self._journal.locked():
                    state = self._caught_up()
                    for (channel, letters), one in zip(claimed, found, strict=True):
                        self._record(state, channel.name, one, {letter.name for letter in letters})
                    self._save(state)
        except (OSError, Timeout) as error:
            problems["file"] = unwritable(error)
        return problems, taken

    def straight_out(
        self, notifications: Sequence[Notification], seconds: float = WAIT_SECONDS
    ) -> dict[ChannelName, str]:
        """Send at once, past the outbox."""
        until = time.monotonic() + seconds
        documents = [(one.id, as_document(Message((one,), 1))) for one in notifications]
        rounds = [Round(channel, documents, lambda _name, _problem: None) for channel in self._channels]
        found = {round_.channel.name: round_.close(until).problem for round_ in rounds}
        return {name: problem for name, problem in found.items() if problem is not None}

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

    def _claim(
        self, eagerness: Eagerness
    ) -> tuple[list[tuple[Channel, list[Letter]]], dict[ChannelName, str]]:
        """Letters by channel that are due and no other process is sending, pages first; ours for `LEASE`.

        The second value names channels that are left alone for now although something is due.
        """
        state, now = self._caught_up(), self._clock()
        in_order = sorted(state.outbox, key=lambda letter: letter.document.get("severity") != "page")
        claimed: list[tuple[Channel, list[Letter]]] = []
        resting: dict[ChannelName, str] = {}
        for channel in self._channels:
            health = state.health.get(channel.name, ChannelHealth())
            rests = health.tried_at is not None and abs(now - time_of(health.tried_at, now)) < REST
            if eagerness == "patient" and rests:
                continue
            due = [letter for letter in in_order if _is_due(letter.pending.get(channel.name), eagerness, now)]
            if eagerness == "news" and rests and health.is_slow:
                due = [letter for letter in due if letter.document.get("severity") == "page"]
                resting[channel.name] = f"it is tried later, {health.problem}"
            for letter in due:
                offer = letter.pending[channel.name]
                if offer.leased_until is not None:  # whoever had it was killed over it: perhaps it arrived
                    offer.n_unanswered += 1
                offer.leased_until = (now + LEASE).isoformat()
            if due:
                claimed.append((channel, due))
        if claimed:
            self._journal.save(state)
        return claimed, resting

    def _late(self, channel: ChannelName) -> Callable[[str, Problem | None], None]:
        """What records the end of a letter that was under way when nobody waited any longer."""

        def record(name: str, problem: Problem | None) -> None:
            try:
                with self._journal.locked():
                    state = self._caught_up()
                    self._record(state, channel, Found({name: problem}, None), {name})
                    self._save(state)
            except (OSError, Timeout) as error:
                log.warning("What became of a notification was not recorded: %s", unwritable(error))

        return record

    def _record(self, state: State, channel: ChannelName, found: Found, claimed: set[str]) -> None:
        now = self._clock()
        for letter in state.outbox:
            offer = letter.pending.get(channel)
            if offer is None or letter.name not in claimed or letter.name == found.under_way:
                continue
            offer.leased_until = None
            if letter.name not in found.answers:
                self._note_once(letter, channel, f"an earlier one did not pass: {found.problem}")
                continue
            problem = found.answers[letter.name]
            if problem is None:
                del letter.pending[channel]
            else:
                self._put_back(letter, channel, problem, now)
        self._record_health(state, channel, found, now)

    def _put_back(self, letter: Letter, channel: str, problem: Problem, now: datetime) -> None:
        offer = letter.pending[channel]
        offer.n_failed += 1
        offer.n_refused += problem.scope == "message"
        offer.n_unanswered += problem.scope == "unanswered"
        if problem.scope == "partial" or offer.n_refused >= MAX_REFUSALS:
            del letter.pending[channel]
            self._note_failed(letter, channel, f"{problem.text}; it is not tried again")
            return
        rest = min(REST * 2 ** min(offer.n_failed - 1, 10), LONGEST_REST)
        if has_perhaps_arrived(offer):
            rest = PERHAPS_REST
        offer.rest_until = (now + rest).isoformat()
        if offer.n_unanswered == MAX_UNANSWERED and problem.scope == "unanswered":
            why = f"{problem.text}, {MAX_UNANSWERED} times; perhaps it arrived, so it is sent once a day only"
            self._note_failed(letter, channel, why)
        else:
            self._note_once(letter, channel, problem.text)

    @staticmethod
    def _record_health(state: State, channel: ChannelName, found: Found, now: datetime) -> None:
        if None in found.answers.values():
            # It takes something again: what rested because the channel failed need not wait any longer.
            for letter in state.outbox:
                offer = letter.pending.get(channel)
                if offer is not None and not offer.n_unanswered and not offer.n_refused:
                    offer.rest_until = None
        if found.problem is None:
            if found.answers:
                state.health[channel] = ChannelHealth()
            return
        at = now.isoformat(timespec="milliseconds")
        since = state.health.get(channel, ChannelHealth()).failing_since or at
        state.health[channel] = ChannelHealth(since, found.problem, at, found.is_slow)

    def _save(self, state: State) -> None:
        state.outbox = [letter for letter in state.outbox if letter.pending]
        state.offset = self._journal.size()
        self._journal.save(state)

    def _note_once(self, letter: Letter, channel: str, problem: str) -> None:
        offer = letter.pending[channel]
        if not offer.noted:
            self._note_failed(letter, channel, problem)
            offer.noted = True

    def _note_failed(self, letter: Letter, channel: str, problem: str) -> None:
        kind, key = letter.document.get("kind"), letter.document.get("key")
        self.note(f"{kind}/{key}", channel, f"The {WORDS[channel]} did not take a notification", problem)


WORDS: dict[str, str] = {"webhook": "web hook", "mail": "mail server", "file": "file"}


def has_perhaps_arrived(offer: Offer) -> bool:
    """Whether it was handed over so often without an answer that it may well be there."""
    return offer.n_unanswered >= MAX_UNANSWERED


def _is_due(offer: Offer | None, eagerness: Eagerness, now: datetime) -> bool:
    if offer is None or _lies_ahead(offer.leased_until, now, LEASE):
        return False
    if eagerness == "all" or (eagerness == "news" and not offer.n_unanswered):
        return True
    return not _lies_ahead(offer.rest_until, now, PERHAPS_REST)


def _lies_ahead(text: str | None, now: datetime, at_most: timedelta) -> bool:
    # What lies further ahead than we ever set it is of a clock that was set back.
    return text is not None and timedelta(0) < time_of(text, now) - now <= at_most


def unwritable(error: Exception) -> str:
    """Why the file was not written, in words without its path."""
    return f"it can't be written ({type(error).__name__})"
