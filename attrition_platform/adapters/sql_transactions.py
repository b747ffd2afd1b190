"""SQLite and PostgreSQL alike: opened once, one writer at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock

WAIT_SECONDS = 30


def open_engine(url: str) -> sa.Engine:
    """Open a database; SQLite writes ahead and flushes every commit to the disk."""
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_pre_ping=True)
    engine = sa.create_engine(url, connect_args={"timeout": WAIT_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say, not at the first write
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    return engine


@contextmanager
def initialising(engine: sa.Engine, lock: int, wait_seconds: float = -1) -> Iterator[None]:
    """Let one process at a time create tables; `lock` names them in PostgreSQL.

    Parameters
    ----------
    wait_seconds : float
        How long SQLite waits for another process; without end where it is negative.
    """
    if engine.dialect.name == "sqlite" and engine.url.database:
        with FileLock(Path(engine.url.database).with_suffix(".lock"), timeout=wait_seconds):
            yield
        return
    with engine.connect() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_lock(lock)))
        try:
            yield
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(lock)))


@contextmanager
def writing(engine: sa.Engine, lock: int) -> Iterator[sa.Connection]:
    """Hold the only write lock from before anything is read until the commit."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))
        try:
            yield connection
        except BaseException:
            connection.rollback()
            raise
        connection.commit()


def without_password(url: str) -> str:
    """An address as it may be shown: without the password, and without options, which may hold one too.

    >>> without_password("postgresql+psycopg2://ana:hush@db/ledger?password=hush&sslkey=k")
    'postgresql+psycopg2://ana:***@db/ledger'
    """
    try:
        return sa.make_url(url).set(query={}).render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return "an address that is no SQLAlchemy URL"
