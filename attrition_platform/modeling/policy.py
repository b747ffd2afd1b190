"""The rules of promotion, as a file that anyone may read and only a commit may change."""

from __future__ import annotations

import hashlib
import json
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from attrition_platform.contracts.toml_file import explain
from attrition_platform.errors import PolicyFileError
from attrition_platform.modeling.strict import Positive, Rate, Strict
from attrition_platform.modeling.watch_rules import (
    DriftRule,
    NotificationRule,
    PerformanceRule,
    SloRule,
    TriggerRule,
)

SHIPPED = ("responsible", "unrestricted")
MAX_JUDGED = 200_000  # predictions of both arms that a canary's verdict reads


class GateLimits(Strict):
    """Limits that a challenger must keep.

    Attributes
    ----------
    min_roc_auc, min_recall : float
        Floors on the test side, in [0, 1].
    min_gain : float
        Gain in ROC AUC over the champion on the same test rows that promotes; the lower end of the
        paired 95 % interval must be above 0 too.
    non_inferiority_margin : float
        How much worse a replacement with a stated reason (drift of the people, outcomes against the
        champion, retirement) may be at most, by the lower end of the interval.
    max_calibration_error : float
        Ceiling of the expected calibration error.
    max_latency_p95_ms, max_latency_spread : float
        Ceiling of the 95th percentile of one prediction, and of p99 over p50.
    max_parity_gap : float
        Largest difference in probability between the pipeline that was evaluated and the compiled model
        that serves; rounding alone gives some 1e-15.
    max_equalised_odds_gap : float
        Largest difference of TPR or FPR between groups that count.
    min_impact_ratio : float
        Four-fifths rule: least selection rate over the largest, per protected column.
    enforce_fairness : bool
        Whether the two fairness gates block or are only reported.
    max_model_mb : float
        Ceiling of the stored model's size.
    min_test_rows, min_test_positives : int
        Below these the test side can't carry a decision.
    """

    min_roc_auc: Rate
    min_recall: Rate
    min_gain: Rate = 0.005
    non_inferiority_margin: Rate = 0.005
    max_calibration_error: Rate = 0.05
    max_latency_p95_ms: Positive = 250.0
    max_latency_spread: Positive = 20.0
    max_parity_gap: Rate = 1e-12
    max_equalised_odds_gap: Rate = 0.2
    min_impact_ratio: Rate = 0.8
    enforce_fairness: bool = True
    max_model_mb: Positive = 100.0
    min_test_rows: int = Field(default=500, ge=1)
    min_test_positives: int = Field(default=50, ge=1)


class ThresholdRule(Strict):
    """Where a probability becomes a flag.

    Attributes
    ----------
    cost_false_alarm, cost_missed_leaver : float
        Costs; the threshold of least expected cost is their share (Elkan, IJCAI 2001).
    capacity : float
        Largest share of employees that people can attend to; 1 means no limit.
    """

    cost_false_alarm: Positive = 1.0
    cost_missed_leaver: Positive = 1.0
    capacity: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0


class Tiers(Strict):
    """Probabilities from which an employee counts as high, medium or low risk; below: very low."""

    high: Rate = 0.65
    medium: Rate = 0.45
    low: Rate = 0.25

    @model_validator(mode="after")
    def _fall(self) -> Tiers:
        if not self.high > self.medium > self.low:
            raise ValueError("tiers must fall: high > medium > low")
        return self


class Prices(Strict):
    """What training costs: the price of one CPU hour in the currency."""

    cpu_hour: Annotated[float, Field(ge=0.0)] = 0.05
    currency: str = "USD"


class FairnessRule(Strict):
    """Which groups the audit counts.

    Attributes
    ----------
    min_group_share : float
        Smaller groups are shown and not counted (Local Law 144 allows it under 2 %).
    min_group_size : int
        Groups with fewer people are not counted, whatever their share.
    """

    min_group_share: Rate = 0.02
    min_group_size: int = Field(default=30, ge=1)


class TuningBudget(Strict):
    """How long the search may go on.

    Attributes
    ----------
    seconds : float
        Wall time for all families together; a safety net.
    trials : int
        Settings per family.
    median_stopping_steps : int
        Steps before the median rule may stop a trial.
    seed : int
        Of the sampler and of every fit.
    """

    seconds: Positive = 60.0
    trials: int = Field(default=4, ge=1)
    median_stopping_steps: int = Field(default=5, ge=0)
    seed: int = Field(default=20260101, ge=0)


class SmallDataRule(Strict):
    """When train and validation together have fewer rows, candidates are cross-validated."""

    cross_validate_below_rows: int = Field(default=5000, ge=0)


class CanaryRule(Strict):
    """How a canary is watched; rates are per prediction.

    Attributes
    ----------
    share : float
        Share of the employees that the canary answers for.
    alpha : float
        Chance that a canary as good as stable is rolled back, over its whole life.
    look_every, min_requests, max_requests : int
        Canary predictions between two looks, before a ramp, and after which a canary that is still
        undecided ramps (nothing was found against it).
    block_size : int
        A client counts against a canary at most once in so many of its predictions, since one client's
        failures come together.
    max_error_excess : float
        Error rate over stable's that a canary may have.
    max_latency_ratio, latency_floor_ms : float
        How much slower than stable's p95 it may be; times under the floor count as equal.
    max_disagreement : float
        Share of employees whom canary and stable may flag differently.
    latency_window_minutes, max_latency_variance_ms2 : float
        Window of the latency's stability, and the cap of its variance there.
    """

    share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.10
    alpha: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.01
    look_every: int = Field(default=20, ge=1)
    min_requests: int = Field(default=500, ge=1)
    max_requests: int = Field(default=2_000, ge=1)
    block_size: int = Field(default=25, ge=1)
    max_error_excess: Rate = 0.0
    max_latency_ratio: Annotated[float, Field(ge=1.0)] = 1.1
    latency_floor_ms: Positive = 0.1
    max_disagreement: Rate = 0.15
    latency_window_minutes: Positive = 15.0
    max_latency_variance_ms2: Positive = 2_500.0

    @model_validator(mode="after")
    def _has_room(self) -> CanaryRule:
        if self.min_requests > self.max_requests:
            raise ValueError("min_requests must be at most max_requests")
        if self.max_requests > self.share * MAX_JUDGED:
            raise ValueError(
                f"share must be at least max_requests / {MAX_JUDGED:,}: a verdict reads no more predictions"
            )
        return self


class ReleaseRule(Strict):
    """How a challenger that passed every gate reaches traffic.

    Attributes
    ----------
    mode : {"direct", "canary", "shadow"}
        ``direct``: at once. ``canary``: first for a share of the employees, then for all, unless the
        verdict rolls it back. ``shadow``: it scores along while stable answers.
    approvals : int
        How many different people must approve before anything reaches traffic.
    """

    mode: Literal["direct", "canary", "shadow"] = "direct"
    approvals: int = Field(default=0, ge=0, le=5)
    canary: CanaryRule = CanaryRule()


class ServingRule(Strict):
    """What the service keeps and shows.

    Attributes
    ----------
    log_inputs : bool
        Whether the prediction log keeps the inputs, or only their hash.
    n_reasons : int
        Reasons in an answer.
    min_team_size : int
        Smaller groups are not shown in the team view.
    """

    log_inputs: bool = False
    n_reasons: int = Field(default=3, ge=1, le=20)
    min_team_size: int = Field(default=10, ge=2)


class Advice(Strict):
    """What people are told beside a score, in their words.

    Attributes
    ----------
    high, medium, low, very_low : str
        Recommendation by risk tier.
    who_decides, contest : str
        Who decides about a person, and how that person can contest a score.
    not_for : str
        What a score may not be used for.
    """

    high: str = "Offer a conversation soon; ask what would make staying worthwhile."
    medium: str = "Bring up development and workload in the next regular conversation."
    low: str = "Nothing beyond the regular conversations."
    very_low: str = "Nothing beyond the regular conversations."
    who_decides: str = "Your manager and your HR partner decide together with you; the score decides nothing."
    contest: str = (
        "You can ask your HR partner to correct the data, to explain the score, and to set it aside."
    )
    not_for: str = (
        "Not for dismissal, pay, promotion or any other decision about one person; "
        "it is an estimate over many people and can be wrong about anyone."
    )


class Policy(Strict):
    """What may be promoted, what it may read, how it is released, watched and told of.

    Attributes
    ----------
    exclude_protected, exclude_proxies : bool
        Whether candidates may read protected columns, and their declared proxies.
    """

    name: str
    description: str = ""
    exclude_protected: bool
    exclude_proxies: bool = False
    gates: GateLimits
    threshold: ThresholdRule = ThresholdRule()
    tiers: Tiers = Tiers()
    prices: Prices = Prices()
    fairness: FairnessRule = FairnessRule()
    tuning: TuningBudget = TuningBudget()
    splits: SmallDataRule = SmallDataRule()
    release: ReleaseRule = ReleaseRule()
    serving: ServingRule = ServingRule()
    advice: Advice = Advice()
    drift: DriftRule = DriftRule()
    performance: PerformanceRule = PerformanceRule()
    triggers: TriggerRule = TriggerRule()
    slo: SloRule = SloRule()
    notifications: NotificationRule = NotificationRule()

    @model_validator(mode="after")
    def _excludes_in_order(self) -> Policy:
        if self.exclude_proxies and not self.exclude_protected:
            raise ValueError("exclude_proxies needs exclude_protected: a proxy stands in for one of them")
        return self


def load_policy(name_or_file: str) -> Policy:
    """Read a shipped policy by its name, or a policy file.

    Raises
    ------
    PolicyFileError
        When it is neither; every problem is listed.

    Examples
    --------
    >>> load_policy("responsible").exclude_protected
    True
    """
    if name_or_file in SHIPPED:
        folder = files("attrition_platform").joinpath("policies")
        text = folder.joinpath(f"{name_or_file}.toml").read_text(encoding="utf-8")
        return parse_policy(text, f"{name_or_file}.toml")
    try:
        text = Path(name_or_file).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise PolicyFileError(
            name_or_file, ("is neither a shipped policy nor a readable file of UTF-8 text",)
        ) from None
    return parse_policy(text, name_or_file)


def parse_policy(text: str, file: str) -> Policy:
    """Read a policy from the text of a TOML file; errors as in `load_policy`."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyFileError(file, (f"is no TOML: {error}",)) from None
    head = document.pop("policy", {})
    try:
        return Policy.model_validate({**document, **(head if isinstance(head, dict) else {})})
    except ValidationError as error:
        raise PolicyFileError(file, explain(error, _keys_at)) from None


def policy_digest(policy: Policy) -> str:
    """sha256 of what a policy says."""
    return hashlib.sha256(json.dumps(policy.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def _keys_at(location: tuple[object, ...]) -> list[str]:
    model: type[BaseModel] = Policy
    if len(location) > 1:
        annotation = Policy.model_fields[str(location[0])].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return list(model.model_fields)
