"""The few questions that we ask of outside systems."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

RecordKind = Literal[
    "promotion", "rollback", "decision", "test-read", "alias", "proposal", "approval", "canary", "canary-end"
]
CROWNING: tuple[RecordKind, ...] = ("promotion", "rollback")
RELEASING: tuple[RecordKind, ...] = (*CROWNING, "proposal", "approval", "canary", "canary-end")
FIRST_HASH = "0" * 64


@dataclass(frozen=True)
class LedgerRecord:
    """One line of the ledger.

    Attributes
    ----------
    seq : int
        1, 2, 3, ... without a gap.
    kind : RecordKind
        ``promotion`` and ``rollback`` move the pointer to `version`; the others do not. ``proposal``:
        a challenger that passed and waits for approval; ``approval``: one person's; ``canary``: a
        challenger gets a share of the traffic (or scores along); ``canary-end``: it lost it again.
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
        expected_release: int | None = None,
    ) -> LedgerRecord:
        """Append one record in one transaction.

        Parameters
        ----------
        expected_champion : str or None
            With `check_champion`, the version that must still be champion (None: there is none).
        expected_release : int or None
            Number of the newest record of `RELEASING` (0: none) that the writer has decided on.

        Raises
        ------
        LateRunError
            When another version has become champion in between, or another release record was written;
            nothing is written.
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

    def head(self) -> int:
        """Number of the newest record, 0 when there is none; cheap enough to ask twice a second."""
        ...


Variant = Literal["stable", "canary"]


@dataclass(frozen=True, slots=True)
class PredictionRecord:
    """One prediction as it is logged.

    Attributes
    ----------
    id : str
        32 hexadecimal digits that rise with time.
    at : int
        Microseconds since 1970-01-01 UTC when the answer was ready.
    pseudonym : str
        Of the employee, or of the inputs where no employee id was given.
    client : str
        Name of the API key, or ``local``.
    variant : Variant
        The arm that the employee belongs to.
    version : str
        Model version that made the score. It differs from the arm's where the arm's model failed.
    inputs_hash : str
        Keyed hash of the inputs that the model read.
    inputs : str or None
        These inputs as JSON, where the policy keeps them.
    score, probability, threshold : float
        Log-odds (or what the model sums up), probability, and where it becomes a flag.
    flagged : bool
    tier : str
    other_version : str or None
        The other arm's model, where it scored along.
    other_probability : float or None
        Its probability; None where it raised.
    failed : bool
        Whether the arm's model (or, in the shadow, the canary) raised, and stable answered.
    latency_us : int
        From the parsed body to the answer, without the other arm and without the wait for the log.
    shadow_latency_us : int or None
        What the canary took where it scored in the shadow.
    """

    id: str
    at: int
    pseudonym: str
    client: str
    variant: Variant
    version: str
    inputs_hash: str
    inputs: str | None
    score: float
    probability: float
    threshold: float
    flagged: bool
    tier: str
    other_version: str | None
    other_probability: float | None
    failed: bool
    latency_us: int
    shadow_latency_us: int | None


class PredictionLog(Protocol):
    """An append-only list of predictions, written durably before an answer leaves."""

    def append(self, records: Sequence[PredictionRecord]) -> None:
        """Write records in one durable transaction.

        Raises
        ------
        PredictionLogError
            When they can't be written; then none of them is.
        """
        ...

    def get(self, prediction_id: str) -> PredictionRecord | None:
        """Find one prediction by its id; None when there is none."""
        ...

    def since(
        self, at: int, *, version: str | None = None, limit: int | None = None
    ) -> list[PredictionRecord]:
        """Predictions from a time on (microseconds), oldest first.

        Parameters
        ----------
        version : str or None
            Only those with this `version` or `other_version`.
        """
        ...

    def tail(self, version: str | None, limit: int, *, until: int | None = None) -> list[PredictionRecord]:
        """Newest `limit` predictions with this `version` or `other_version`, oldest first.

        Parameters
        ----------
        version : str or None
            None for those of all versions.
        until : int or None
            Only those made at or before this time (microseconds).
        """
        ...

    def count(self) -> int:
        """How many predictions there are."""
        ...

    def close(self) -> None:
        """Give the connections back; nothing can be appended afterwards."""
        ...
