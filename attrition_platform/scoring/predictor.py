"""One employee's data in, one answer out: read, make features, pick the arm, score, give reasons.

The command line and the service call `Predictor.predict`; the log keeps what it returns, so a logged
score can be recomputed bit for bit from the same inputs and the same model version.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import msgspec

from attrition_platform.contracts.employee import Employee, EmployeeReader
from attrition_platform.contracts.identity import pseudonymiser
from attrition_platform.contracts.model import Contract
from attrition_platform.errors import InvalidEmployeeError, NoChampionError
from attrition_platform.features.one_row import RowMaker
from attrition_platform.features.spec import FeatureSpec
from attrition_platform.modeling.policy import Policy
from attrition_platform.scoring.compiled import CompiledModel, to_probability
from attrition_platform.scoring.judgement import (
    Reason,
    Tier,
    feature_labels,
    is_flagged,
    tier_of,
    top_reasons,
)

ArmName = Literal["stable", "canary"]
Fields = Mapping[str, object]
_PURPOSE = b"attrition-platform/inputs/1\n"
_HASH_DIGITS = 32


@dataclass(frozen=True)
class Arm:
    """A model that answers.

    Attributes
    ----------
    version : str
    compiled : CompiledModel
    spec : FeatureSpec
        What it reads.
    threshold : float
        Probability from which an employee is flagged.
    contract : Contract
        How its fields are read.
    """

    version: str
    compiled: CompiledModel
    spec: FeatureSpec
    threshold: float
    contract: Contract

    @cached_property
    def reader(self) -> EmployeeReader:
        """Reads the fields that the model needs."""
        return EmployeeReader(self.contract, self.spec.source_columns)

    @cached_property
    def maker(self) -> RowMaker:
        """Makes the model's features of them."""
        return RowMaker(self.contract, self.spec)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The features in plain words."""
        return feature_labels(self.spec, self.contract)

    def score(self, employee: Employee) -> tuple[float, tuple[float, ...]]:
        """Score and contributions; raises where the model does not give a finite number."""
        score, contributions = self.compiled.explain_one(self.maker.vector(employee.values))
        if not math.isfinite(score):
            raise ArithmeticError(f"Model {self.version} gave no finite score")
        return score, tuple(contributions)


class Answer(msgspec.Struct, frozen=True):
    """What is said of one employee.

    Attributes
    ----------
    pseudonym : str
        Keyed hash of the employee id, or of the inputs where there is none.
    inputs_hash : str
        Keyed hash of the inputs that the model read.
    inputs : dict
        These inputs; whether they are kept is the policy's choice.
    ignored : tuple of str
        Fields that were sent and that the model does not read.
    variant : ArmName
        The arm that the employee belongs to.
    version : str
        Model that made the score.
    score, probability, threshold : float
    flagged : bool
    label : str
        The contract's word for what is predicted.
    tier : Tier
    reasons : tuple of Reason
        The strongest first.
    recommendation : str
        From the policy, by tier.
    contributions : tuple of float
        Of all features, in the spec's order.
    failed : bool
        Whether the arm's model (in the shadow: the canary) raised, and stable answered.
    other_version : str or None
        The other arm's model, where it scored along.
    other_probability : float or None
        None where it raised.
    along_seconds : float or None
        What the other arm took to score along.
    """

    pseudonym: str
    inputs_hash: str
    inputs: dict[str, object]
    ignored: tuple[str, ...]
    variant: ArmName
    version: str
    score: float
    probability: float
    threshold: float
    flagged: bool
    label: str
    tier: Tier
    reasons: tuple[Reason, ...]
    recommendation: str
    contributions: tuple[float, ...]
    failed: bool
    other_version: str | None
    other_probability: float | None
    along_seconds: float | None


class Predictor:
    """Answers with stable, and with the canary for its share of the employees.

    Parameters
    ----------
    contract, policy
    key : bytes
        Secret of pseudonyms and hashes.
    stable : Arm
    canary : Arm or None
    share : float
        Of the employees whom the canary answers for; 0 while it runs in the shadow.
    timer : callable
        Seconds on a clock that never goes back, to time the arm that scores along.
    """

    def __init__(
        self,
        contract: Contract,
        policy: Policy,
        key: bytes,
        stable: Arm,
        canary: Arm | None,
        share: float,
        timer: Callable[[], float],
    ) -> None:
        self.contract, self.policy = contract, policy
        self.stable, self.canary, self.share = stable, canary, share
        self._timer = timer
        self._pseudonym_of = pseudonymiser(key)
        self._inputs_key = hmac.digest(key, _PURPOSE, "sha256")
        label = contract.columns[contract.label]
        stays = next(value for value in label.values if value != label.positive)
        self._words = (stays, str(label.positive))
        advice = policy.advice
        self._advice: dict[Tier, str] = {
            "high": advice.high,
            "medium": advice.medium,
            "low": advice.low,
            "very low": advice.very_low,
        }

    def predict(self, fields: Fields, *, text: bool = False) -> Answer:
        """Answer for one employee.

        Parameters
        ----------
        fields : mapping
            By canonical column name, as JSON has them; with `text`, as text cells.

        Raises
        ------
        InvalidEmployeeError
            When the data can't be scored: every field that is wrong, and what is allowed.
        NoChampionError
            When the stable model fails on this employee; nothing can answer.
        """
        stable = self.stable
        employee = _read(stable, fields, text)
        hashed = inputs_hash(employee.values, self._inputs_key)
        pseudonym = self._pseudonym_of(employee.id) or hashed
        turn = self._take_turn(employee, pseudonym, fields, text)
        arm = turn.arm
        probability = to_probability(turn.score, arm.compiled.link)
        flagged = is_flagged(probability, arm.threshold)
        tier = tier_of(probability, self.policy.tiers)
        n_reasons = self.policy.serving.n_reasons
        return Answer(
            pseudonym,
            hashed,
            employee.values,
            employee.ignored,
            turn.variant,
            arm.version,
            turn.score,
            probability,
            arm.threshold,
            flagged,
            self._words[flagged],
            tier,
            tuple(top_reasons(turn.contributions, arm.spec.names, arm.labels, n_reasons)),
            self._advice[tier],
            turn.contributions,
            turn.failed,
            turn.other_version,
            turn.other_probability,
            turn.along_seconds,
        )

    @property
    def reads(self) -> frozenset[str]:
        """Contract columns that a model of this predictor reads."""
        canary = () if self.canary is None else self.canary.spec.source_columns
        return frozenset(self.stable.spec.source_columns) | frozenset(canary)

    def _take_turn(self, employee: Employee, pseudonym: str, fields: Fields, text: bool) -> _Turn:
        """Let the employee's arm answer, and the other one score along."""
        canary = self.canary
        if canary is None:
            return self._stable_turn(employee)
        in_share = belongs_to_canary(pseudonym, canary.version, self.share)
        if not in_share and self.share > 0.0:
            return self._stable_turn(employee)
        own = self._read_for_canary(canary, fields, employee, text)
        if own is None:  # it asks for what was not sent: no failure of its own, and no answer
            return self._stable_turn(employee)
        if in_share:
            return self._canary_turn(canary, employee, own)
        return self._shadow_turn(canary, employee, own)

    def _stable_turn(self, employee: Employee) -> _Turn:
        try:
            score, contributions = self.stable.score(employee)
        except Exception as error:  # a person gets a clear refusal, never a stack trace
            raise NoChampionError(
                f"Model {self.stable.version} could not score this employee ({type(error).__name__}). "
                "Nothing was answered; `attrition rollback` makes an earlier champion serve."
            ) from error
        return _Turn("stable", self.stable, score, contributions)

    def _canary_turn(self, canary: Arm, employee: Employee, own: Employee) -> _Turn:
        try:
            score, contributions = canary.score(own)
        except Exception:  # whatever a broken canary raises, stable answers and the log counts it
            turn = self._stable_turn(employee)
            return msgspec.structs.replace(turn, variant="canary", failed=True, other_version=canary.version)
        started = self._timer()
        try:
            along = to_probability(self.stable.score(employee)[0], self.stable.compiled.link)
        except Exception:  # stable's failure is no fault of the canary
            return _Turn("canary", canary, score, contributions)
        spent = self._timer() - started
        return _Turn("canary", canary, score, contributions, False, self.stable.version, along, spent)

    def _shadow_turn(self, canary: Arm, employee: Employee, own: Employee) -> _Turn:
        turn = self._stable_turn(employee)
        started = self._timer()
        along, failed = None, False
        try:
            along = to_probability(canary.score(own)[0], canary.compiled.link)
        except Exception:  # it only scores along: nobody's answer hangs on it
            failed = True
        spent = self._timer() - started
        return msgspec.structs.replace(
            turn,
            failed=failed,
            other_version=canary.version,
            other_probability=along,
            along_seconds=spent,
        )

    def _read_for_canary(
        self, canary: Arm, fields: Fields, employee: Employee, text: bool
    ) -> Employee | None:
        """The employee as the canary reads it; None where it asks for what was not sent."""
        if canary.spec.source_columns == self.stable.spec.source_columns:
            return employee
        try:
            return _read(canary, fields, text)
        except InvalidEmployeeError:
            return None


class _Turn(msgspec.Struct, frozen=True):
    """Who answered, and how the other arm did."""

    variant: ArmName
    arm: Arm
    score: float
    contributions: tuple[float, ...]
    failed: bool = False
    other_version: str | None = None
    other_probability: float | None = None
    along_seconds: float | None = None


def _read(arm: Arm, fields: Fields, text: bool) -> Employee:
    if text:
        return arm.reader.read_text({name: None if v is None else str(v) for name, v in fields.items()})
    return arm.reader.read(fields)


def inputs_hash(values: Mapping[str, object], key: bytes) -> str:
    """Keyed hash of inputs, so that equal inputs can be told without keeping them.

    >>> inputs_hash({"pay": 1.0, "role": None}, b"k" * 32)
    '56e0769767d43bd444b19023c591bd48'
    """
    return hashlib.blake2b(canonical_inputs(values), key=key, digest_size=_HASH_DIGITS // 2).hexdigest()


def canonical_inputs(values: Mapping[str, object]) -> bytes:
    """One JSON text for one employee's inputs; dates as ISO 8601.

    >>> canonical_inputs({"b": 1, "a": None})
    b'{"a":null,"b":1}'
    """
    return msgspec.json.encode(values, order="sorted")


def belongs_to_canary(pseudonym: str, version: str, share: float) -> bool:
    """Whether an employee is in the canary's share; always the same ones while it runs.

    The pseudonym is a keyed hash, so nobody outside can tell or choose; the version takes other
    people into the next canary.

    Examples
    --------
    >>> people = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(10_000)]
    >>> sum(belongs_to_canary(p, "a1", 0.1) for p in people)
    1013
    """
    return (int(pseudonym[:8], 16) ^ zlib.crc32(version.encode())) < share * 2**32
