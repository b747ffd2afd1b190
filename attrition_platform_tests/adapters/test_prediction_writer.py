"""Group commit: durable before the answer, neighbours don't suffer, nobody waits for ever."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from attrition_platform.adapters import prediction_writer
from attrition_platform.adapters.prediction_log import SqlPredictionLog
from attrition_platform.adapters.prediction_writer import PredictionWriter
from attrition_platform.errors import PredictionLogError
from attrition_platform.ports import PredictionRecord
from attrition_platform_tests.adapters.memory_prediction_log import MemoryPredictionLog
from attrition_platform_tests.adapters.test_prediction_log import make_record

CHECKOUT = Path(__file__).resolve().parents[2]


class GatedLog(MemoryPredictionLog):
    """A log whose appends wait until the gate is open, so that a test decides what queues up."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Event()

    def append(self, records: Sequence[PredictionRecord]) -> None:
        self.entered.set()
        assert self.gate.wait(10)
        super().append(records)


@pytest.fixture
def log() -> GatedLog:
    """Open from the start; a test that queues clears the gate."""
    log = GatedLog()
    log.gate.set()
    return log


@pytest.fixture
def start(log: GatedLog) -> Iterator[Callable[..., PredictionWriter]]:
    writers: list[PredictionWriter] = []

    def start(**options: int) -> PredictionWriter:
        writers.append(PredictionWriter(log, **options))
        return writers[-1]

    yield start
    log.gate.set()
    for writer in writers:
        writer.close()


Start = Callable[..., PredictionWriter]


async def _busy(log: GatedLog, writer: PredictionWriter) -> asyncio.Task[None]:
    """Let the thread hang in an append, so that what comes now queues up."""
    log.gate.clear()
    log.entered.clear()
    task = asyncio.create_task(writer.write(make_record()))
    while not log.entered.is_set():
        await asyncio.sleep(0.001)
    return task


async def _queued(writes: Sequence[asyncio.Task[None]]) -> None:
    """Let each write enter the queue."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(write.done() for write in writes)


def test_a_write_returns_when_its_record_is_in_the_log(log: GatedLog, start: Start) -> None:
    writer, record = start(), make_record()

    async def scenario() -> None:
        await writer.write(record)
        assert log.get(record.id) == record

    asyncio.run(scenario())


def test_a_write_does_not_return_before_the_log_has_written(log: GatedLog, start: Start) -> None:
    writer = start()

    async def scenario() -> None:
        write = await _busy(log, writer)
        await asyncio.sleep(0.02)
        assert not write.done()
        log.gate.set()
        await write

    asyncio.run(scenario())


def test_requests_of_one_turn_share_one_transaction(log: GatedLog, start: Start) -> None:
    writer = start()

    async def request() -> None:
        time.sleep(0.001)  # lets the writer's thread run, as sending to a socket does
        await writer.write(make_record())

    async def scenario() -> None:
        await asyncio.gather(*(request() for _ in range(16)))

    asyncio.run(scenario())

    assert log.batches == [16]


def test_what_comes_during_a_write_becomes_the_next_batch(log: GatedLog, start: Start) -> None:
    writer = start()

    async def scenario() -> None:
        writes = [await _busy(log, writer)]
        for _ in range(5):
            writes.append(asyncio.create_task(writer.write(make_record())))
            await _queued(writes)
        log.gate.set()
        await asyncio.gather(*writes)

    asyncio.run(scenario())

    assert log.batches == [1, 5]


def test_a_batch_has_at_most_max_batch_records(log: GatedLog, start: Start) -> None:
    writer = start(max_batch=4)

    async def scenario() -> None:
        await asyncio.gather(*(writer.write(make_record()) for _ in range(10)))

    asyncio.run(scenario())

    assert log.batches == [4, 4, 2]


def test_records_written_together_stay_in_one_transaction(log: GatedLog, start: Start) -> None:
    writer = start(max_batch=4)
    many = [make_record() for _ in range(9)]

    async def scenario() -> None:
        await asyncio.gather(
            writer.write(make_record()),
            writer.write_many(many),
            writer.write(make_record()),
            writer.write_many([]),
        )

    asyncio.run(scenario())

    assert log.batches == [1, 9, 1]


def test_one_bad_record_does_not_fail_its_neighbours(log: GatedLog, start: Start) -> None:
    writer, known = start(), make_record()
    log.append([known])
    good = [make_record() for _ in range(4)]
    pair = [make_record(), known]

    async def scenario() -> list[BaseException | None]:
        writes = [
            writer.write(good[0]),
            writer.write(known),
            writer.write_many(good[1:3]),
            writer.write_many(pair),
            writer.write(good[3]),
        ]
        return await asyncio.gather(*writes, return_exceptions=True)

    outcomes = asyncio.run(scenario())

    assert [outcome is None for outcome in outcomes] == [True, False, True, False, True]
    assert all(isinstance(outcomes[bad], PredictionLogError) for bad in (1, 3))
    assert all(log.get(record.id) == record for record in good)
    assert log.get(pair[0].id) is None, "records that were written together stand or fall together"


def test_a_failed_disk_fails_every_request_and_a_mended_one_serves_again(log: GatedLog, start: Start) -> None:
    writer = start()
    log.failure = "The disk of the prediction log is full. Free space, then ask again."

    async def scenario() -> None:
        writes = [writer.write(make_record()) for _ in range(3)]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == [log.failure] * 3
        assert len({id(outcome) for outcome in outcomes}) == 3
        log.failure = None
        await writer.write(make_record())

    asyncio.run(scenario())

    assert log.count() == 1


def test_a_log_that_is_away_is_not_asked_again_for_each_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With 10 s for each of 256 requests, the last would wait 43 minutes to hear that it failed."""
    monkeypatch.setattr(prediction_writer, "_SLOW_FAILURE_SECONDS", 0.02)
    calls: list[int] = []

    class AwayLog(MemoryPredictionLog):
        def append(self, records: Sequence[PredictionRecord]) -> None:
            calls.append(len(records))
            time.sleep(0.03)
            raise PredictionLogError("The server can't be reached.")

    writer = PredictionWriter(AwayLog())

    async def scenario() -> list[BaseException | None]:
        writes = [writer.write(make_record()) for _ in range(50)]
        return await asyncio.gather(*writes, return_exceptions=True)

    outcomes = asyncio.run(scenario())
    writer.close()

    assert calls == [50]
    assert {str(outcome) for outcome in outcomes} == {"The server can't be reached."}


def test_an_unexpected_fault_reaches_the_request_and_the_thread_lives_on(
    log: GatedLog, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = start()

    def broken(records: Sequence[PredictionRecord]) -> None:
        raise TypeError("salary 4711")

    async def scenario() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(log, "append", broken)
            with pytest.raises(PredictionLogError, match=r"failed unexpectedly \(TypeError\)") as caught:
                await asyncio.wait_for(writer.write(make_record()), 5)
        assert isinstance(caught.value.__cause__, TypeError)
        assert "4711" not in str(caught.value)
        await asyncio.wait_for(writer.write(make_record()), 5)

    asyncio.run(scenario())


def test_a_cancelled_request_does_not_break_the_others(log: GatedLog, start: Start) -> None:
    writer = start()

    async def scenario() -> None:
        first = await _busy(log, writer)
        writes = [asyncio.create_task(writer.write(make_record())) for _ in range(3)]
        await _queued(writes)
        first.cancel()
        writes[1].cancel()
        await asyncio.sleep(0)
        log.gate.set()
        await asyncio.gather(writes[0], writes[2])
        assert first.cancelled()
        assert writes[1].cancelled()
        await writer.write(make_record())

    asyncio.run(scenario())

    assert log.count() == 5, "a record whose request was cancelled is written all the same"


def test_too_many_that_wait_are_refused_at_once_and_later_taken_again(log: GatedLog, start: Start) -> None:
    writer = start(max_queue=4)

    async def scenario() -> None:
        writes = [await _busy(log, writer)]
        writes += [asyncio.create_task(writer.write(make_record())) for _ in range(2)]
        await _queued(writes)
        with pytest.raises(PredictionLogError, match=r"3 predictions wait.*the limit is 4"):
            await writer.write_many([make_record(), make_record()])
        writes.append(asyncio.create_task(writer.write(make_record())))
        await _queued(writes)
        with pytest.raises(PredictionLogError, match="4 predictions wait"):
            await writer.write(make_record())
        log.gate.set()
        await asyncio.gather(*writes)
        await writer.write_many([make_record() for _ in range(4)])

    asyncio.run(scenario())

    assert log.count() == 8


def test_failures_leave_the_queue_too(log: GatedLog, start: Start) -> None:
    writer = start(max_queue=2)
    log.failure = "The disk is full."

    async def scenario() -> None:
        for _ in range(5):
            with pytest.raises(PredictionLogError, match="The disk is full"):
                await writer.write_many([make_record(), make_record()])

    asyncio.run(scenario())


def test_closing_writes_what_waits_and_refuses_what_comes(log: GatedLog, start: Start) -> None:
    writer = start(max_batch=2)

    async def scenario() -> None:
        writes = [await _busy(log, writer)]
        writes += [asyncio.create_task(writer.write(make_record())) for _ in range(5)]
        await asyncio.sleep(0)  # the five have enqueued, and their turn has not ended
        closing = asyncio.create_task(asyncio.to_thread(writer.close))
        await asyncio.sleep(0.01)
        with pytest.raises(PredictionLogError, match="is stopping"):
            await writer.write(make_record())
        assert not closing.done()
        log.gate.set()
        await asyncio.gather(closing, *writes)
        with pytest.raises(PredictionLogError, match="is stopping"):
            await writer.write(make_record())

    asyncio.run(scenario())

    assert log.count() == 6
    assert not writer._thread.is_alive()


def test_closing_inside_the_loop_answers_those_who_wait(log: GatedLog, start: Start) -> None:
    writer = start()

    async def scenario() -> None:
        writes = [asyncio.create_task(writer.write(make_record())) for _ in range(3)]
        await asyncio.sleep(0)
        writer.close()
        writer.close()
        await asyncio.wait_for(asyncio.gather(*writes), 5)

    asyncio.run(scenario())

    assert log.count() == 3


def test_a_writer_serves_several_loops_one_after_another_and_at_once(log: GatedLog, start: Start) -> None:
    writer = start()

    async def scenario() -> None:
        for _ in range(20):
            await asyncio.wait_for(asyncio.gather(*(writer.write(make_record()) for _ in range(3))), 10)

    asyncio.run(scenario())
    threads = [threading.Thread(target=asyncio.run, args=(scenario(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert log.count() == 240


def test_a_loop_that_is_gone_does_not_stop_the_writer(log: GatedLog, start: Start) -> None:
    writer = start()

    async def leave() -> None:
        await _busy(log, writer)

    asyncio.run(leave())
    log.gate.set()
    asyncio.run(asyncio.wait_for(writer.write(make_record()), 5))

    assert log.count() == 2


_SERVICE = textwrap.dedent(
    """
    import asyncio, os, sys
    from attrition_platform.adapters.prediction_log import SqlPredictionLog
    from attrition_platform.adapters.prediction_writer import PredictionWriter
    from attrition_platform_tests.adapters.test_prediction_log import make_record

    writer = PredictionWriter(SqlPredictionLog(sys.argv[1]))

    async def answer(number):
        while True:
            records = [make_record() for _ in range(3 if number == 0 else 1)]
            await (writer.write_many(records) if number == 0 else writer.write(records[0]))
            os.write(1, "".join(record.id + "\\n" for record in records).encode())
            await asyncio.sleep(0.001 * (number % 3))

    async def serve():
        await asyncio.gather(*(answer(number) for number in range(16)))

    asyncio.run(serve())
    """
)


@pytest.mark.slow
def test_every_answered_prediction_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    file = tmp_path / "predictions.sqlite"
    moments = random.Random(20)
    answered: set[str] = set()
    for _ in range(20):
        with subprocess.Popen(
            [sys.executable, "-c", _SERVICE, f"sqlite:///{file}"],
            cwd=CHECKOUT,
            env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
            stdout=subprocess.PIPE,
        ) as service:
            assert service.stdout is not None
            first = service.stdout.readline()
            killer = threading.Timer(moments.uniform(0, 0.15), service.send_signal, (signal.SIGKILL,))
            killer.start()
            lines = (first + service.stdout.read()).splitlines()
            killer.join()
        assert service.returncode == -signal.SIGKILL
        answered |= {line.decode() for line in lines if len(line) == 32}

        with sqlite3.connect(file) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        log = SqlPredictionLog(f"sqlite:///{file}")
        kept = {record.id for record in log.since(0)}
        log.close()
        assert answered <= kept

    assert len(answered) > 1_000
