"""Causes in SQL: found once, requested once, followed until a run has answered them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from attrition_platform.adapters.sql_transactions import (
    initialising,
    open_engine,
    without_password,
    writing,
)
from attrition_platform.errors import CauseStoreError
from attrition_platform.modeling.watch_rules import TriggerRule
from attrition_platform.monitoring.triggering import (
    DAY,
    Cause,
    CauseRecord,
    Decision,
    Stopped,
    after_run,
    decide,
)

_LOCK = 7_203_121
_metadata = sa.MetaData()
_causes = sa.Table(
    "attrition_causes",
    _metadata,
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False, index=True),
    sa.Column("found_at", sa.String(40), nullable=False),
    sa.Column("window", sa.String(200), nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("n_attempts", sa.Integer, nullable=False),
    sa.Column("run_key", sa.String(32)),
    sa.Column("requested_at", sa.String(40), index=True),
    sa.Column("retry_at", sa.String(40)),
    sa.Column("ended_at", sa.String(40)),
    sa.Column("n_interrupted", sa.Integer, nullable=False, server_default="0"),
)
# A cause remembers its newest run; the day's limit counts all of them.
_runs = sa.Table(
    "attrition_cause_runs",
    _metadata,
    sa.Column("run_key", sa.String(32), primary_key=True),
    sa.Column("requested_at", sa.String(40), nullable=False, index=True),
)


class CauseStore:
    """Every cause that was ever found, by its key.

    Parameters
    ----------
    url : str
        SQLAlchemy URL of SQLite or PostgreSQL.

    Raises
    ------
    CauseStoreError
        When the database can't be opened.
    """

    def __init__(self, url: str) -> None:
        try:
            self._engine = open_engine(url)
            with initialising(self._engine, _LOCK + 1):
                _metadata.create_all(self._engine)
                _add_what_older_stores_lack(self._engine)
        except (sa.exc.SQLAlchemyError, ImportError, OSError) as error:
            raise CauseStoreError(
                f"The store of causes at '{without_password(url)}' can't be opened ({type(error).__name__}). "
                "Check that the folder can be written, or that the ledger's database runs."
            ) from error

    def add(self, causes: Sequence[Cause]) -> int:
        """Record causes that are new; returns how many were."""
        n_new = 0
        if not causes:
            return n_new
        with writing(self._engine, _LOCK) as connection:
            keys = sa.select(_causes.c.key).where(_causes.c.key.in_([cause.key for cause in causes]))
            known = set(connection.scalars(keys))
            for cause in causes:
                if cause.key not in known:
                    connection.execute(_causes.insert().values(**_row(CauseRecord(cause))))
                    known.add(cause.key)
                    n_new += 1
        return n_new

    def request(self, rule: TriggerRule, now: datetime) -> Decision:
        """Decide what starts now, and put that on record in the same transaction.

        Two who ask at once get a cause once: the second sees a run under way.
        """
        with writing(self._engine, _LOCK) as connection:
            decision = decide(_read(connection, now, rule), rule, now, _runs_of_the_day(connection, now))
            for record in decision.request:
                _update(connection, record)
            if decision.request:
                key = decision.request[0].run_key
                connection.execute(_runs.delete().where(_runs.c.run_key == key))
                connection.execute(_runs.insert().values(run_key=key, requested_at=_text(now)))
        return decision

    def answer(self, keys: Sequence[str], now: datetime) -> int:
        """Close causes that wait or are tickets: another run answered them, or a person; says how many."""
        n_closed = 0
        with writing(self._engine, _LOCK) as connection:
            for key in keys:
                waits = (_causes.c.key == key, _causes.c.state.in_(["open", "ticketed"]))
                done = _causes.update().where(*waits).values(state="done", retry_at=None, ended_at=_text(now))
                n_closed += connection.execute(done).rowcount
        return n_closed

    def try_again(self, key: str) -> bool:
        """Give a cause whose runs failed one more run, at once; says whether it is such a cause.

        Should that run fail too, the cause is a ticket again.
        """
        failed = (_causes.c.state == "ticketed") | ((_causes.c.state == "open") & (_causes.c.n_attempts > 0))
        again = _causes.update().where(_causes.c.key == key, failed)
        with writing(self._engine, _LOCK) as connection:
            changed = connection.execute(again.values(state="open", retry_at=None, ended_at=None))
        return changed.rowcount > 0

    def settle(
        self,
        run_key: str,
        *,
        succeeded: bool,
        rule: TriggerRule,
        now: datetime,
        stopped: Stopped | None = None,
    ) -> list[CauseRecord]:
        """Close the causes of a run that has ended, or have them tried again; returns them as they are."""
        with writing(self._engine, _LOCK) as connection:
            query = sa.select(_causes).where(_causes.c.run_key == run_key, _causes.c.state == "requested")
            settled = [
                after_run(_record(row), succeeded=succeeded, rule=rule, now=now, stopped=stopped)
                for row in connection.execute(query.order_by(_causes.c.key))
            ]
            for record in settled:
                _update(connection, record)
        return settled

    def requested(self) -> dict[str, list[CauseRecord]]:
        """Causes whose run has not ended, by the run's key."""
        found: dict[str, list[CauseRecord]] = {}
        for record in self.records("requested"):
            found.setdefault(str(record.run_key), []).append(record)
        return found

    def records(self, state: str | None = None) -> list[CauseRecord]:
        """All causes, or those in a state, oldest first."""
        query = sa.select(_causes).order_by(_causes.c.found_at, _causes.c.key)
        if state is not None:
            query = query.where(_causes.c.state == state)
        with self._engine.connect() as connection:
            return [_record(row) for row in connection.execute(query)]

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _add_what_older_stores_lack(engine: sa.Engine) -> None:
    known = {column["name"] for column in sa.inspect(engine).get_columns(_causes.name)}
    if "n_interrupted" not in known:
        with writing(engine, _LOCK) as connection:
            added = f"ALTER TABLE {_causes.name} ADD COLUMN n_interrupted INTEGER NOT NULL DEFAULT 0"
            connection.exec_driver_sql(added)


def _read(connection: sa.Connection, now: datetime, rule: TriggerRule) -> list[CauseRecord]:
    """What a decision reads: what is not closed, and whatever a cap or a cooldown still counts."""
    minutes = max(24 * 60.0, *rule.cooldown_minutes.values())
    since = _text(now - timedelta(minutes=minutes))
    alive = _causes.c.state.in_(["open", "requested"]) | (_causes.c.requested_at >= since)
    return [_record(row) for row in connection.execute(sa.select(_causes).where(alive))]


def _runs_of_the_day(connection: sa.Connection, now: datetime) -> dict[str, datetime]:
    found = connection.execute(sa.select(_runs).where(_runs.c.requested_at > _text(now - DAY)))
    return {row.run_key: datetime.fromisoformat(row.requested_at) for row in found}


def _update(connection: sa.Connection, record: CauseRecord) -> None:
    connection.execute(_causes.update().where(_causes.c.key == record.cause.key).values(**_row(record)))


def _row(record: CauseRecord) -> dict[str, Any]:
    cause = record.cause
    return {
        "key": cause.key,
        "kind": cause.kind,
        "found_at": _text(cause.found_at),
        "window": cause.window,
        "evidence": json.dumps(dict(cause.evidence), sort_keys=True, allow_nan=False),
        "state": record.state,
        "n_attempts": record.n_attempts,
        "run_key": record.run_key,
        "requested_at": _text(record.requested_at),
        "retry_at": _text(record.retry_at),
        "ended_at": _text(record.ended_at),
        "n_interrupted": record.n_interrupted,
    }


def _record(row: Any) -> CauseRecord:
    found_at = _time(row.found_at)
    assert found_at is not None
    cause = Cause(row.kind, row.key, found_at, row.window, json.loads(row.evidence))
    return CauseRecord(
        cause,
        row.state,
        row.n_attempts,
        row.run_key,
        requested_at=_time(row.requested_at),
        retry_at=_time(row.retry_at),
        ended_at=_time(row.ended_at),
        n_interrupted=row.n_interrupted,
    )


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="microseconds")


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
