"""The file of notifications, and beside it what has become of them.

``notifications.jsonl`` is the truth: one line a notification, appended and synced before anything else
happens. ``notifications.state.json`` says up to which byte the lines were dealt with, what waits, and
which channel has not taken what. It is replaced whole. A process that is killed between the two leaves
lines behind that the state does not know of; the next one deals with them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from attrition_platform.monitoring.grouping import Desk, Group, time_of
from attrition_platform.monitoring.notification import Notification

NOTES = frozenset({"notification-failed", "notification-test"})  # lines that are told to nobody
_LOCK_SECONDS = 5
_TAIL_BYTES = 1 << 20
_VERSION = 1


@dataclass
class Offer:
    """How one message has fared with one channel so far.

    Attributes
    ----------
    n_refused : int
        How often the channel did not want this very message.
    n_failed : int
        How often it did not go through, whatever the reason.
    n_unanswered : int
        How often it was handed over whole and nothing was said to it: perhaps it arrived.
    rest_until : str or None
        Until then it is left alone.
    leased_until : str or None
        Until then one process hands it over, and the others leave it alone.
    noted : bool
        Whether the file says that it did not go out at once.
    """

    n_refused: int = 0
    n_failed: int = 0
    n_unanswered: int = 0
    rest_until: str | None = None
    leased_until: str | None = None
    noted: bool = False


@dataclass
class Letter:
    """A message that some channel has not taken yet.

    Attributes
    ----------
    document : dict
        As `wording.as_document` made it.
    pending : dict of str to Offer
        By channel that has not taken it.
    since : str
        When it was put here.
    """

    document: dict[str, Any]
    pending: dict[str, Offer]
    since: str

    @property
    def name(self) -> str:
        """What tells one letter from another; begins with the newest notification's id."""
        return f"{self.document.get('id')}.{self.document.get('count')}.{self.since}"


@dataclass
class ChannelHealth:
    """Since when a channel fails, with what, when it last did, and whether by saying nothing for long."""

    failing_since: str | None = None
    problem: str | None = None
    tried_at: str | None = None
    is_slow: bool = False


@dataclass
class State:
    """What is remembered between two notifications, by all processes.

    Attributes
    ----------
    offset : int
        Bytes of the file that were dealt with.
    desk : Desk
        What grouping remembers.
    outbox : list of Letter
        Oldest first.
    health : dict of str to ChannelHealth
        By channel.
    """

    offset: int = 0
    desk: Desk = field(default_factory=Desk)
    outbox: list[Letter] = field(default_factory=list)
    health: dict[str, ChannelHealth] = field(default_factory=dict)


class Journal:
    """The file and the state beside it; whoever changes them holds the lock.

    Parameters
    ----------
    file : Path
        One JSON document a line, oldest first; made when it is missing.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._state_file = file.with_suffix(".state.json")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock.

        Raises
        ------
        OSError, filelock.Timeout
            When the folder can't be written, or somebody holds the lock for seconds.
        """
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.file.with_suffix(".lock"), timeout=_LOCK_SECONDS):
            yield

    def append(self, document: Mapping[str, Any]) -> int:
        """Write a line and sync it; returns the size of the file then."""
        line = json.dumps(document, ensure_ascii=False, sort_keys=True, allow_nan=False) + "\n"
        with self.file.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a process was killed in the middle of its line
                    line = "\n" + line
            file.write(line.encode(errors="replace"))
            file.flush()
            os.fsync(file.fileno())
            return file.tell()

    def newest(self) -> list[dict[str, Any]]:
        """The last lines, about a megabyte of them, oldest first."""
        return self.lines_from(max(0, self.size() - _TAIL_BYTES))

    def size(self) -> int:
        """Bytes of the file; 0 when there is none."""
        try:
            return self.file.stat().st_size
        except FileNotFoundError:
            return 0

    def lines_from(self, offset: int) -> list[dict[str, Any]]:
        """Every whole line from a byte on, as far as it can be read."""
        return _documents(self._bytes_from(offset))

    def whole_lines_from(self, offset: int) -> tuple[list[dict[str, Any]], int]:
        """Lines that have ended, for a reader without the lock, and where the next one begins."""
        offset = min(offset, self.size())
        content = self._bytes_from(offset)
        ended = content[: content.rfind(b"\n") + 1]
        return _documents(ended), offset + len(ended)

    def _bytes_from(self, offset: int) -> bytes:
        try:
            with self.file.open("rb") as file:
                file.seek(offset)
                return file.read()
        except FileNotFoundError:
            return b""

    def notifications_from(self, offset: int) -> list[Notification]:
        """What was told from a byte on, without notes about channels."""
        return notifications_in(self.lines_from(offset))

    def load(self) -> State | None:
        """The stored state; None when there is none.

        Raises
        ------
        ValueError
            When it is damaged.
        """
        try:
            text = self._state_file.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return _state_of(json.loads(text))
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"The state can't be read ({type(error).__name__}).") from None

    def save(self, state: State) -> None:
        """Replace the stored state."""
        # The name is always the same, under the lock: a killed process leaves one file behind, not many.
        new = self._state_file.with_suffix(".new")
        with new.open("w", encoding="utf-8", errors="replace") as file:
            json.dump(_json_of(state), file, ensure_ascii=False, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self._state_file)


def _documents(content: bytes) -> list[dict[str, Any]]:
    documents = []
    for line in content.split(b"\n"):
        try:
            document = json.loads(line)
        except ValueError:  # the first may be cut by our own reading, any other by a killed writer
            continue
        if isinstance(document, dict):
            documents.append(document)
    return documents


def notifications_in(lines: list[dict[str, Any]]) -> list[Notification]:
    """Those lines that are notifications.

    >>> notifications_in([{"kind": "notification-failed"}, {"kind": "no such line"}])
    []
    """
    found = []
    for line in lines:
        if line.get("kind") in NOTES:
            continue
        try:
            found.append(Notification.from_json(line))
        except ValueError:
            continue
    return found


def _json_of(state: State) -> dict[str, Any]:
    desk = state.desk
    return {
        "version": _VERSION,
        "offset": state.offset,
        "desk": {
            "n_seen": desk.n_seen,
            "recent": [[*about, at.isoformat()] for about, at in desk.recent.items()],
            "groups": [
                {
                    "key": list(key),
                    "told_at": None if group.told_at is None else group.told_at.isoformat(),
                    "first": group.first,
                    "n_waiting": group.n_waiting,
                    "waiting": [notification.as_json() for notification in group.waiting],
                }
                for key, group in desk.groups.items()
            ],
        },
        "outbox": [asdict(letter) for letter in state.outbox],
        "health": {name: asdict(health) for name, health in state.health.items()},
    }


def _state_of(stored: Mapping[str, Any]) -> State:
    if stored["version"] != _VERSION:
        raise ValueError("The state is of another version.")
    desk = stored["desk"]
    return State(
        offset=int(stored["offset"]),
        desk=Desk(
            n_seen=int(desk["n_seen"]),
            recent={
                (kind, key, severity, pipeline): _time(at)
                for kind, key, severity, pipeline, at in desk["recent"]
            },
            groups={
                (group["key"][0], group["key"][1], group["key"][2], group["key"][3]): Group(
                    told_at=None if group["told_at"] is None else _time(group["told_at"]),
                    first=int(group["first"]),
                    n_waiting=int(group["n_waiting"]),
                    waiting=tuple(Notification.from_json(waiting) for waiting in group["waiting"]),
                )
                for group in desk["groups"]
            },
        ),
        outbox=[_letter(letter) for letter in stored["outbox"]],
        health={name: ChannelHealth(**health) for name, health in stored["health"].items()},
    )


def _letter(stored: Mapping[str, Any]) -> Letter:
    # Where a plain number stands, an older version counted refusals and nothing else.
    pending = {
        name: Offer(n_refused=offer) if isinstance(offer, int) else Offer(**offer)
        for name, offer in stored["pending"].items()
    }
    return Letter(stored["document"], pending, stored["since"])


def _time(text: str) -> datetime:
    return time_of(text, datetime.min.replace(tzinfo=UTC))
