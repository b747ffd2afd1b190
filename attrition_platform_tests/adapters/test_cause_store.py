"""One suite for SQLite and PostgreSQL: found once, requested once, followed to the end."""

from __future__ import annotations

import multiprocessing
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from attrition_platform.adapters.cause_store import CauseStore
from attrition_platform.errors import CauseStoreError
from attrition_platform.modeling.watch_rules import CauseKind, TriggerRule
from attrition_platform.monitoring.triggering import Cause, CauseRecord

NOON = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULE = TriggerRule(max_attempts=2, backoff_minutes=5.0)


def make_cause(name: str = "a", kind: CauseKind = "new-file") -> Cause:
    return Cause(kind, f"{kind}/{name}", NOON, name, {"file": "März.csv", "score": 0.25, "columns": ["age"]})


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'causes.sqlite'}"
    found: str = request.getfixturevalue("postgres_url")
    with sa.create_engine(found).begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS attrition_causes, attrition_cause_runs"))
    return found


@pytest.fixture
def store(url: str) -> CauseStore:
    return CauseStore(url)


def test_a_cause_comes_back_as_it_was_recorded(store: CauseStore) -> None:
    assert store.add([make_cause()]) == 1

    assert store.records() == [CauseRecord(make_cause())]
    assert store.records("done") == []


def test_the_same_cause_is_recorded_once_however_often_it_is_found(store: CauseStore) -> None:
    assert store.add([make_cause("a"), make_cause("a"), make_cause("b")]) == 2
    assert store.add([make_cause("b"), make_cause("c")]) == 1
    assert store.add([]) == 0

    assert [record.cause.key for record in store.records()] == ["new-file/a", "new-file/b", "new-file/c"]


def test_a_cause_that_was_answered_is_not_opened_again_when_it_is_found_again(store: CauseStore) -> None:
    """A lost cursor, or a drift report that still stands, finds it on every tick."""
    store.add([make_cause()])
    (key,) = {record.run_key for record in store.request(RULE, NOON).request}
    assert key is not None
    store.settle(key, succeeded=True, rule=RULE, now=NOON)

    assert store.add([make_cause()]) == 0
    assert store.request(RULE, NOON + timedelta(days=3)).request == ()
    assert [record.state for record in store.records()] == ["done"]


def test_what_is_requested_is_on_record_for_whoever_opens_the_store_next(url: str) -> None:
    first = CauseStore(url)
    first.add([make_cause("a"), make_cause("b")])
    requested = first.request(RULE, NOON).request
    first.close()

    found = CauseStore(url).requested()

    assert list(found) == [requested[0].run_key]
    assert found[str(requested[0].run_key)] == list(requested)


def test_a_second_request_sees_the_run_under_way(store: CauseStore) -> None:
    store.add([make_cause("a")])
    key = store.request(RULE, NOON).request[0].run_key
    store.add([make_cause("b")])

    again = store.request(RULE, NOON + MINUTE)

    assert again.request == ()
    assert again.waiting == {"new-file/b": f"Run {key} is under way."}


def test_a_failed_run_is_tried_again_under_another_key_and_then_becomes_a_ticket(store: CauseStore) -> None:
    store.add([make_cause()])
    first = str(store.request(RULE, NOON).request[0].run_key)
    (failed,) = store.settle(first, succeeded=False, rule=RULE, now=NOON)
    assert (failed.state, failed.retry_at) == ("open", NOON + 5 * MINUTE)
    assert store.request(RULE, NOON + 4 * MINUTE).request == ()

    second = str(store.request(RULE, NOON + 5 * MINUTE).request[0].run_key)
    (last,) = store.settle(second, succeeded=False, rule=RULE, now=NOON + 6 * MINUTE)

    assert second != first
    assert (last.state, last.n_attempts) == ("ticketed", 2)
    assert store.records("ticketed") == [last]
    assert store.requested() == {}


def fail(store: CauseStore, name: str, at: datetime, rule: TriggerRule = RULE) -> None:
    """A cause whose run failed."""
    store.add([make_cause(name)])
    key = str(store.request(rule, at).request[0].run_key)
    store.settle(key, succeeded=False, rule=rule, now=at)


def test_whatever_waits_or_is_a_ticket_is_closed_when_another_run_has_answered_it(store: CauseStore) -> None:
    fail(store, "ticket", NOON, TriggerRule(max_attempts=1))
    fail(store, "failed", NOON)
    store.add([make_cause("waits")])
    names = ("failed", "ticket", "waits", "unknown")

    closed = store.answer([f"new-file/{name}" for name in names], NOON + MINUTE)

    assert closed == 3
    assert {(r.state, r.retry_at, r.ended_at) for r in store.records()} == {("done", None, NOON + MINUTE)}
    assert store.answer(["new-file/waits"], NOON) == 0


def test_a_cause_under_way_is_not_closed_over_its_run(store: CauseStore) -> None:
    store.add([make_cause()])
    store.request(RULE, NOON)

    assert store.answer(["new-file/a"], NOON) == 0
    assert not store.try_again("new-file/a")
    assert [record.state for record in store.records()] == ["requested"]


def test_a_ticket_that_is_tried_again_gets_one_more_run_at_once_under_a_key_of_its_own(
    store: CauseStore,
) -> None:
    rule = TriggerRule(max_attempts=1)
    fail(store, "a", NOON, rule)
    first = store.records()[0].run_key

    assert store.try_again("new-file/a")
    assert not store.try_again("new-file/unknown")

    (again,) = store.request(rule, NOON + MINUTE).request
    assert (again.n_attempts, again.ended_at) == (2, None)
    assert again.run_key != first
    (ticket,) = store.settle(str(again.run_key), succeeded=False, rule=rule, now=NOON)
    assert ticket.state == "ticketed"


def test_a_back_off_is_over_for_a_cause_that_is_tried_again(store: CauseStore) -> None:
    fail(store, "a", NOON)
    assert store.request(RULE, NOON + MINUTE).request == ()

    assert store.try_again("new-file/a")
    assert store.request(RULE, NOON + MINUTE).request


def test_a_store_of_an_older_version_is_read_and_written(tmp_path: Path) -> None:
    """Its table has no count of interrupted runs."""
    url = f"sqlite:///{tmp_path / 'old.sqlite'}"
    store = CauseStore(url)
    store.add([make_cause()])
    store.close()
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text("ALTER TABLE attrition_causes DROP COLUMN n_interrupted"))

    for _ in range(2):
        store = CauseStore(url)
        assert store.records()[0].n_interrupted == 0
    key = str(store.request(RULE, NOON).request[0].run_key)
    store.settle(key, succeeded=False, rule=RULE, now=NOON, stopped="interrupted")
    assert (store.records()[0].state, store.records()[0].n_interrupted) == ("open", 1)


def test_a_run_is_settled_once(store: CauseStore) -> None:
    """A failure that is reported after the success, or twice, changes nothing any more."""
    store.add([make_cause()])
    key = str(store.request(RULE, NOON).request[0].run_key)

    assert len(store.settle(key, succeeded=True, rule=RULE, now=NOON)) == 1
    assert store.settle(key, succeeded=False, rule=RULE, now=NOON) == []
    assert store.settle("a key of another store", succeeded=False, rule=RULE, now=NOON) == []
    assert [record.state for record in store.records()] == ["done"]


def test_times_keep_their_instant_whatever_zone_they_came_in(store: CauseStore) -> None:
    from zoneinfo import ZoneInfo

    there = NOON.astimezone(ZoneInfo("Asia/Kolkata"))
    store.add([Cause("event", "event/1", there, "1", {})])

    assert store.records()[0].cause.found_at == NOON


def test_a_run_that_was_requested_by_the_clock_of_another_zone_counts_for_its_whole_day(
    store: CauseStore,
) -> None:
    from zoneinfo import ZoneInfo

    rule = TriggerRule(max_runs_per_day=1)
    store.add([make_cause("a")])
    key = str(store.request(rule, NOON.astimezone(ZoneInfo("Pacific/Honolulu"))).request[0].run_key)
    store.settle(key, succeeded=True, rule=rule, now=NOON)
    store.add([make_cause("b")])

    assert store.request(rule, NOON + timedelta(hours=20)).request == ()


def test_a_cooldown_of_weeks_is_still_known_after_its_cause_was_done(store: CauseStore) -> None:
    """What was answered long ago is read as long as some cooldown still counts it."""
    rule = TriggerRule(cooldown_minutes={"drift": 21 * 24 * 60.0})
    store.add([make_cause("w1", "drift")])
    key = str(store.request(rule, NOON).request[0].run_key)
    store.settle(key, succeeded=True, rule=rule, now=NOON)
    store.add([make_cause("w2", "drift")])

    assert store.request(rule, NOON + timedelta(days=20)).request == ()
    assert store.request(rule, NOON + timedelta(days=21)).request


def test_every_attempt_counts_against_the_days_limit(store: CauseStore) -> None:
    """A cause that is tried again overwrites its newest run; the runs before it were runs all the same."""
    rule = TriggerRule(max_runs_per_day=2, max_attempts=5, backoff_minutes=1.0)
    store.add([make_cause("poison")])
    started = []
    for minute in range(0, 24 * 60, 30):
        for record in store.request(rule, NOON + minute * MINUTE).request:
            started.append(minute)
            store.settle(str(record.run_key), succeeded=False, rule=rule, now=NOON + minute * MINUTE)

    assert started == [0, 30]
    assert "the policy's limit" in store.request(rule, NOON + 1439 * MINUTE).waiting["new-file/poison"]
    assert store.request(rule, NOON + 1440 * MINUTE).request


def test_odd_texts_come_back_as_they_were(store: CauseStore) -> None:
    odd = "Größe 😀 \u202e' \"; DROP TABLE attrition_causes; -- %s \u0000 \x7f"
    store.add([Cause("new-column", "new-column/1", NOON, "w", {"columns": [odd], odd: None})])
    store.add([make_cause("next")])

    found = store.records()

    assert [r.cause.evidence for r in found] == [{"columns": [odd], odd: None}, make_cause().evidence]


def test_threads_that_ask_at_once_start_one_run(store: CauseStore) -> None:
    store.add([make_cause(name) for name in "abc"])
    found: list[int] = []
    barrier = threading.Barrier(4)

    def ask() -> None:
        barrier.wait()
        found.append(len(store.request(RULE, NOON).request))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == [0, 0, 0, 3]


def _find_and_ask(url: str, barrier: object, found: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    store = CauseStore(url)
    n_new = store.add([make_cause(name) for name in "abc"])
    found.put((n_new, len(store.request(RULE, NOON).request)))  # type: ignore[attr-defined]


@pytest.mark.slow
def test_processes_that_open_a_fresh_store_at_once_find_a_cause_once_and_start_one_run(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, found = context.Barrier(3), context.Queue()
    processes = [context.Process(target=_find_and_ask, args=(url, barrier, found)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)

    assert [process.exitcode for process in processes] == [0, 0, 0]
    counts = [found.get() for _ in processes]
    assert sum(n_new for n_new, _ in counts) == 3
    assert sorted(n for _, n in counts) == [0, 0, 3]


def test_a_place_that_can_not_be_opened_is_told_without_a_password(tmp_path: Path) -> None:
    (tmp_path / "causes").write_text("a file where the folder should be")
    with pytest.raises(CauseStoreError, match="can't be opened"):
        CauseStore(f"sqlite:///{tmp_path / 'causes' / 'new-file.sqlite'}")
    with pytest.raises(CauseStoreError) as told:
        CauseStore("postgresql+psycopg2://ana:secret@127.0.0.1:1/none?connect_timeout=1")
    assert "secret" not in str(told.value)
