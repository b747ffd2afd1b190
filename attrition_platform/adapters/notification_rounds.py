"""One channel's share of a delivery: in a thread of its own, for which nobody waits longer than agreed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attrition_platform.adapters.notification_channels import Channel, Problem

Late = Callable[[str, Problem | None], None]


@dataclass(frozen=True)
class Found:
    """What a round has come to when nobody waits for it any longer.

    Attributes
    ----------
    answers : dict of str to (Problem or None)
        By message that was offered.
    under_way : str or None
        The message that the channel has neither taken nor refused yet.
    """

    answers: dict[str, Problem | None]
    under_way: str | None

    @property
    def problem(self) -> str | None:
        """What went wrong last, in words; None where nothing did."""
        if self.under_way is not None:
            return "it has not answered yet"
        return next(
            (problem.text for problem in reversed(self.answers.values()) if problem is not None), None
        )

    @property
    def is_slow(self) -> bool:
        """Whether the channel let us wait for nothing."""
        answers = self.answers.values()
        return self.under_way is not None or any(one is not None and one.is_slow for one in answers)


class Round:
    """Offers messages to one channel, in order, until one does not pass.

    Parameters
    ----------
    channel : Channel
    documents : sequence of (str, mapping)
        Name and document of each message.
    late : callable
        Told of the message that was under way when the round was closed, as soon as it is known what became
        of it: a mail that was taken after all must not be sent again.
    """

    def __init__(
        self, channel: Channel, documents: Sequence[tuple[str, Mapping[str, Any]]], late: Late
    ) -> None:
        self.channel = channel
        self._documents = documents
        self._late = late
        self._answers: dict[str, Problem | None] = {}
        self._under_way: str | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def close(self, until: float) -> Found:
        """Wait at most until a time of `time.monotonic`; begin nothing further after that."""
        self._thread.join(max(0.0, until - time.monotonic()))
        with self._lock:
            self._closed = True
            return Found(dict(self._answers), self._under_way)

    def _work(self) -> None:
        for name, document in self._documents:
            with self._lock:
                if self._closed:
                    return
                self._under_way = name
            problem = self.channel.take(document)
            with self._lock:
                if self._closed:
                    break
                self._under_way = None
                self._answers[name] = problem
            if problem is not None and problem.scope in ("channel", "unanswered"):
                return
        else:
            return
        self._late(name, problem)
