"""Group commit: many requests of an asyncio service share one durable write of the prediction log.

Requests that are answered in the same turn of the event loop are handed to one thread together; what
arrives while the thread writes becomes the next batch. So a lone request never waits for company, and
under load the batch grows by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from attrition_platform.errors import PredictionLogError
from attrition_platform.ports import PredictionLog, PredictionRecord

# A log that fails slowly is locked or away; then it is not asked again for each request that waits.
_SLOW_FAILURE_SECONDS = 1.0


class _Group:
    """Records that stand or fall together, and the future of the request that waits for them."""

    __slots__ = ("future", "records")

    def __init__(self, records: Sequence[PredictionRecord], future: asyncio.Future[None]) -> None:
        self.records = records
        self.future = future


@dataclass(frozen=True)
class _Failure:
    error: Exception
    is_slow: bool

    def for_one_request(self) -> PredictionLogError:
        """An error of its own for each request, since raising one adds to its traceback."""
        if isinstance(self.error, PredictionLogError):
            return PredictionLogError(str(self.error))
        unexpected = PredictionLogError(
            f"The prediction log failed unexpectedly ({type(self.error).__name__}), so the prediction is not "
            "on record. Report this as a fault of the service."
        )
        unexpected.__cause__ = self.error
        return unexpected


class PredictionWriter:
    """Writes predictions durably for the coroutines of a service.

    Parameters
    ----------
    log : PredictionLog
        Where to; used from one thread of this writer only.
    max_batch : int
        Records per transaction; only a single `write_many` may exceed it.
    max_queue : int
        Records that may wait; more are refused at once.
    """

    def __init__(self, log: PredictionLog, *, max_batch: int = 256, max_queue: int = 10_000) -> None:
        self._log = log
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._lock = threading.Lock()
        self._is_closed = False
        self._n_waiting = 0
        self._turn: list[_Group] = []  # what this turn of the loop has brought so far
        self._turn_of: asyncio.AbstractEventLoop | None = None
        self._queue: SimpleQueue[list[_Group] | None] = SimpleQueue()  # None: no more will come
        self._thread = threading.Thread(target=self._run, name="prediction-writer", daemon=True)
        self._thread.start()

    async def write(self, record: PredictionRecord) -> None:
        """Return when the record is on disk.

        Raises
        ------
        PredictionLogError
            When it can't be written, when too many records wait already, or after `close`.
        """
        await self._enqueue((record,))

    async def write_many(self, records: Sequence[PredictionRecord]) -> None:
        """Return when all records are on disk, in one transaction; raises as `write` does."""
        if records:
            await self._enqueue(records)

    def close(self) -> None:
        """Write what waits, then stop; blocks until then. A second call does nothing."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._hand_over_locked()
                self._queue.put(None)
        self._thread.join()

    def _enqueue(self, records: Sequence[PredictionRecord]) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        with self._lock:
            if self._is_closed:
                raise PredictionLogError("The service is stopping and takes no prediction. Ask again later.")
            if self._n_waiting + len(records) > self._max_queue:
                raise PredictionLogError(
                    f"{self._n_waiting} predictions wait to be put on record, and the limit is "
                    f"{self._max_queue}. Ask again later; if this lasts, look at the log's disk or server."
                )
            self._n_waiting += len(records)
            if self._turn_of is not loop:
                self._turn_of = loop
                loop.call_soon(self._hand_over)
            self._turn.append(_Group(records, future))
        return future

    def _hand_over(self) -> None:
        with self._lock:
            self._hand_over_locked()

    def _hand_over_locked(self) -> None:
        if self._turn:
            self._queue.put(self._turn)
            self._turn = []
        self._turn_of = None

    def _run(self) -> None:
        """Take everything that waits, write it in batches, tell those who wait; the thread's life."""
        is_last = False
        while not is_last:
            groups: list[_Group] = []
            while not groups or not self._queue.empty():
                turn = self._queue.get()
                if turn is None:
                    is_last = True
                    break
                groups.extend(turn)
            for batch in _batches(groups, self._max_batch):
                self._write_batch(batch)

    def _write_batch(self, batch: Sequence[_Group]) -> None:
        failure = self._try([record for group in batch for record in group.records])
        failures = [failure] * len(batch)
        if failure is not None and len(batch) > 1:
            # One record that can't be written, such as a second with the same id, must not fail the others.
            for number, group in enumerate(batch):
                if failure is not None and failure.is_slow:
                    break
                failures[number] = failure = self._try(group.records)
        with self._lock:
            self._n_waiting -= sum(len(group.records) for group in batch)
        _tell(batch, failures)

    def _try(self, records: Sequence[PredictionRecord]) -> _Failure | None:
        """Write in one transaction; None when it is durable."""
        started = time.monotonic()
        try:
            self._log.append(records)
        except Exception as error:
            # The thread must outlive any fault: without it, every later request would wait for ever.
            is_slow = time.monotonic() - started > _SLOW_FAILURE_SECONDS
            return _Failure(error, is_slow)
        return None


def _batches(groups: Sequence[_Group], max_batch: int) -> Iterator[list[_Group]]:
    """Cut groups into runs of at most `max_batch` records, without cutting a group."""
    batch: list[_Group] = []
    n_records = 0
    for group in groups:
        if batch and n_records + len(group.records) > max_batch:
            yield batch
            batch, n_records = [], 0
        batch.append(group)
        n_records += len(group.records)
    if batch:
        yield batch


def _tell(batch: Sequence[_Group], failures: Sequence[_Failure | None]) -> None:
    """Resolve the futures with one call into each event loop."""
    outcomes: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[None], _Failure | None]]] = {}
    for group, failure in zip(batch, failures, strict=True):
        outcomes.setdefault(group.future.get_loop(), []).append((group.future, failure))
    for loop, of_loop in outcomes.items():
        with contextlib.suppress(RuntimeError):  # a closed loop: nobody waits there any more
            loop.call_soon_threadsafe(_resolve, of_loop)


def _resolve(outcomes: Sequence[tuple[asyncio.Future[None], _Failure | None]]) -> None:
    for future, failure in outcomes:
        if future.done():  # its request was cancelled
            continue
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure.for_one_request())
