"""Requests in, replies out: decode, predict, put on record, answer. Knows no HTTP framework."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from attrition_platform.adapters.prediction_ids import prediction_ids
from attrition_platform.adapters.prediction_writer import PredictionWriter
from attrition_platform.errors import InvalidEmployeeError, NoChampionError, PredictionLogError
from attrition_platform.ports import PredictionLog, PredictionRecord
from attrition_platform.scoring.predictor import Fields, Predictor
from attrition_platform.serving.access import Caller
from attrition_platform.serving.host import ModelHost
from attrition_platform.serving.metrics import Metrics
from attrition_platform.serving.replies import (
    PredictionBody,
    Reply,
    encode,
    prediction_body,
    problem,
    unavailable,
)
from attrition_platform.stages.predicting import to_record

MAX_BATCH = 5_000
_ROWS_PER_TURN = 50
_decoder = msgspec.json.Decoder()

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
        """Write what waits to the log, then stop."""
        self._writer.close()

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
        fields = decode_object(body)
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
        results = [
            {"prediction": None, "problem": invalid_document(one)}
            if isinstance(one, InvalidEmployeeError)
            else {"prediction": one, "problem": None}
            for one in found
        ]
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


def decode_object(body: bytes) -> dict[str, Any] | Reply:
    """Decode a JSON object, or say why it is none."""
    try:
        value = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return problem(400, "malformed-json", "The body is no JSON text in UTF-8. Send one JSON object.")
    if not isinstance(value, dict):
        return problem(422, "not-an-object", "The body must be one JSON object, its fields by name.")
    return value


def decode_batch(body: bytes) -> list[dict[str, Any]] | Reply:
    """Decode ``{"employees": [{...}, ...]}``, or say what is wrong with it."""
    document = decode_object(body)
    if isinstance(document, Reply):
        return document
    rows = document.get("employees")
    if set(document) != {"employees"} or not isinstance(rows, list):
        return problem(422, "not-a-batch", 'Send one field, "employees": a list of JSON objects.')
    if not 1 <= len(rows) <= MAX_BATCH or not all(isinstance(row, dict) for row in rows):
        return problem(422, "not-a-batch", f'"employees" must be a list of 1 to {MAX_BATCH} JSON objects.')
    return rows


def decode_csv(body: bytes, predictor: Predictor) -> list[dict[str, str | None]] | Reply:
    """Read a CSV table with the extract's or the canonical column names, or say why it is none."""
    contract = predictor.contract
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return problem(400, "malformed-csv", "The table is not in UTF-8. Save it as CSV in UTF-8.")
    head = text.split("\n", 1)[0]
    delimiter = contract.source.delimiter or max(",;\t", key=head.count)
    names = {column.source: name for name, column in contract.columns.items()}
    names |= {name: name for name in contract.columns}
    try:
        table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = [names.get(cell.strip(), cell.strip()) for cell in next(table, [])]
        if not header or len(set(header)) != len(header):
            return problem(422, "malformed-csv", "The first line must name the columns, each of them once.")
        rows = list(_cells(table, header, contract.label))
    except (csv.Error, ValueError) as error:
        where = f" (line {error.args[1]})" if len(error.args) > 1 else ""
        return problem(
            422,
            "malformed-csv",
            f"The table can't be read{where}: every line needs as many "
            "cells as the first one, and quotes must be closed.",
        )
    if not 1 <= len(rows) <= MAX_BATCH:
        return problem(422, "not-a-batch", f"The table must have 1 to {MAX_BATCH} employees.")
    return rows


def _cells(table: Iterator[list[str]], header: list[str], label: str) -> Iterator[dict[str, str | None]]:
    for number, row in enumerate(table, 2):
        if not row:
            continue
        if len(row) != len(header):
            raise ValueError("cells", number)
        # Who left is what is estimated: an extract has that column, and nobody looks at it here.
        yield {name: cell for name, cell in zip(header, row, strict=True) if name != label}


def invalid(error: InvalidEmployeeError) -> Reply:
    """422 with every field that is wrong."""
    return problem(422, "invalid-employee", _INVALID, error.problems)


def invalid_document(error: InvalidEmployeeError) -> Mapping[str, Any]:
    """The same as part of an answer to a batch."""
    document: Mapping[str, Any] = _decoder.decode(invalid(error).body)
    return document


_INVALID = "This employee can't be scored; correct the fields in 'errors', then ask again."
