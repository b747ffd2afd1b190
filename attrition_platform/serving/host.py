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

from attrition_platform.errors import safe_words
from attrition_platform.ports import LedgerRecord
from attrition_platform.scoring.predictor import Arm, Predictor
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.predicting import load_arm
from attrition_platform.stages.release import ReleaseState, release_state

Alert = Callable[[str, str, Mapping[str, Any]], None]
Aside = Callable[[Callable[[], None]], None]
POLL_SECONDS = 0.25
RETRY_SECONDS = 5.0
MAX_ARMS = 8
_NOTHING = ReleaseState(None, None, (), None, ())

log = logging.getLogger(__name__)


def in_a_thread(work: Callable[[], None]) -> None:
    """Let nobody wait for it: a web hook may take seconds, and the next swap must not."""
    threading.Thread(target=work, name="alert", daemon=True).start()


class ModelHost:
    """Holds the predictor that answers.

    Parameters
    ----------
    platform : Platform
        Its ledger says what serves.
    alert : callable
        Called with a kind, a text and the evidence when something keeps the champion or its canary from
        serving; may raise and be slow.
    aside : callable
        Runs the alert, by default where it holds up neither requests nor swaps.

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

    def __init__(self, platform: Platform, alert: Alert, aside: Aside = in_a_thread) -> None:
        self.predictor: Predictor | None = None
        self.state = _NOTHING
        self.problem: str | None = "The models are being loaded."
        self.n_swaps = 0
        self._platform = platform
        self._alert = alert
        self._aside = aside
        self._arms: dict[str, Arm] = {}
        self._head = -1
        self._retry_at = 0.0
        self._told: dict[str, str] = {}  # by kind, as long as it lasts
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
            is_well = self.problem is None and not self._told
            if head == self._head and (is_well or time.monotonic() < self._retry_at):
                return False
            self._retry_at = time.monotonic() + RETRY_SECONDS
            records = self._platform.ledger.records()
            report = self._platform.ledger.verify()
            if not report.intact:
                self.problem = f"The ledger is not what was written: {report.problem}."
                self._tell("ledger", self.problem, {})
                return False
            state = release_state(records)
        except Exception as error:  # the follower must outlive whatever a database throws at it
            self.problem = f"The ledger can't be read: {safe_words(error)}"
            self._tell("ledger", self.problem, {})
            return False
        self._told.pop("ledger", None)
        changed = self._swap(state)
        self._head = head
        return changed

    def _swap(self, state: ReleaseState) -> bool:
        stable, problem = self._first_that_loads(state)
        canary, canary_problem = None, None
        if stable is not None and problem is None and state.canary is not None:
            try:
                canary = self._arm(state.canary)
            except Exception as error:  # whatever it is: stable must go on
                canary_problem = f"Canary {state.canary.version} can't be loaded: {safe_words(error)}"
        self.state, self.problem = state, problem
        share = 0.0 if canary is None or state.canary is None else float(state.canary.payload["share"])
        changed = self._put(stable, canary, share)
        self._tell("fallback", problem, {"serving": None if stable is None else stable.version})
        self._tell("canary", canary_problem, {"serving": None if stable is None else stable.version})
        return changed

    def _put(self, stable: Arm | None, canary: Arm | None, share: float) -> bool:
        """Let these answer from now on; False where they do already."""
        before = self.predictor
        if stable is None:
            self.predictor = None
            return before is not None
        if before is not None and (before.stable, before.canary, before.share) == (stable, canary, share):
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
            except Exception as error:  # a disk, a library: whatever it is, the one before shall serve
                log.error("Model %s can't be loaded: %s", record.version, safe_words(error))
                problem = problem or f"Champion {record.version} can't be loaded: {safe_words(error)}"
        return None, problem

    def _arm(self, record: LedgerRecord) -> Arm:
        arm = self._arms.pop(record.version, None)
        if arm is None:
            arm = load_arm(self._platform, record)
            # The first row builds tables and readers; no request should wait for that.
            arm.compiled.explain_one([float("nan")] * arm.compiled.n_features)
            _ = arm.reader, arm.maker, arm.labels
        self._arms[record.version] = arm  # the newest last; what serves is never forgotten
        if len(self._arms) > MAX_ARMS:
            del self._arms[next(iter(self._arms))]
        return arm

    def _tell(self, kind: str, problem: str | None, evidence: Mapping[str, Any]) -> None:
        """Alert once per problem; None says that there is none of this kind any more."""
        if problem is None:
            self._told.pop(kind, None)
            return
        if self._told.get(kind) == problem:
            return
        self._told[kind] = problem
        log.error("%s", problem)

        def send() -> None:
            try:
                self._alert(kind, problem, evidence)
            except Exception as error:  # the log has said it; models must go on being followed
                log.error("The alert did not go out (%s).", type(error).__name__)

        self._aside(send)
