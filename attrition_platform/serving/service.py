"""Requests in, replies out: decode, predict, put on record, answer. Knows no HTTP framework."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from attrition_platform.adapters.prediction_ids import prediction_ids
from attrition_platform.adapters.prediction_writer import PredictionWriter
from attrition_platform.errors import InvalidEmployeeError, NoChampionError, PredictionLogError
from attrition_platform.ports import PredictionLog, PredictionRecord
from attrition_platform.scoring.predictor import Fields, Predictor
from attrition_platform.serving.access import Caller
from attrition_platform.serving.bodies import decode_fields
from attrition_platform.serving.host import ModelHost
from attrition_platform.serving.metrics import Metrics
from attrition_platform.serving.replies import (
    PredictionBody,
    Reply,
    encode,
    prediction_body,
    problem,
    problem_document,
    unavailable,
)
from attrition_platform.stages.predicting import to_record

_ROWS_PER_TURN = 50

Clock = Callable[[], int]


class PredictionService:
    """Answers for employees with the models of a host, and logs every answer before it leaves.

    Parameters
    ----------
    host : ModelHost
    log : PredictionLog
    metrics : Metrics
    clock : callable
        Nanoseconds since 1970-01-01 UTC.
    """

    def __init__(
        self, host: ModelHost, log: PredictionLog, metrics: Metrics, clock: Clock = time.time_ns
    ) -> None:
        self.host = host
        self.metrics = metrics
        self.log = log
        self._writer = PredictionWriter(log)
        self._next_id = prediction_ids(clock)
        self._clock = clock

    def close(self) -> None:
        """Write what waits to the log, then give its connections back."""
        self._writer.close()
        self.log.close()

    async def predict(self, body: bytes, caller: Caller) -> Reply:
        """Answer for one employee.

        Parameters
        ----------
        body : bytes
            A JSON object of fields by canonical name.
        """
        predictor = self.host.predictor
        if predictor is None:
            return self.not_ready()
        fields = decode_fields(body)
        if isinstance(fields, Reply):
            return fields
        try:
            record, told = self._answer(predictor, fields, caller.name, text=False)
            await self._writer.write(record)
        except InvalidEmployeeError as error:
            return invalid(error)
        except NoChampionError as error:
            return unavailable(str(error))
        except PredictionLogError as error:
            return self._not_logged(error)
        self._count(record)
        return Reply(200, encode(told))

    async def predict_many(self, rows: list[Any], caller: Caller, *, text: bool = False) -> Reply:
        """Answer for several employees, in their order; one that can't be scored has its problem instead.

        Parameters
        ----------
        rows : list of dict
            Fields of each employee.
        text : bool
            Whether the fields are text cells.
        """
        found = await self.score_many(rows, caller, text=text)
        if isinstance(found, Reply):
            return found
        results: list[Mapping[str, Any]] = []
        for position, one in enumerate(found):
            if position % _ROWS_PER_TURN == _ROWS_PER_TURN - 1:
                await asyncio.sleep(0)
            if isinstance(one, InvalidEmployeeError):
                results.append({"prediction": None, "problem": _invalid_document(one)})
            else:
                results.append({"prediction": one, "problem": None})
        n_scored = sum(isinstance(one, PredictionBody) for one in found)
        counts = {"n_scored": n_scored, "n_refused": len(found) - n_scored}
        return Reply(200, encode({**counts, "results": results}))

    async def score_many(
        self, rows: list[Any], caller: Caller, *, text: bool = False, all_or_nothing: bool = False
    ) -> list[PredictionBody | InvalidEmployeeError] | Reply:
        """Score several employees and put them on record in one transaction; a reply where none can be.

        Parameters
        ----------
        all_or_nothing : bool
            Whether one employee who can't be scored keeps all from being scored and logged.
        """
        predictor = self.host.predictor
        if predictor is None:
            return self.not_ready()
        found: list[PredictionBody | InvalidEmployeeError] = []
        records: list[PredictionRecord] = []
        try:
            for position, fields in enumerate(rows):
                if position % _ROWS_PER_TURN == _ROWS_PER_TURN - 1:
                    await asyncio.sleep(0)  # others are answered in between
                try:
                    record, told = self._answer(predictor, fields, caller.name, text=text)
                except InvalidEmployeeError as error:
                    found.append(error)
                    continue
                records.append(record)
                found.append(told)
            if all_or_nothing and len(records) < len(rows):
                return found
            await self._writer.write_many(records)
        except NoChampionError as error:
            return unavailable(str(error))
        except PredictionLogError as error:
            return self._not_logged(error)
        for record in records:
            self._count(record)
        return found

    def _answer(
        self, predictor: Predictor, fields: Fields, client: str, *, text: bool
    ) -> tuple[PredictionRecord, PredictionBody]:
        started = time.perf_counter_ns()
        answer = predictor.predict(fields, text=text)
        prediction_id, at = self._next_id(), self._clock() // 1000
        told = prediction_body(answer, prediction_id, at)
        keep = predictor.policy.serving.log_inputs
        latency_us = (time.perf_counter_ns() - started) // 1000
        return to_record(answer, prediction_id, at, client, latency_us, keep_inputs=keep), told

    def _count(self, record: PredictionRecord) -> None:
        self.metrics.predictions[record.variant].inc()
        self.metrics.seconds[record.variant].observe(record.latency_us / 1e6)
        if record.failed:
            self.metrics.canary_failures.inc()

    def not_ready(self) -> Reply:
        """503: no model can serve, and why."""
        return unavailable(f"No model can serve. {self.host.problem or ''}".strip())

    def _not_logged(self, error: PredictionLogError) -> Reply:
        self.metrics.log_failures.inc()
        return unavailable(f"{error}")


def invalid(error: InvalidEmployeeError) -> Reply:
    """422 with every field that is wrong."""
    return problem(422, "invalid-employee", _INVALID, error.problems)


def _invalid_document(error: InvalidEmployeeError) -> Mapping[str, Any]:
    """The same as part of an answer to a batch."""
    return problem_document(422, "invalid-employee", _INVALID, error.problems)


_INVALID = "This employee can't be scored; correct the fields in 'errors', then ask again."
