"""One suite for the fake, SQLite and PostgreSQL: append-only, durable, all of a batch or nothing."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from attrition_platform.adapters.prediction_appends import FIELDS, TABLE, PostgresAppender, SqliteAppender
from attrition_platform.adapters.prediction_ids import prediction_ids
from attrition_platform.adapters.prediction_log import _ADVISORY_LOCK, SqlPredictionLog
from attrition_platform.errors import PredictionLogError
from attrition_platform.ports import PredictionRecord
from attrition_platform_tests.adapters.memory_prediction_log import MemoryPredictionLog

AnyLog = MemoryPredictionLog | SqlPredictionLog
_next_id = prediction_ids()


def make_record(**what: Any) -> PredictionRecord:
    """A prediction of the stable arm; name only what the test is about."""
    usual: dict[str, Any] = {
        "id": _next_id(),
        "at": 1_760_000_000_000_000,
        "pseudonym": "9f" * 16,
        "client": "payroll",
        "variant": "stable",
        "version": "v1",
        "inputs_hash": "ab" * 16,
        "inputs": None,
        "score": -0.1 + 0.2,
        "probability": 1 / 3,
        "threshold": 0.31,
        "flagged": True,
        "tier": "medium",
        "other_version": None,
        "other_probability": None,
        "failed": False,
        "latency_us": 213,
        "shadow_latency_us": None,
    }
    return PredictionRecord(**usual | what)


def _transaction(url: str | sa.URL) -> AbstractContextManager[sa.Connection]:
    """A connection that is given back at once: PostgreSQL waits for open ones before it stops."""
    return sa.create_engine(url, poolclass=sa.NullPool).begin()


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyLog]:
    if request.param == "memory":
        yield MemoryPredictionLog()
        return
    url = f"sqlite:///{tmp_path / 'predictions.sqlite'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        with _transaction(url) as connection:
            connection.execute(sa.text(f"DROP TABLE IF EXISTS {TABLE}"))
    made = SqlPredictionLog(url)
    yield made
    made.close()


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    return tmp_path / "predictions.sqlite"


def test_an_empty_log_finds_nothing(log: AnyLog) -> None:
    assert log.count() == 0
    assert log.get("0" * 32) is None
    assert log.since(0) == []
    assert log.tail("v1", 5) == []


def test_what_is_read_is_what_was_written_bit_for_bit(log: AnyLog) -> None:
    full = make_record(
        inputs='{"job_role": "Zoë’s"}',
        score=5e-324,
        probability=0.1 + 0.2,
        flagged=False,
        other_version="v2",
        other_probability=1 / 7,
        failed=True,
        latency_us=2**40,
        shadow_latency_us=7,
    )
    bare = make_record()

    log.append([full, bare])

    for record in (full, bare):
        found = log.get(record.id)
        assert found == record
        assert [type(getattr(found, name)) for name in FIELDS] == [
            type(getattr(record, name)) for name in FIELDS
        ]


def test_an_empty_batch_writes_nothing(log: AnyLog) -> None:
    log.append([])

    assert log.count() == 0


@pytest.mark.parametrize("n_records", [1, 49, 50, 51, 100, 333])
def test_a_batch_of_any_size_is_written_whole_and_in_order(log: AnyLog, n_records: int) -> None:
    records = [make_record(latency_us=number) for number in range(n_records)]

    log.append(records)

    assert log.since(0) == records
    assert log.count() == n_records


def test_since_begins_at_the_time_and_comes_oldest_first(log: AnyLog) -> None:
    late, early, middle = (make_record(at=at) for at in (30, 10, 20))
    log.append([late, early])
    log.append([middle])

    assert log.since(20) == [middle, late]
    assert log.since(21) == [late]
    assert log.since(0, limit=2) == [early, middle]
    assert log.since(0, limit=0) == []


def test_since_finds_a_version_on_either_side(log: AnyLog) -> None:
    alone = make_record(at=1, version="v2")
    shadowed = make_record(at=2, version="v1", other_version="v2", other_probability=0.5)
    stable = make_record(at=3, version="v1")
    both = make_record(at=4, version="v2", other_version="v2")
    log.append([both, stable, shadowed, alone])

    assert log.since(0, version="v2") == [alone, shadowed, both]
    assert log.since(2, version="v2", limit=1) == [shadowed]
    assert log.since(0, version="v1") == [shadowed, stable]
    assert log.since(0, version="v") == []


def test_tail_gives_the_newest_of_a_version_oldest_first(log: AnyLog) -> None:
    records = [make_record(at=at, version="v1" if at % 2 else "v2") for at in range(10)]
    records[8] = replace(records[8], other_version="v1")
    log.append(records)

    assert log.tail("v1", 3) == [records[7], records[8], records[9]]
    assert log.tail("v2", 99) == records[0::2]
    assert log.tail("v2", 0) == []
    assert log.tail("v3", 3) == []


def test_tail_ends_at_the_time_and_takes_all_versions_where_none_is_named(log: AnyLog) -> None:
    records = [make_record(at=at, version="v1" if at % 2 else "v2") for at in range(10)]
    log.append(records)

    assert log.tail("v1", 2, until=5) == [records[3], records[5]]
    assert log.tail("v1", 2, until=4) == [records[1], records[3]]
    assert log.tail(None, 3, until=6) == records[4:7]
    assert log.tail(None, 99) == records
    assert log.tail(None, 3, until=-1) == []


def test_the_index_serves_a_tail_that_ends_earlier(sqlite_file: Path) -> None:
    """Else reading what is due would read the whole log."""
    SqlPredictionLog(f"sqlite:///{sqlite_file}").close()
    query = f"SELECT * FROM {TABLE} WHERE at <= 5 ORDER BY at DESC, seq DESC LIMIT 3"

    with sqlite3.connect(sqlite_file) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]

    assert plan[0] == f"SEARCH {TABLE} USING INDEX ix_{TABLE}_at (at<?)"


def test_equal_times_keep_the_order_of_writing(log: AnyLog) -> None:
    records = [
        make_record(
            id=f"{99 - number:032x}", version=f"v{number % 2 + 1}", other_version=f"v{2 - number % 2}"
        )
        for number in range(5)
    ]
    log.append(records)

    assert log.since(0) == records
    assert log.since(0, version="v2") == records
    assert log.tail("v1", 2) == records[-2:]


@pytest.mark.parametrize("n_others", [1, 60])
def test_an_id_that_is_on_record_fails_its_whole_batch(log: AnyLog, n_others: int) -> None:
    first = make_record()
    log.append([first])

    with pytest.raises(PredictionLogError, match="on record already"):
        log.append([make_record() for _ in range(n_others)] + [replace(first, version="forged")])

    assert log.since(0) == [first]


def test_the_same_id_twice_in_a_batch_is_refused(log: AnyLog) -> None:
    record = make_record()

    with pytest.raises(PredictionLogError, match="on record already"):
        log.append([record, make_record(), record])

    assert log.count() == 0


def test_a_refused_batch_does_not_stop_the_next(log: AnyLog) -> None:
    first = make_record()
    log.append([first])
    with pytest.raises(PredictionLogError):
        log.append([first])

    log.append([make_record()])

    assert log.count() == 2


def test_a_closed_log_says_so(log: AnyLog) -> None:
    log.close()

    with pytest.raises(PredictionLogError, match="closed"):
        log.append([make_record()])


@pytest.mark.parametrize(
    "change",
    [{"score": {1, 2}}, {"latency_us": 2**70}, {"version": None}, {"client": "broken\ud800name"}],
    ids=["type", "range", "missing", "text"],
)
def test_a_value_that_does_not_fit_is_refused_without_showing_it(
    log: AnyLog, change: dict[str, object]
) -> None:
    if isinstance(log, MemoryPredictionLog):
        return
    secret = {"inputs": "salary 4711", "pseudonym": "pseudonym 4712"}

    with pytest.raises(PredictionLogError, match="can't be put on record as it is") as caught:
        log.append([make_record(), make_record(**secret | change)])

    assert "471" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None, "the database's own text quotes values"
    assert log.count() == 0
    log.append([make_record()])


@pytest.mark.parametrize("statement", [f"UPDATE {TABLE} SET version='x'", f"DELETE FROM {TABLE}"])
def test_the_database_itself_refuses_to_change_a_prediction(log: AnyLog, statement: str) -> None:
    if isinstance(log, MemoryPredictionLog):
        return
    record = make_record()
    log.append([record])

    with (
        pytest.raises(sa.exc.DBAPIError, match="append-only"),
        _transaction(log._engine.url) as connection,
    ):
        connection.exec_driver_sql(statement)

    assert log.since(0) == [record]


@pytest.mark.slow
def test_postgres_refuses_to_empty_the_table(postgres_url: str) -> None:
    log = SqlPredictionLog(postgres_url)
    log.append([make_record()])

    with (
        pytest.raises(sa.exc.DBAPIError, match="append-only"),
        _transaction(postgres_url) as connection,
    ):
        connection.exec_driver_sql(f"TRUNCATE {TABLE}")

    assert log.count() > 0
    log.close()


@pytest.mark.parametrize("same", ["seq", "id"])
def test_our_connections_to_sqlite_refuse_to_replace_a_prediction(sqlite_file: Path, same: str) -> None:
    """REPLACE fires the guard against DELETE only where recursive triggers are on."""
    log = SqlPredictionLog(f"sqlite:///{sqlite_file}")
    record = make_record()
    log.append([record])
    others = ", ".join(FIELDS[1:]).replace("version,", "'forged',", 1)
    key = "seq, '0'" if same == "seq" else "seq + 1, id"
    forged = f"INSERT OR REPLACE INTO {TABLE} SELECT {key}, {others} FROM {TABLE}"
    appender = log._appender
    assert isinstance(appender, SqliteAppender)

    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        appender._connection.execute(forged)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), log._engine.begin() as connection:
        connection.exec_driver_sql(forged)

    assert log.since(0) == [record]


def test_every_sqlite_connection_syncs_at_each_commit(sqlite_file: Path) -> None:
    log = SqlPredictionLog(f"sqlite:///{sqlite_file}")
    appender = log._appender
    assert isinstance(appender, SqliteAppender)

    assert appender._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert appender._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_table_has_one_column_per_field(sqlite_file: Path) -> None:
    SqlPredictionLog(f"sqlite:///{sqlite_file}").close()

    with sqlite3.connect(sqlite_file) as connection:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({TABLE})")]

    assert columns == ["seq", *(field.name for field in fields(PredictionRecord))]


def test_a_reader_neither_waits_for_a_writer_nor_sees_half_a_batch(sqlite_file: Path) -> None:
    log = SqlPredictionLog(f"sqlite:///{sqlite_file}", wait_seconds=0.05)
    first = make_record()
    log.append([first])
    writer = sqlite3.connect(sqlite_file, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    copied = f"INSERT INTO {TABLE} SELECT seq + 1, 'half', {', '.join(FIELDS[1:])} FROM {TABLE}"
    writer.execute(copied)

    assert log.since(0) == [first]
    assert log.get("half") is None

    writer.execute("COMMIT")
    writer.close()
    assert log.count() == 2


def test_a_writer_does_not_wait_for_a_reader(sqlite_file: Path) -> None:
    log = SqlPredictionLog(f"sqlite:///{sqlite_file}", wait_seconds=0.05)
    log.append([make_record()])
    reader = sqlite3.connect(sqlite_file, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute(f"SELECT count(*) FROM {TABLE}").fetchone()

    log.append([make_record()])

    assert reader.execute(f"SELECT count(*) FROM {TABLE}").fetchone() == (1,)
    reader.close()
    assert log.count() == 2


def test_a_locked_file_says_what_to_look_for_and_recovers(sqlite_file: Path) -> None:
    log = SqlPredictionLog(f"sqlite:///{sqlite_file}", wait_seconds=0.05)
    other = sqlite3.connect(sqlite_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    for n_records in (1, 99):
        with pytest.raises(PredictionLogError, match=r"locked for 0\.05 s.*Find the process"):
            log.append([make_record() for _ in range(n_records)])

    other.execute("ROLLBACK")
    other.close()
    log.append([make_record()])
    assert log.count() == 1


@pytest.mark.parametrize("n_records", [40, 400])
def test_a_full_disk_writes_nothing_and_recovers(sqlite_file: Path, n_records: int) -> None:
    log = SqlPredictionLog(f"sqlite:///{sqlite_file}")
    appender = log._appender
    assert isinstance(appender, SqliteAppender)
    connection = appender._connection
    connection.execute(f"PRAGMA max_page_count={connection.execute('PRAGMA page_count').fetchone()[0]}")
    records = [make_record(inputs="x" * 400) for _ in range(n_records)]

    with pytest.raises(PredictionLogError, match=r"disk .* is full.*Free space"):
        log.append(records)

    assert log.count() == 0
    connection.execute("PRAGMA max_page_count=1000000")
    log.append(records)
    assert log.count() == n_records


@pytest.mark.parametrize("code", ["SQLITE_IOERR_WRITE", "SQLITE_READONLY", "SQLITE_CORRUPT"])
def test_a_failing_file_is_named_by_its_error(sqlite_file: Path, code: str) -> None:
    SqlPredictionLog(f"sqlite:///{sqlite_file}").close()
    appender = SqliteAppender(str(sqlite_file), 1)
    error = sqlite3.OperationalError("disk")
    error.sqlite_errorname = code

    assert f"can't be written ({code})" in str(appender._explained(error))
    appender.close()


def test_threads_share_one_log(sqlite_file: Path) -> None:
    log = SqlPredictionLog(f"sqlite:///{sqlite_file}")
    batches = [[make_record() for _ in range(3)] for _ in range(40)]

    def append(part: list[list[PredictionRecord]]) -> None:
        for batch in part:
            log.append(batch)

    threads = [threading.Thread(target=append, args=(batches[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {record.id for record in log.since(0)} == {r.id for batch in batches for r in batch}


def test_a_version_is_looked_for_inside_the_index(sqlite_file: Path) -> None:
    """The index has to hold all that the condition asks for, or each row is read from the table."""
    SqlPredictionLog(f"sqlite:///{sqlite_file}").close()

    with sqlite3.connect(sqlite_file) as connection:
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN SELECT seq FROM {TABLE} "
            "WHERE at >= 5 AND (version = 'v' OR other_version = 'v') ORDER BY at"
        ).fetchall()

    assert len(plan) == 1
    assert f"COVERING INDEX ix_{TABLE}_at (at>?)" in plan[0][3]


@pytest.mark.parametrize(
    "url",
    ["nonsense", "oracle://log", "sqlite://", "sqlite:///:memory:", "sqlite:////proc/none/log.sqlite"],
)
def test_an_address_that_can_not_be_used_says_what_to_check(url: str) -> None:
    with pytest.raises(PredictionLogError, match="ATTRITION_PREDICTIONS_URL"):
        SqlPredictionLog(url)


def test_the_message_does_not_show_a_password() -> None:
    with pytest.raises(PredictionLogError, match=r"nobody:\*\*\*@") as caught:
        SqlPredictionLog("postgresql+psycopg2://nobody:hunter2@127.0.0.1:1/none")

    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_no_database_can_not_be_opened(sqlite_file: Path) -> None:
    sqlite_file.write_bytes(b"employee,age\n" * 400)

    with pytest.raises(PredictionLogError, match="can't be opened"):
        SqlPredictionLog(f"sqlite:///{sqlite_file}")


@pytest.fixture
def own_database(postgres_url: str) -> Iterator[tuple[str, Callable[[str], None]]]:
    """URL of a database of this test's own, and a way to give orders to its server."""
    server = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)

    def order(statement: str) -> None:
        with server.connect() as connection:
            connection.exec_driver_sql(statement)

    order("CREATE DATABASE gone")
    yield sa.make_url(postgres_url).set(database="gone").render_as_string(hide_password=False), order
    order("DROP DATABASE gone WITH (FORCE)")


_END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'gone'"


@pytest.mark.slow
def test_a_lost_connection_to_postgres_is_made_again(
    own_database: tuple[str, Callable[[str], None]],
) -> None:
    url, order = own_database
    log = SqlPredictionLog(url)
    log.append([make_record()])

    order(_END_SESSIONS)
    log.append([make_record(), make_record()])

    order(_END_SESSIONS)
    assert log.count() == 3
    log.close()


@pytest.mark.slow
def test_a_server_that_is_gone_is_named_and_found_again(
    own_database: tuple[str, Callable[[str], None]],
) -> None:
    url, order = own_database
    log = SqlPredictionLog(url, wait_seconds=2)
    order("ALTER DATABASE gone ALLOW_CONNECTIONS false")
    order(_END_SESSIONS)

    for _ in range(2):
        with pytest.raises(PredictionLogError, match="can't be reached"):
            log.append([make_record()])
    with pytest.raises(PredictionLogError, match="can't be read"):
        log.count()

    order("ALTER DATABASE gone ALLOW_CONNECTIONS true")
    log.append([make_record()])
    assert log.count() == 1
    log.close()


@pytest.mark.slow
def test_a_commit_whose_answer_was_lost_is_not_written_twice(
    own_database: tuple[str, Callable[[str], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, order = own_database
    log = SqlPredictionLog(url)
    appender = log._appender
    assert isinstance(appender, PostgresAppender)
    insert = appender._insert

    def insert_and_lose_the_answer(rows: Any) -> None:
        insert(rows)
        order(_END_SESSIONS)
        insert(rows)

    monkeypatch.setattr(appender, "_insert", insert_and_lose_the_answer)
    records = [make_record(), make_record()]

    log.append(records)

    assert log.since(0) == records
    log.close()


@pytest.mark.slow
def test_a_lock_in_postgres_is_waited_for_and_then_named(
    own_database: tuple[str, Callable[[str], None]],
) -> None:
    url, _ = own_database
    log = SqlPredictionLog(url, wait_seconds=0.2)
    with _transaction(url) as connection:
        connection.exec_driver_sql(f"LOCK TABLE {TABLE} IN EXCLUSIVE MODE")

        with pytest.raises(PredictionLogError, match=r"locked for 0\.2 s"):
            log.append([make_record()])

    log.append([make_record()])
    assert log.count() == 1
    log.close()


@pytest.mark.slow
def test_postgres_commits_durably_where_its_default_does_not(
    own_database: tuple[str, Callable[[str], None]],
) -> None:
    url, order = own_database
    order("ALTER DATABASE gone SET synchronous_commit = off")
    log = SqlPredictionLog(url)
    appender = log._appender
    assert isinstance(appender, PostgresAppender)

    with appender._connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchone() == ("on",)
    log.close()


@pytest.mark.slow
def test_opening_waits_for_another_that_initialises_and_then_says_so(
    own_database: tuple[str, Callable[[str], None]],
) -> None:
    url, _ = own_database
    with _transaction(url) as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")

        with pytest.raises(PredictionLogError, match="can't be opened"):
            SqlPredictionLog(url, wait_seconds=0.1)

    SqlPredictionLog(url).close()


@pytest.mark.slow
def test_opening_again_does_not_wait_for_those_who_write(
    own_database: tuple[str, Callable[[str], None]],
) -> None:
    url, _ = own_database
    first = SqlPredictionLog(url)
    with _transaction(url) as connection:
        connection.exec_driver_sql(f"LOCK TABLE {TABLE} IN ROW EXCLUSIVE MODE")

        second = SqlPredictionLog(url, wait_seconds=0.2)

    second.append([make_record()])
    assert first.count() == 1
    first.close()
    second.close()


def _append_many(url: str, name: int) -> None:
    log = SqlPredictionLog(url)
    for number in range(20):
        log.append([make_record(version=f"p{name}", latency_us=number) for _ in range(5)])
    os._exit(0)  # as abruptly as a killed service


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_four_processes_on_a_fresh_database_lose_nothing(
    request: pytest.FixtureRequest, sqlite_file: Path, database: str
) -> None:
    url = f"sqlite:///{sqlite_file}"
    if database == "postgres":
        url = request.getfixturevalue("own_database")[0]
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(url, number)) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)

    log = SqlPredictionLog(url)

    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    assert log.count() == 400
    assert all(len(log.since(0, version=f"p{number}")) == 100 for number in range(4))
    log.close()


def _open_all(folder: str, together: Any) -> None:
    for number in range(12):
        together.wait(60)
        log = SqlPredictionLog(f"sqlite:///{folder}/{number}.sqlite")
        log.append([make_record()])
        log.close()


@pytest.mark.slow
def test_four_processes_open_fresh_files_at_the_same_moment(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(4)
    openers = [context.Process(target=_open_all, args=(str(tmp_path), together)) for _ in range(4)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join(120)

    assert [opener.exitcode for opener in openers] == [0, 0, 0, 0]
    assert [SqlPredictionLog(f"sqlite:///{tmp_path / str(n)}.sqlite").count() for n in range(12)] == [4] * 12


def test_ids_rise_within_a_millisecond_and_when_the_clock_is_set_back() -> None:
    times = iter([5_000_000, 5_000_001, 5_999_999, 6_000_000, 2_000_000, 2_000_000, 7_000_000])
    next_id = prediction_ids(clock=lambda: next(times))

    ids = [next_id() for _ in range(7)]

    assert ids == sorted(set(ids))
    assert [int(i[:12], 16) for i in ids] == [5, 5, 5, 6, 6, 6, 7]
    assert all(len(i) == 32 and i[12] == "7" and i[16] in "89ab" for i in ids)


def test_two_makers_never_make_the_same_id() -> None:
    """Two processes in the same millisecond differ by what they drew."""
    one, other = (prediction_ids(clock=lambda: 5_000_000) for _ in range(2))

    assert not {one() for _ in range(1_000)} & {other() for _ in range(1_000)}


def test_a_forked_process_does_not_go_on_with_its_parents_ids() -> None:
    next_id = prediction_ids(clock=lambda: 5_000_000)
    next_id()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, next_id().encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(reading, 32).decode() != next_id()
    os.close(reading)
    os.close(writing)


def test_ids_rise_in_every_thread_when_threads_share_a_maker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that comes while another draws for a new millisecond must not go on from the old one."""
    smaller_and_smaller = iter(range(2**60, 0, -1))

    def draw_slowly(n_bytes: int) -> bytes:
        drawn = next(smaller_and_smaller).to_bytes(n_bytes, "big")
        time.sleep(0.02)
        return drawn

    monkeypatch.setattr(os, "urandom", draw_slowly)
    next_id = prediction_ids(clock=lambda: 5_000_000)
    made: list[list[str]] = [[] for _ in range(4)]

    def make(mine: list[str]) -> None:
        for _ in range(10):
            mine.append(next_id())
            time.sleep(0.0005)

    threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({i for mine in made for i in mine}) == 40
    assert all(mine == sorted(mine) for mine in made)
    assert {int(i[:12], 16) for mine in made for i in mine} == {5}
