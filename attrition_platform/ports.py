"""The few questions that we ask of outside systems."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

RecordKind = Literal["promotion", "rollback", "decision", "test-read", "alias"]
CROWNING: tuple[RecordKind, ...] = ("promotion", "rollback")
FIRST_HASH = "0" * 64


@dataclass(frozen=True)
class LedgerRecord:
    """One line of the ledger.

    Attributes
    ----------
    seq : int
        1, 2, 3, ... without a gap.
    kind : RecordKind
        ``promotion`` and ``rollback`` move the pointer to `version`; the others do not.
    at : str
        Time in UTC, ISO 8601.
    version : str
        The model version that the record is about.
    payload : dict
        Evidence, as JSON values.
    previous_hash, hash : str
        sha256 of the record before (64 zeros for the first) and of this one, see `record_hash`.
    """

    seq: int
    kind: RecordKind
    at: str
    version: str
    payload: dict[str, Any]
    previous_hash: str
    hash: str


@dataclass(frozen=True)
class LedgerReport:
    """Whether the chain holds; `problem` names the first record that does not, and why."""

    intact: bool
    n_records: int
    head_hash: str
    problem: str | None = None


def record_hash(
    seq: int, kind: str, at: str, version: str, payload: Mapping[str, Any], previous_hash: str
) -> str:
    """Hash everything that a record says, the hash of the record before included.

    >>> record_hash(1, "promotion", "2026-01-01T00:00:00+00:00", "v1", {}, FIRST_HASH)[:12]
    '7e86422cceaf'
    """
    fields = [seq, kind, at, version, dict(payload), previous_hash]
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def verify_chain(records: Iterable[LedgerRecord]) -> LedgerReport:
    """Recompute every link; stops at the first record that does not hold."""
    previous, n_records = FIRST_HASH, 0
    for record in records:
        n_records += 1
        problem = None
        if record.seq != n_records:
            problem = f"record {n_records} is missing; the next is number {record.seq}"
        elif record.previous_hash != previous:
            problem = f"record {record.seq} does not follow from the one before"
        elif record.hash != record_hash(
            record.seq, record.kind, record.at, record.version, record.payload, record.previous_hash
        ):
            problem = f"record {record.seq} was changed after it was written"
        if problem is not None:
            return LedgerReport(False, n_records, previous, problem)
        previous = record.hash
    return LedgerReport(True, n_records, previous)


class Ledger(Protocol):
    """An append-only, hash-linked list of what happened to the champion."""

    def append(
        self,
        kind: RecordKind,
        version: str,
        payload: Mapping[str, Any],
        *,
        at: str,
        expected_champion: str | None = None,
        check_champion: bool = False,
    ) -> LedgerRecord:
        """Append one record in one transaction.

        Parameters
        ----------
        expected_champion : str or None
            With `check_champion`, the version that must still be champion (None: there is none).

        Raises
        ------
        LateRunError
            When another version has become champion in between; nothing is written.
        """
        ...

    def champion(self, as_of: str | None = None) -> LedgerRecord | None:
        """Record that made the champion, now or at a time; None when there is none."""
        ...

    def records(self) -> list[LedgerRecord]:
        """All records, oldest first."""
        ...

    def last(self, kind: RecordKind) -> LedgerRecord | None:
        """Newest record of a kind."""
        ...

    def claim_test_read(self, decision_id: str, run_id: str, *, at: str, takeover: bool) -> LedgerRecord:
        """Put the one read of the test side for a decision on record.

        Raises
        ------
        TestSideReadTwiceError
            When it was read for this decision already, unless `takeover` says that the reader died
            before a result was stored.
        """
        ...

    def verify(self) -> LedgerReport:
        """Recompute the chain."""
        ...
