"""The champion asked from a shell: an answer is on record before anybody sees it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attrition_platform.adapters.prediction_ids import prediction_ids
from attrition_platform.errors import InvalidEmployeeError
from attrition_platform.ports import PredictionRecord
from attrition_platform.scoring.predictor import Answer, Arm, Fields, Predictor
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.predicting import champion_arm, to_record

CLIENT = "cli"


@dataclass(frozen=True)
class Logged:
    """An answer, and what the log has of it."""

    answer: Answer
    record: PredictionRecord


def predictor_with(platform: Platform, arm: Arm) -> Predictor:
    """A predictor in which one model answers for everybody."""
    return Predictor(platform.contract, platform.policy, platform.key, arm, None, 0.0, time.perf_counter)


class LoggedPredictor:
    """Answers with the champion and puts every answer on record.

    The canary is not asked: a shell is no traffic to try a challenger on.

    Parameters
    ----------
    platform : Platform
    clock : callable
        Nanoseconds since 1970-01-01 UTC.

    Raises
    ------
    NoChampionError
        When there is no champion; what `champion_arm` raises otherwise.
    """

    def __init__(self, platform: Platform, clock: Callable[[], int] = time.time_ns) -> None:
        self.arm = champion_arm(platform)
        # The first row builds tables and readers; that is no latency of a prediction.
        self.arm.compiled.explain_one([float("nan")] * self.arm.compiled.n_features)
        _ = self.arm.reader, self.arm.maker, self.arm.labels
        self._predictor = predictor_with(platform, self.arm)
        self._keep_inputs = platform.policy.serving.log_inputs
        self._log = platform.predictions
        self._clock = clock
        self._next_id = prediction_ids(clock)

    def answer(self, fields: Fields, *, text: bool = False) -> Logged:
        """Answer for one employee; parameters and errors as in `Predictor.predict`.

        Raises
        ------
        PredictionLogError
            When the answer can't be put on record; then nobody gets it.
        """
        logged = self._answer(fields, text)
        self._log.append([logged.record])
        return logged

    def answer_rows(self, rows: Sequence[Fields]) -> list[Logged | InvalidEmployeeError]:
        """Answer for several employees whose fields are text cells, in their order.

        One who can't be scored has the error instead. All answers come on record in one transaction.
        """
        found: list[Logged | InvalidEmployeeError] = []
        for fields in rows:
            try:
                found.append(self._answer(fields, True))
            except InvalidEmployeeError as error:
                found.append(error)
        self._log.append([one.record for one in found if isinstance(one, Logged)])
        return found

    def _answer(self, fields: Fields, text: bool) -> Logged:
        started = time.perf_counter_ns()
        answer = self._predictor.predict(fields, text=text)
        prediction_id, at = self._next_id(), self._clock() // 1000
        latency_us = (time.perf_counter_ns() - started) // 1000
        keep = self._keep_inputs
        return Logged(answer, to_record(answer, prediction_id, at, CLIENT, latency_us, keep_inputs=keep))
