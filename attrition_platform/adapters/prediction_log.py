"""The prediction log in SQL: append-only by trigger, one durable transaction per append.

SQLite by default, PostgreSQL by URL. Appending is in `prediction_appends`; reading goes through
SQLAlchemy on connections of its own, so it neither waits for the writer nor holds it up.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from attrition_platform.adapters.prediction_appends import (
    FIELDS,
    TABLE,
    Appender,
    PostgresAppender,
    SqliteAppender,
    prepare_sqlite,
)
from attrition_platform.adapters.sql_transactions import initialising, without_password
from attrition_platform.errors import PredictionLogError
from attrition_platform.ports import PredictionRecord

_WAIT_SECONDS = 10.0
_ADVISORY_LOCK = 7_203_117
_values = attrgetter(*FIELDS)

_metadata = sa.MetaData()
_rows = sa.Table(
    TABLE,
    _metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("pseudonym", sa.Text, nullable=False),
    sa.Column("client", sa.Text, nullable=False),
    sa.Column("variant", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("inputs_hash", sa.Text, nullable=False),
    sa.Column("inputs", sa.Text),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("probability", sa.Double, nullable=False),
    sa.Column("threshold", sa.Double, nullable=False),
    sa.Column("flagged", sa.Boolean, nullable=False),
    sa.Column("tier", sa.Text, nullable=False),
    sa.Column("other_version", sa.Text),
    sa.Column("other_probability", sa.Double),
    sa.Column("failed", sa.Boolean, nullable=False),
    sa.Column("latency_us", sa.BigInteger, nullable=False),
    sa.Column("shadow_latency_us", sa.BigInteger),
)
_COLUMNS = [_rows.c[name] for name in FIELDS]
# One index that rises with time serves every read: SQLite compares the versions inside the index, before
# it looks a row up. An index that begins with the version would cost each row 2 us of 12.
sa.Index(f"ix_{TABLE}_at", _rows.c.at, _rows.c.version, _rows.c.other_version)
for _version in (_rows.c.version, _rows.c.other_version):  # PostgreSQL would look every row up
    sa.Index(f"ix_{TABLE}_{_version.name}", _version, _rows.c.at).ddl_if(dialect="postgresql")

# Our own connections refuse REPLACE by the guard against DELETE (PRAGMA recursive_triggers). An INSERT
# trigger that looks the id up would refuse it on foreign connections too, but costs every row 2 us of 12.
_SQLITE_GUARDS = [
    f"CREATE TRIGGER IF NOT EXISTS {TABLE}_no_{verb} BEFORE {verb} ON {TABLE} "
    "BEGIN SELECT RAISE(ABORT, 'the prediction log is append-only'); END"
    for verb in ("UPDATE", "DELETE")
]
_POSTGRES_GUARDED = (
    f"SELECT 1 FROM pg_trigger WHERE tgname = '{TABLE}_guard' AND tgrelid = '{TABLE}'::regclass"
)
_POSTGRES_GUARDS = [
    f"CREATE OR REPLACE FUNCTION {TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the prediction log is append-only'; END $$",
    f"CREATE TRIGGER {TABLE}_guard BEFORE UPDATE OR DELETE OR TRUNCATE ON {TABLE} "
    f"FOR EACH STATEMENT EXECUTE FUNCTION {TABLE}_refuse()",
]


class SqlPredictionLog:
    """A `PredictionLog` (see `ports`) in one table; several threads and processes may use it at once.

    Parameters
    ----------
    url : str
        SQLAlchemy URL, such as ``sqlite:////data/predictions.sqlite`` or ``postgresql+psycopg2://...``.
    wait_seconds : float
        How long an append waits for another process's transaction, or for the server.

    Raises
    ------
    PredictionLogError
        When the database can't be opened.
    """

    def __init__(self, url: str, *, wait_seconds: float = _WAIT_SECONDS) -> None:
        try:
            self._engine = _engine(url, wait_seconds)
            with initialising(self._engine, _ADVISORY_LOCK, 3 * wait_seconds):
                _metadata.create_all(self._engine)
                self._guard()
            self._appender = _appender(self._engine, wait_seconds)
        except (sa.exc.SQLAlchemyError, sqlite3.Error, ImportError, OSError) as error:
            raise PredictionLogError(
                f"The prediction log at '{without_password(url)}' can't be opened "
                f"({type(error).__name__}). Check ATTRITION_PREDICTIONS_URL and that the database runs."
            ) from error
        self._lock = threading.Lock()
        self._is_closed = False

    def append(self, records: Sequence[PredictionRecord]) -> None:
        """Write records in one durable transaction; see `ports.PredictionLog`."""
        if not records:
            return
        with self._lock:
            if self._is_closed:
                raise PredictionLogError("The prediction log is closed. Start the service again.")
            self._appender.append(list(map(_values, records)))

    def get(self, prediction_id: str) -> PredictionRecord | None:
        """Find one prediction; see `ports.PredictionLog`."""
        found = self._read(sa.select(*_COLUMNS).where(_rows.c.id == prediction_id))
        return found[0] if found else None

    def since(
        self, at: int, *, version: str | None = None, limit: int | None = None
    ) -> list[PredictionRecord]:
        """Predictions from a time on, oldest first; see `ports.PredictionLog`.

        Equal times come in the order in which they were written.
        """
        query = sa.select(*_COLUMNS).where(_rows.c.at >= at).order_by(_rows.c.at, _rows.c.seq).limit(limit)
        return self._read(query if version is None else query.where(_is_of(version)))

    def tail(self, version: str | None, limit: int, *, until: int | None = None) -> list[PredictionRecord]:
        """Newest `limit` predictions, oldest first; see `ports.PredictionLog`."""
        query = sa.select(*_COLUMNS).order_by(_rows.c.at.desc(), _rows.c.seq.desc()).limit(limit)
        if version is not None:
            query = query.where(_is_of(version))
        if until is not None:
            query = query.where(_rows.c.at <= until)
        return self._read(query)[::-1]

    def count(self) -> int:
        """How many predictions there are."""
        with self._reading() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(_rows)).scalar_one()

    def close(self) -> None:
        """Give the connections back; nothing can be appended afterwards."""
        with self._lock:
            self._is_closed = True
            self._appender.close()
        self._engine.dispose()

    def _read(self, query: sa.Select[Any]) -> list[PredictionRecord]:
        with self._reading() as connection:
            return [PredictionRecord(*row) for row in connection.execute(query)]

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise PredictionLogError(
                f"The prediction log can't be read ({type(error.orig).__name__}). Check that the database "
                "of ATTRITION_PREDICTIONS_URL runs and is whole, then ask again."
            ) from None

    def _guard(self) -> None:
        with self._engine.begin() as connection:
            statements = _SQLITE_GUARDS
            if self._engine.dialect.name != "sqlite":
                # Making a trigger anew would lock out the processes that serve already.
                guarded = connection.exec_driver_sql(_POSTGRES_GUARDED).first() is not None
                statements = [] if guarded else _POSTGRES_GUARDS
            for statement in statements:
                connection.exec_driver_sql(statement)


def _is_of(version: str) -> sa.ColumnElement[bool]:
    return sa.or_(_rows.c.version == version, _rows.c.other_version == version)


def _appender(engine: sa.Engine, wait_seconds: float) -> Appender:
    if engine.dialect.name == "sqlite":
        return SqliteAppender(str(engine.url.database), wait_seconds)
    arguments, options = engine.dialect.create_connect_args(engine.url)
    return PostgresAppender(arguments, options, wait_seconds)


def _engine(url: str, wait_seconds: float) -> sa.Engine:
    address = sa.make_url(url)
    if address.get_backend_name() == "sqlite":
        if address.database in (None, "", ":memory:"):
            raise sa.exc.ArgumentError("a log in memory is not durable")
        engine = sa.create_engine(address, connect_args={"timeout": wait_seconds})
        sa.event.listen(engine, "connect", lambda connection, _: prepare_sqlite(connection))
        return engine
    if address.get_driver_name() != "psycopg2":
        raise sa.exc.ArgumentError("the log speaks SQLite and postgresql+psycopg2")
    engine = sa.create_engine(
        address, pool_pre_ping=True, connect_args={"connect_timeout": max(2, round(wait_seconds))}
    )
    milliseconds = int(3 * wait_seconds * 1000)

    @sa.event.listens_for(engine, "connect")
    def _lose_patience(connection: Any, _: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {milliseconds}")
        connection.commit()

    return engine
