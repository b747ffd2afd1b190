"""A ledger in memory, for tests that need one and no database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

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


class MemoryLedger:
    """A `Ledger` that keeps its records in a list."""

    def __init__(self) -> None:
        self._records: list[LedgerRecord] = []

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
        found = self.champion()
        if check_champion and (None if found is None else found.version) != expected_champion:
            raise LateRunError("Another run made another champion.")
        newest = max((r.seq for r in self._records if r.kind in RELEASING), default=0)
        if expected_release is not None and newest != expected_release:
            raise LateRunError(f"Somebody else has changed the release (ledger record {newest}).")
        try:
            plain = json.loads(json.dumps(dict(payload), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise LedgerError(f"A '{kind}' record can't be written: {error}.") from None
        previous = self._records[-1].hash if self._records else FIRST_HASH
        seq = len(self._records) + 1
        digest = record_hash(seq, kind, at, version, plain, previous)
        self._records.append(LedgerRecord(seq, kind, at, version, plain, previous, digest))
        return self._records[-1]

    def champion(self, as_of: str | None = None) -> LedgerRecord | None:
        crowning = [r for r in self._records if r.kind in CROWNING and (as_of is None or r.at <= as_of)]
        return crowning[-1] if crowning else None

    def records(self) -> list[LedgerRecord]:
        return list(self._records)

    def last(self, kind: RecordKind) -> LedgerRecord | None:
        return next((record for record in reversed(self._records) if record.kind == kind), None)

    def claim_test_read(self, decision_id: str, run_id: str, *, at: str, takeover: bool) -> LedgerRecord:
        earlier = [r for r in self._records if r.kind == "test-read" and r.version == decision_id]
        if earlier and not takeover:
            reader = earlier[-1].payload["run_id"]
            raise TestSideReadTwiceError(
                f"The test side was read for decision {decision_id[:12]} already, by run {reader}."
            )
        payload = {"run_id": run_id, "takes_over": earlier[-1].seq if earlier else None}
        return self.append("test-read", decision_id, payload, at=at)

    def verify(self) -> LedgerReport:
        return verify_chain(self._records)

    def head(self) -> int:
        return len(self._records)
