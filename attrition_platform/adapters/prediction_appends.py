"""The hot path of the prediction log: rows into SQLite or PostgreSQL at little CPU.

Every answer of the service waits for an append. So this goes past SQLAlchemy to one kept connection
and one statement per batch, which is a transaction of its own: one step into SQLite (row by row, the
thread would give up and regain the interpreter's lock twice per row) or one round trip to PostgreSQL.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from itertools import chain
from typing import Any, Protocol

from attrition_platform.errors import PredictionLogError
from attrition_platform.ports import PredictionRecord

TABLE = "attrition_predictions"
FIELDS = tuple(field.name for field in fields(PredictionRecord))
_COLUMNS = ", ".join(FIELDS)
_ROWS_PER_STATEMENT = 50  # stays below the 999 variables that old SQLite libraries take

Row = tuple[Any, ...]


class Appender(Protocol):
    """Writes rows (values in the order of `FIELDS`) durably; one caller at a time."""

    def append(self, rows: Sequence[Row]) -> None:
        """Write all rows in one transaction, or none and raise `PredictionLogError`."""
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...


class SqliteAppender:
    """Appends to an initialised SQLite file; waits `wait_seconds` for another process's transaction."""

    def __init__(self, file: str, wait_seconds: float) -> None:
        self._wait_seconds = wait_seconds
        self._connection = sqlite3.connect(
            file, timeout=wait_seconds, isolation_level=None, check_same_thread=False
        )
        prepare_sqlite(self._connection)

    def append(self, rows: Sequence[Row]) -> None:
        """Write rows; see `Appender`."""
        try:
            if len(rows) <= _ROWS_PER_STATEMENT:  # a statement alone is an immediate transaction
                self._connection.execute(_insert(len(rows)), list(chain.from_iterable(rows)))
            else:
                self._append_in_parts(rows)
        except (sqlite3.Error, ValueError, OverflowError) as error:
            with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back by itself
                self._connection.rollback()
            raise self._explained(error) from None  # its text may quote what a record says

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def _append_in_parts(self, rows: Sequence[Row]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        for start in range(0, len(rows), _ROWS_PER_STATEMENT):
            part = rows[start : start + _ROWS_PER_STATEMENT]
            self._connection.execute(_insert(len(part)), list(chain.from_iterable(part)))
        self._connection.execute("COMMIT")

    def _explained(self, error: Exception) -> PredictionLogError:
        code = getattr(error, "sqlite_errorname", type(error).__name__)
        if code == "SQLITE_CONSTRAINT_UNIQUE":
            return _duplicate()
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return _locked(self._wait_seconds)
        if code == "SQLITE_FULL":
            return _full()
        if code.startswith(("SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_TOOBIG")) or "_" not in code:
            return _unwritable(code)
        return PredictionLogError(
            f"The file of the prediction log can't be written ({code}), so nothing was. Check the disk and "
            "who may write the file, then ask again."
        )


def prepare_sqlite(connection: Any) -> None:
    """Set what every connection to the file needs."""
    connection.isolation_level = None  # transactions begin where we say, not at the first write
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA recursive_triggers=ON")  # so that REPLACE meets the guard against DELETE


class PostgresAppender:
    """Appends to an initialised PostgreSQL database through psycopg2.

    Parameters
    ----------
    arguments, options
        What ``psycopg2.connect`` takes.
    wait_seconds : float
        How long a connection, a lock or a statement may take.
    """

    def __init__(self, arguments: Sequence[Any], options: Mapping[str, Any], wait_seconds: float) -> None:
        import psycopg2  # type: ignore[import-untyped]
        import psycopg2.extras  # type: ignore[import-untyped]

        self._driver = psycopg2
        self._execute_values = psycopg2.extras.execute_values
        patience = {
            "connect_timeout": max(2, round(wait_seconds)),
            "tcp_user_timeout": int(wait_seconds * 1000),
        }
        self._arguments, self._options = arguments, patience | dict(options)
        self._wait_seconds = wait_seconds
        self._connection = self._connect()

    def append(self, rows: Sequence[Row]) -> None:
        """Write rows, on a new connection where the kept one was lost; see `Appender`."""
        try:
            try:
                self._insert(rows)
            except self._driver.Error:
                if not self._connection.closed:
                    raise
                self._connection = self._connect()
                # The connection may have been lost between the commit and its answer.
                if not self._are_written(rows):
                    self._insert(rows)
        except (self._driver.Error, ValueError, OverflowError) as error:
            raise self._explained(error) from None  # the server's text quotes the row

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def _connect(self) -> Any:
        connection = self._driver.connect(*self._arguments, **self._options)
        connection.autocommit = True
        milliseconds = str(int(self._wait_seconds * 1000))
        with connection.cursor() as cursor:
            for name in ("lock_timeout", "statement_timeout"):
                cursor.execute("SELECT set_config(%s, %s, false)", (name, milliseconds))
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false) "
                "WHERE current_setting('synchronous_commit') = 'off'"
            )
        return connection

    def _insert(self, rows: Sequence[Row]) -> None:
        with self._connection.cursor() as cursor:
            self._execute_values(
                cursor, f"INSERT INTO {TABLE} ({_COLUMNS}) VALUES %s", rows, page_size=len(rows)
            )

    def _are_written(self, rows: Sequence[Row]) -> bool:
        with self._connection.cursor() as cursor:
            cursor.execute(f"SELECT {_COLUMNS} FROM {TABLE} WHERE id = ANY(%s)", ([row[0] for row in rows],))
            return {row[0]: row for row in cursor.fetchall()} == {row[0]: tuple(row) for row in rows}

    def _explained(self, error: Exception) -> PredictionLogError:
        code = getattr(error, "pgcode", None) or ""
        if code == "23505":
            return _duplicate()
        if code in ("55P03", "57014"):
            return _locked(self._wait_seconds)
        if code == "53100":
            return _full()
        if isinstance(error, self._driver.OperationalError | self._driver.InterfaceError):
            return PredictionLogError(
                "The database server of the prediction log can't be reached, so the prediction is not on "
                "record. Start the server, then ask again; the service connects by itself."
            )
        return _unwritable(code or type(error).__name__)


@lru_cache
def _insert(n_rows: int) -> str:
    row = f"({', '.join('?' * len(FIELDS))})"
    return f"INSERT INTO {TABLE} ({_COLUMNS}) VALUES {', '.join([row] * n_rows)}"


def _duplicate() -> PredictionLogError:
    return PredictionLogError(
        "A prediction's id is on record already, so nothing of its batch was written. Ask again: every "
        "answer gets a new id."
    )


def _locked(wait_seconds: float) -> PredictionLogError:
    return PredictionLogError(
        f"The prediction log was locked for {wait_seconds:g} s, so nothing was written. Find the process "
        "that keeps a transaction open in it, then ask again."
    )


def _full() -> PredictionLogError:
    return PredictionLogError(
        "The disk of the prediction log is full, so nothing was written. Free space, then ask again."
    )


def _unwritable(code: str) -> PredictionLogError:
    return PredictionLogError(
        f"A prediction can't be put on record as it is ({code}), so nothing of its batch was written. This "
        "is a fault of the service, not of the request: each value must have its field's type."
    )
