"""The ledger in SQL: append-only by trigger, hash-linked, one transaction per record.

SQLite by default, PostgreSQL by URL. A writer takes the lock before it reads the head (BEGIN
IMMEDIATE, or an advisory lock), so two promoters can't both extend the same head.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from attrition_platform.adapters.sql_transactions import (
    initialising,
    open_engine,
    without_password,
    writing,
)
from attrition_platform.errors import LateRunError, LedgerError, TestSideReadTwiceError
from attrition_platform.ports import (
    CROWNING,
    FIRST_HASH,
    RELEASING,
    LedgerRecord,
    LedgerReport,
    RecordKind,
    record_hash,
    verify_chain,
)

_ADVISORY_LOCK = 7_203_115

_metadata = sa.MetaData()
_records = sa.Table(
    "attrition_ledger",
    _metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String(32), nullable=False, index=True),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("version", sa.String(128), nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("previous_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
)
_SQLITE_GUARDS = [
    f"CREATE TRIGGER IF NOT EXISTS attrition_ledger_no_{verb} BEFORE {verb} ON attrition_ledger "
    "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    for verb in ("UPDATE", "DELETE")
] + [
    # REPLACE removes the old row without firing a DELETE trigger, so the insert itself is refused.
    "CREATE TRIGGER IF NOT EXISTS attrition_ledger_no_REPLACE BEFORE INSERT ON attrition_ledger "
    "WHEN EXISTS (SELECT 1 FROM attrition_ledger WHERE seq = NEW.seq OR hash = NEW.hash "
    "OR previous_hash = NEW.previous_hash) "
    "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
]
_POSTGRES_GUARDS = [
    "CREATE OR REPLACE FUNCTION attrition_ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$",
    "DROP TRIGGER IF EXISTS attrition_ledger_guard ON attrition_ledger",
    "CREATE TRIGGER attrition_ledger_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON attrition_ledger "
    "FOR EACH STATEMENT EXECUTE FUNCTION attrition_ledger_refuse()",
]


class SqlLedger:
    """A `Ledger` (see `ports`) in one table.

    Parameters
    ----------
    url : str
        SQLAlchemy URL, such as ``sqlite:////data/ledger.sqlite`` or ``postgresql+psycopg2://...``.

    Raises
    ------
    LedgerError
        When the database can't be opened.
    """

    def __init__(self, url: str) -> None:
        try:
            self._engine = open_engine(url)
            with initialising(self._engine, _ADVISORY_LOCK + 1):
                _metadata.create_all(self._engine)
                self._guard()
        except (sa.exc.SQLAlchemyError, ImportError, OSError) as error:
            raise LedgerError(
                f"The ledger at '{without_password(url)}' can't be opened ({type(error).__name__}). "
                "Check ATTRITION_LEDGER_URL and that the database runs."
            ) from error

    def append(
        self,
        kind: RecordKind,
        version: str,
        payload: Mapping[str, Any],
        *,
        at: str,
        expected_champion: str | None = None,
        check_champion: bool = False,
        expected_release: int | None = None,
    ) -> LedgerRecord:
        """Append one record; see `ports.Ledger`."""
        with _failures_told(), writing(self._engine, _ADVISORY_LOCK) as connection:
            if check_champion:
                self._expect(connection, expected_champion)
            if expected_release is not None:
                self._expect_release(connection, expected_release)
            return self._insert(connection, kind, version, payload, at)

    def champion(self, as_of: str | None = None) -> LedgerRecord | None:
        """Record that made the champion; see `ports.Ledger`."""
        with _failures_told(), self._engine.connect() as connection:
            return self._champion(connection, as_of)

    def records(self) -> list[LedgerRecord]:
        """All records, oldest first."""
        with _failures_told(), self._engine.connect() as connection:
            return [_record(row) for row in connection.execute(sa.select(_records).order_by(_records.c.seq))]

    def last(self, kind: RecordKind) -> LedgerRecord | None:
        """Newest record of a kind."""
        query = sa.select(_records).where(_records.c.kind == kind).order_by(_records.c.seq.desc()).limit(1)
        with _failures_told(), self._engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else _record(row)

    def claim_test_read(self, decision_id: str, run_id: str, *, at: str, takeover: bool) -> LedgerRecord:
        """Record the one read of the test side; see `ports.Ledger`."""
        query = sa.select(_records).where(_records.c.kind == "test-read", _records.c.version == decision_id)
        query = query.order_by(_records.c.seq.desc()).limit(1)
        with _failures_told(), writing(self._engine, _ADVISORY_LOCK) as connection:
            earlier = connection.execute(query).first()
            if earlier is not None and not takeover:
                raise TestSideReadTwiceError(
                    f"The test side was read for decision {decision_id[:12]} already, by run "
                    f"{_record(earlier).payload['run_id']}. A second look would make it a selection set: "
                    "bring new data or another challenger."
                )
            payload = {"run_id": run_id, "takes_over": None if earlier is None else earlier.seq}
            return self._insert(connection, "test-read", decision_id, payload, at)

    def verify(self) -> LedgerReport:
        """Recompute the chain."""
        return verify_chain(self.records())

    def head(self) -> int:
        """Number of the newest record; see `ports.Ledger`."""
        with _failures_told(), self._engine.connect() as connection:
            return connection.execute(sa.select(sa.func.max(_records.c.seq))).scalar() or 0

    def _guard(self) -> None:
        sqlite = self._engine.dialect.name == "sqlite"
        with self._engine.begin() as connection:
            for statement in _SQLITE_GUARDS if sqlite else _POSTGRES_GUARDS:
                connection.exec_driver_sql(statement)

    def _champion(self, connection: sa.Connection, as_of: str | None) -> LedgerRecord | None:
        query = sa.select(_records).where(_records.c.kind.in_(CROWNING))
        if as_of is not None:
            query = query.where(_records.c.at <= as_of)
        row = connection.execute(query.order_by(_records.c.seq.desc()).limit(1)).first()
        return None if row is None else _record(row)

    def _expect(self, connection: sa.Connection, expected: str | None) -> None:
        found = self._champion(connection, None)
        now = None if found is None else found.version
        if now != expected:
            raise LateRunError(
                f"Another run made '{now}' the champion while this one compared with '{expected}'. "
                "Nothing was changed; run the job again to decide against the new champion."
            )

    def _expect_release(self, connection: sa.Connection, expected: int) -> None:
        newest = sa.select(sa.func.max(_records.c.seq)).where(_records.c.kind.in_(RELEASING))
        found = connection.execute(newest).scalar() or 0
        if found != expected:
            raise LateRunError(
                f"Somebody else has changed the release in the meantime (ledger record {found}). Nothing was "
                "changed; look at `attrition canary status` and decide again."
            )

    def _insert(
        self, connection: sa.Connection, kind: RecordKind, version: str, payload: Mapping[str, Any], at: str
    ) -> LedgerRecord:
        head = connection.execute(sa.select(_records).order_by(_records.c.seq.desc()).limit(1)).first()
        seq, previous = (1, FIRST_HASH) if head is None else (head.seq + 1, head.hash)
        try:
            text = json.dumps(dict(payload), sort_keys=True, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise LedgerError(f"A '{kind}' record can't be written: {error}. Nothing was changed.") from None
        plain = json.loads(text)
        digest = record_hash(seq, kind, at, version, plain, previous)
        record = LedgerRecord(seq, kind, at, version, plain, previous, digest)
        connection.execute(
            _records.insert().values(
                seq=seq,
                kind=kind,
                at=at,
                version=version,
                payload=text,
                previous_hash=previous,
                hash=digest,
            )
        )
        return record


@contextmanager
def _failures_told() -> Iterator[None]:
    """Turn the database's own errors into ours."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise LedgerError(
            f"The ledger's database failed ({type(error.orig).__name__}). Check that the database of "
            "ATTRITION_LEDGER_URL runs, has space and can be written; `attrition history` then shows what "
            "is on record."
        ) from None  # its text may quote the record


def _record(row: Any) -> LedgerRecord:
    return LedgerRecord(
        seq=row.seq,
        kind=row.kind,
        at=row.at,
        version=row.version,
        payload=json.loads(row.payload),
        previous_hash=row.previous_hash,
        hash=row.hash,
    )
