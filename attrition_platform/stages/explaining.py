"""A logged prediction made again from its data: what explains it, and whether it is what was logged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from attrition_platform.contracts.employee import describe_field
from attrition_platform.errors import AttritionError, InvalidEmployeeError, NoChampionError, StoreError
from attrition_platform.ports import PredictionRecord
from attrition_platform.scoring.letter import Explained
from attrition_platform.scoring.predictor import Answer, Arm
from attrition_platform.stages.logged_predictor import predictor_with
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.predicting import load_arm
from attrition_platform.stages.views import newest

DataSource = Literal["given", "log", "store"]


class ExplanationError(AttritionError):
    """A logged prediction can't be explained; the message says what is missing."""


@dataclass(frozen=True)
class Recomputed:
    """A prediction made again.

    Attributes
    ----------
    record : PredictionRecord
        As it was logged.
    answer : Answer
        Of the same model version on the same data.
    source : DataSource
        Where the data came from: handed in, the log, or the validated employees.
    arm : Arm
        The model.
    """

    record: PredictionRecord
    answer: Answer
    source: DataSource
    arm: Arm

    @property
    def is_equal(self) -> bool:
        """Whether score and probability are those of the log, bit for bit."""
        return (self.answer.score, self.answer.probability) == (self.record.score, self.record.probability)


def recompute(
    platform: Platform, prediction_id: str, fields: Mapping[str, object] | None = None
) -> Recomputed:
    """Make a logged prediction again.

    Parameters
    ----------
    fields : mapping or None
        The data that it was made from, as JSON has them; None takes them from the log, or else from the
        validated employees. Either way their keyed hash must be the logged one.

    Raises
    ------
    ExplanationError
        When there is no such prediction, its model is not in the ledger, or its data is not at hand.
    InvalidEmployeeError
        When `fields` can't be scored.
    """
    record = platform.predictions.get(prediction_id.strip())
    if record is None:
        raise ExplanationError(
            f"The log of contract '{platform.contract.name}' has no prediction with this id. An id has 32 "
            "digits 0 to 9 and a to f; `attrition predict` and the service show it with every answer."
        )
    arm = _arm_of(platform, record.version)
    if arm is None:
        raise ExplanationError(
            f"The ledger has no model {record.version}, which made this prediction. Is ATTRITION_LEDGER_URL "
            "the ledger that the prediction was made with?"
        )
    other = _other_arm(platform, record)
    source, data = _data_of(platform, record, arm, other, fields)
    try:
        answer = predictor_with(platform, arm).predict(data)
    except InvalidEmployeeError:
        if source == "given":
            raise
        raise ExplanationError(
            f"The data on hand ({_WHERE[source]}) is not all that model {record.version} reads. "
            "Give the data of that time with --data or --file."
        ) from None
    if record.inputs_hash not in _hashes(platform, answer, other, data):
        raise ExplanationError(_not_that_data(source))
    return Recomputed(record, answer, source, arm)


def explained(platform: Platform, recomputed: Recomputed) -> Explained:
    """What the letter tells of a prediction.

    Raises
    ------
    ExplanationError
        When the model gives another score than the logged one: then its reasons explain nothing.
    """
    record, answer = recomputed.record, recomputed.answer
    if not recomputed.is_equal:
        raise ExplanationError(
            f"Model {record.version} gives another score now than the one in the log, so its reasons would "
            "not explain that one. Nothing is explained; `attrition ledger verify` and the contract's "
            "history may say what was changed."
        )
    contract = platform.contract
    read = recomputed.arm.spec.source_columns
    unread = [name for name in contract.protected if name not in read and name in contract.features]
    return Explained(
        prediction_id=record.id,
        version=record.version,
        at=datetime.fromtimestamp(record.at / 1e6, UTC),
        probability=record.probability,
        flagged=record.flagged,
        reasons=answer.reasons,
        read=tuple(describe_field(name, contract).label for name in contract.features if name in read),
        unread=tuple(describe_field(name, contract).label for name in unread),
    )


_WHERE: dict[DataSource, str] = {
    "given": "as given",
    "log": "in the log",
    "store": "among the validated employees",
}


def _arm_of(platform: Platform, version: str) -> Arm | None:
    for record in reversed(platform.ledger.records()):
        if record.version == version and "files" in record.payload:
            return load_arm(platform, record)
    return None


def _other_arm(platform: Platform, record: PredictionRecord) -> Arm | None:
    """The model that scored along. The log keeps the fields that stable reads, also where a canary scored."""
    if record.other_version is None:
        return None
    with suppress(AttritionError):  # it may not be needed
        return _arm_of(platform, record.other_version)
    return None


def _data_of(
    platform: Platform,
    record: PredictionRecord,
    arm: Arm,
    other: Arm | None,
    fields: Mapping[str, object] | None,
) -> tuple[DataSource, Mapping[str, object]]:
    if fields is not None:
        return "given", fields
    if record.inputs is not None:
        return "log", json.loads(record.inputs)
    columns = {*arm.spec.source_columns, *(() if other is None else other.spec.source_columns)}
    stored = _stored(platform, record.pseudonym, columns)
    if stored is not None:
        return "store", stored
    raise ExplanationError(
        "The log keeps no inputs under this policy (serving.log_inputs), and no validated employee has this "
        "prediction's pseudonym. Give the data that it was made from with --data or --file."
    )


def _stored(platform: Platform, pseudonym: str, columns: set[str]) -> dict[str, Any] | None:
    """The employee's newest validated data; None where there is nobody, or a column is gone."""
    import datetime as dt

    import polars as pl

    with suppress(StoreError):
        file = platform.file(newest(platform, "validated_employees").files["validated.parquet"])
        rows = pl.scan_parquet(file)
        if columns <= set(rows.collect_schema().names()):
            found = rows.filter(pl.col("pseudonym") == pseudonym).select(sorted(columns)).collect().to_dicts()
            if len(found) == 1:
                return {
                    name: value.isoformat() if isinstance(value, dt.date) else value
                    for name, value in found[0].items()
                }
    return None


def _hashes(
    platform: Platform, answer: Answer, other: Arm | None, data: Mapping[str, object]
) -> Iterator[str]:
    """Hashes of the data as each model reads it."""
    yield answer.inputs_hash
    if other is not None:
        with suppress(InvalidEmployeeError, NoChampionError):
            yield predictor_with(platform, other).predict(data).inputs_hash


def _not_that_data(source: DataSource) -> str:
    if source == "store":
        return (
            "The employee's data has changed since this prediction, and the log keeps no inputs under this "
            "policy (serving.log_inputs). Give the data of that time with --data or --file."
        )
    if source == "log":
        return (
            "The logged inputs do not have the logged hash: the log or the secret key (ATTRITION_KEY_FILE) "
            "is another one than when the prediction was made. Nothing is explained."
        )
    return (
        "This is not the data that the prediction was made from (or the secret key, ATTRITION_KEY_FILE, is "
        "another one). Nothing is explained. Give every field as it was then."
    )
