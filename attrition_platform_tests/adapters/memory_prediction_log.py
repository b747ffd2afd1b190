"""A prediction log in memory, for tests that need one and no database."""

from __future__ import annotations

from collections.abc import Sequence

from attrition_platform.errors import PredictionLogError
from attrition_platform.ports import PredictionRecord


class MemoryPredictionLog:
    """A `PredictionLog` that keeps its records in a list.

    Attributes
    ----------
    batches : list of int
        How many records each successful append had.
    failure : str or None
        While it is set, every append raises `PredictionLogError` with this message.
    """

    def __init__(self) -> None:
        self._records: dict[str, PredictionRecord] = {}
        self._is_closed = False
        self.batches: list[int] = []
        self.failure: str | None = None

    def append(self, records: Sequence[PredictionRecord]) -> None:
        if not records:
            return
        if self._is_closed:
            raise PredictionLogError("The prediction log is closed. Start the service again.")
        if self.failure is not None:
            raise PredictionLogError(self.failure)
        new = {record.id: record for record in records}
        if len(new) < len(records) or new.keys() & self._records.keys():
            raise PredictionLogError(
                "A prediction's id is on record already, so nothing of its batch was written."
            )
        self._records |= new
        self.batches.append(len(records))

    def get(self, prediction_id: str) -> PredictionRecord | None:
        return self._records.get(prediction_id)

    def since(
        self, at: int, *, version: str | None = None, limit: int | None = None
    ) -> list[PredictionRecord]:
        found = [r for r in self._in_order(version) if r.at >= at]
        return found[:limit]

    def tail(self, version: str | None, limit: int, *, until: int | None = None) -> list[PredictionRecord]:
        found = [r for r in self._in_order(version) if until is None or r.at <= until]
        return found[-limit:] if limit else []

    def count(self) -> int:
        return len(self._records)

    def close(self) -> None:
        self._is_closed = True

    def _in_order(self, version: str | None) -> list[PredictionRecord]:
        records = sorted(self._records.values(), key=lambda record: record.at)
        return [r for r in records if version is None or version in (r.version, r.other_version)]
