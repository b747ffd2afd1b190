"""One suite for the fake, SQLite and PostgreSQL: append-only, linked, one winner."""

from __future__ import annotations

import multiprocessing
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from attrition_platform.adapters.ledger import SqlLedger
from attrition_platform.errors import LateRunError, LedgerError, TestSideReadTwiceError
from attrition_platform.ports import Ledger, verify_chain
from attrition_platform_tests.adapters.memory_ledger import MemoryLedger

T1, T2, T3 = (f"2026-01-0{day}T00:00:00.000+00:00" for day in (1, 2, 3))


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Ledger:
    if request.param == "memory":
        return MemoryLedger()
    if request.param == "sqlite":
        return SqlLedger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    url = request.getfixturevalue("postgres_url")
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS attrition_ledger"))
    return SqlLedger(url)


def test_an_empty_ledger_has_no_champion_and_is_intact(ledger: Ledger) -> None:
    assert ledger.champion() is None
    assert ledger.verify().intact
    assert ledger.records() == []


def test_the_champion_is_the_newest_crowning_record(ledger: Ledger) -> None:
    ledger.append("promotion", "v1", {}, at=T1)
    ledger.append("promotion", "v2", {}, at=T2)
    ledger.append("decision", "v3", {"promoted": False}, at=T3)

    champion = ledger.champion()

    assert champion is not None
    assert champion.version == "v2"
    assert champion.seq == 2


def test_the_champion_of_an_earlier_time_can_be_asked_for(ledger: Ledger) -> None:
    ledger.append("promotion", "v1", {}, at=T1)
    ledger.append("promotion", "v2", {}, at=T3)

    then = ledger.champion(as_of=T2)

    assert then is not None
    assert then.version == "v1"
    assert ledger.champion(as_of="2025-01-01T00:00:00+00:00") is None


def test_a_rollback_moves_the_pointer_and_keeps_history(ledger: Ledger) -> None:
    for kind, version in (("promotion", "v1"), ("promotion", "v2"), ("rollback", "v1")):
        ledger.append(kind, version, {"reason": "because"}, at=T1)  # type: ignore[arg-type]

    assert [record.version for record in ledger.records()] == ["v1", "v2", "v1"]
    last = ledger.last("rollback")
    assert last is not None
    assert last.payload == {"reason": "because"}


def test_a_late_promoter_changes_nothing(ledger: Ledger) -> None:
    ledger.append("promotion", "v1", {}, at=T1, expected_champion=None, check_champion=True)

    with pytest.raises(LateRunError):
        ledger.append("promotion", "v2", {}, at=T2, expected_champion=None, check_champion=True)

    assert [record.version for record in ledger.records()] == ["v1"]


def test_who_decided_on_an_older_release_changes_nothing(ledger: Ledger) -> None:
    promotion = ledger.append("promotion", "v1", {}, at=T1)
    canary = ledger.append("canary", "v2", {}, at=T1, expected_release=promotion.seq)
    ledger.append("decision", "v3", {}, at=T1)  # says nothing about the release
    ledger.append("canary-end", "v2", {}, at=T1, expected_release=canary.seq)

    with pytest.raises(LateRunError, match="ledger record 4"):
        ledger.append("promotion", "v2", {}, at=T1, expected_release=canary.seq)

    assert ledger.head() == 4


def test_a_value_that_is_not_json_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="can't be written"):
        ledger.append("decision", "v1", {"auc": float("nan")}, at=T1)

    assert ledger.records() == []


def test_the_test_side_is_read_once_per_decision(ledger: Ledger) -> None:
    ledger.claim_test_read("d1", "run-1", at=T1, takeover=False)
    ledger.claim_test_read("d2", "run-1", at=T1, takeover=False)

    with pytest.raises(TestSideReadTwiceError):
        ledger.claim_test_read("d1", "run-2", at=T2, takeover=False)

    taken = ledger.claim_test_read("d1", "run-3", at=T3, takeover=True)
    assert taken.payload == {"run_id": "run-3", "takes_over": 1}


def test_the_head_is_the_number_of_the_newest_record(ledger: Ledger) -> None:
    assert ledger.head() == 0

    ledger.append("promotion", "v1", {}, at=T1)

    assert ledger.head() == 1


def test_a_second_takeover_follows_the_reader_before_it(ledger: Ledger) -> None:
    ledger.claim_test_read("d1", "run-1", at=T1, takeover=True)
    ledger.claim_test_read("d1", "run-2", at=T2, takeover=True)

    last = ledger.claim_test_read("d1", "run-3", at=T3, takeover=True)

    assert [record.payload["takes_over"] for record in ledger.records()] == [None, 1, 2]
    assert ledger.last("test-read") == last


def test_a_refusal_names_the_last_reader_and_records_nothing(ledger: Ledger) -> None:
    ledger.claim_test_read("d1", "run-1", at=T1, takeover=False)
    ledger.claim_test_read("d1", "run-2", at=T2, takeover=True)

    with pytest.raises(TestSideReadTwiceError, match="run-2"):
        ledger.claim_test_read("d1", "run-3", at=T3, takeover=False)

    assert len(ledger.records()) == 2


def test_the_chain_verifies_and_every_record_hangs_on_the_one_before(ledger: Ledger) -> None:
    for number in range(5):
        ledger.append("promotion", f"v{number}", {"n": number, "text": "Zoë’s"}, at=T1)

    report = ledger.verify()

    assert report.intact
    assert report.n_records == 5
    assert report.head_hash == ledger.records()[-1].hash


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": "v9"}, "was changed"),
        ({"payload": {"n": 9}}, "was changed"),
        ({"at": T3}, "was changed"),
        ({"previous_hash": "f" * 64}, "does not follow"),
        ({"seq": 9}, "is missing"),
    ],
)
def test_any_changed_field_breaks_the_chain(change: dict[str, object], problem: str) -> None:
    ledger = MemoryLedger()
    for number in range(3):
        ledger.append("promotion", f"v{number}", {"n": number}, at=T1)
    records = ledger.records()
    records[1] = replace(records[1], **change)  # type: ignore[arg-type]

    report = verify_chain(records)

    assert not report.intact
    assert problem in (report.problem or "")


@pytest.mark.parametrize(
    "statement", ["UPDATE attrition_ledger SET version='x'", "DELETE FROM attrition_ledger"]
)
def test_the_database_itself_refuses_to_change_a_record(ledger: Ledger, statement: str) -> None:
    if isinstance(ledger, MemoryLedger):
        return
    assert isinstance(ledger, SqlLedger)
    ledger.append("promotion", "v1", {}, at=T1)

    with pytest.raises(sa.exc.DBAPIError, match="append-only"), ledger._engine.begin() as connection:
        connection.exec_driver_sql(statement)

    assert ledger.verify().intact


@pytest.mark.parametrize("seq", ["seq", "9"])
def test_sqlite_refuses_to_put_a_record_in_the_place_of_another(tmp_path: Path, seq: str) -> None:
    """REPLACE removes the old row without firing a DELETE trigger."""
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    ledger.append("promotion", "v1", {}, at=T1)
    forged = (
        "INSERT OR REPLACE INTO attrition_ledger "
        f"SELECT {seq}, kind, at, 'forged', payload, previous_hash, hash FROM attrition_ledger"
    )

    with pytest.raises(sa.exc.DBAPIError, match="append-only"), ledger._engine.begin() as connection:
        connection.exec_driver_sql(forged)

    assert [record.version for record in ledger.records()] == ["v1"]


@pytest.mark.parametrize("url", ["nonsense", "oracle://ledger", "sqlite:////proc/none/ledger.sqlite"])
def test_an_address_that_can_not_be_used_says_what_to_check(url: str) -> None:
    with pytest.raises(LedgerError, match="ATTRITION_LEDGER_URL"):
        SqlLedger(url)


def test_the_message_does_not_show_a_password() -> None:
    with pytest.raises(LedgerError) as caught:
        SqlLedger("postgresql+psycopg2://nobody:hunter2@127.0.0.1:1/none")

    assert "hunter2" not in str(caught.value)


def test_a_database_that_can_not_be_opened_says_what_to_check(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="ATTRITION_LEDGER_URL"):
        SqlLedger("postgresql+psycopg2://nobody:secret@127.0.0.1:1/none")


def _append_many(url: str, name: str) -> None:
    ledger = SqlLedger(url)
    for number in range(10):
        ledger.append("decision", f"{name}-{number}", {}, at=T1)


@pytest.mark.slow
def test_four_processes_on_a_fresh_file_lose_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(url, f"p{number}")) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)

    report = SqlLedger(url).verify()

    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    assert report.intact
    assert report.n_records == 40


def test_a_database_that_fails_is_an_error_of_ours_that_quotes_no_record(tmp_path: Path) -> None:
    """A full disk or a server that is gone used to reach people as a trace of the SQL library."""
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    with sqlite3.connect(tmp_path / "ledger.sqlite") as database:
        database.execute("DROP TABLE attrition_ledger")

    for ask in (ledger.head, ledger.records, ledger.champion, ledger.verify):
        with pytest.raises(LedgerError, match="database failed"):
            ask()
    with pytest.raises(LedgerError) as caught:
        ledger.append("promotion", "v1", {"secret": "abc"}, at="2026-01-01T00:00:00.000+00:00")
    assert "abc" not in str(caught.value)
