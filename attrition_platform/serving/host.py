"""Which models serve now: follows the ledger, and swaps them under running requests.

A request holds the predictor that it began with, so a swap loses none. A model is loaded only after its
files were hashed against the ledger and its signature was verified, away from the event loop.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from attrition_platform.errors import AttritionError
from attrition_platform.ports import LedgerRecord
from attrition_platform.scoring.predictor import Arm, Predictor
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.predicting import load_arm
from attrition_platform.stages.release import ReleaseState, release_state

Alert = Callable[[str, str, Mapping[str, Any]], None]
POLL_SECONDS = 0.25
RETRY_SECONDS = 5.0
MAX_ARMS = 8
_NOTHING = ReleaseState(None, None, (), None, ())

log = logging.getLogger(__name__)


class ModelHost:
    """Holds the predictor that answers.

    Parameters
    ----------
    platform : Platform
        Its ledger says what serves.
    alert : callable
        Called with a kind, a text and the evidence when something keeps the champion from serving.

    Attributes
    ----------
    predictor : Predictor or None
        None while no model can serve.
    state : ReleaseState
        What the ledger says.
    problem : str or None
        Why the champion does not serve; None when it does.
    n_swaps : int
        How often the predictor was replaced.
    """

    def __init__(self, platform: Platform, alert: Alert) -> None:
        self.predictor: Predictor | None = None
        self.state = _NOTHING
        self.problem: str | None = "The models are being loaded."
        self.n_swaps = 0
        self._platform = platform
        self._alert = alert
        self._arms: dict[str, Arm] = {}
        self._head = -1
        self._retry_at = 0.0
        self._told: str | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Load the models and follow the ledger until `stop`."""
        self.refresh()
        self._thread = threading.Thread(target=self._follow, name="ledger", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Follow the ledger no longer."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _follow(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self.refresh()

    def refresh(self) -> bool:
        """Look at the ledger once; True when the predictor was replaced.

        What can't be read changes nothing: the models that serve go on, and an alert goes out.
        """
        try:
            head = self._platform.ledger.head()
            if head == self._head and (self.problem is None or time.monotonic() < self._retry_at):
                return False
            self._retry_at = time.monotonic() + RETRY_SECONDS
            records = self._platform.ledger.records()
            report = self._platform.ledger.verify()
            if not report.intact:
                self._tell("ledger", f"The ledger is not what was written: {report.problem}.", {})
                return False
            changed = self._swap(release_state(records))
            self._head = head
            return changed
        except Exception as error:  # the follower must outlive whatever a database throws at it
            self._tell("ledger", f"The ledger can't be read ({type(error).__name__}).", {})
            return False

    def _swap(self, state: ReleaseState) -> bool:
        stable, problem = self._first_that_loads(state)
        canary = None
        if stable is not None and problem is None and state.canary is not None:
            try:
                canary = self._arm(state.canary)
            except (AttritionError, ValueError, ArithmeticError) as error:
                self._tell("canary", f"Canary {state.canary.version} can't be loaded.", {"why": str(error)})
        self.state = state
        if problem is not None:
            self._tell("fallback", problem, {"serving": None if stable is None else stable.version})
        else:
            self.problem = self._told = None
        before = self.predictor
        if stable is None:
            if before is None:
                return False
            self.predictor = None
            return True
        share = 0.0 if state.canary is None else float(state.canary.payload["share"])
        known = before is not None and before.stable is stable and before.canary is canary
        if known and before is not None and before.share == share:
            return False
        platform = self._platform
        self.predictor = Predictor(
            platform.contract, platform.policy, platform.key, stable, canary, share, time.perf_counter
        )
        self.n_swaps += 1
        return True

    def _first_that_loads(self, state: ReleaseState) -> tuple[Arm | None, str | None]:
        """The champion, else the newest earlier one that can be loaded, and what is wrong."""
        if state.stable is None:
            return None, "There is no champion yet. Run `make train`, or approve one that waits."
        problem = None
        for record in (state.stable, *state.earlier):
            try:
                return self._arm(record), problem
            except (AttritionError, ValueError, ArithmeticError) as error:
                log.error("Model %s can't be loaded: %s", record.version, error)
                problem = problem or f"Champion {record.version} can't be loaded: {error}"
        return None, problem

    def _arm(self, record: LedgerRecord) -> Arm:
        arm = self._arms.get(record.version)
        if arm is None:
            arm = load_arm(self._platform, record)
            # The first row builds tables and readers; no request should wait for that.
            arm.compiled.explain_one([float("nan")] * arm.compiled.n_features)
            _ = arm.reader, arm.maker, arm.labels
            self._arms[record.version] = arm
            if len(self._arms) > MAX_ARMS:
                del self._arms[next(iter(self._arms))]
        return arm

    def _tell(self, kind: str, problem: str, evidence: Mapping[str, Any]) -> None:
        """Alert once per problem."""
        self.problem = problem
        if problem != self._told:
            self._told = problem
            log.error("%s", problem)
            self._alert(kind, problem, evidence)
