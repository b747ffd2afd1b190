"""Rehearse every trigger in a scratch place: a trigger that never fires is a bug that nobody sees."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg

from attrition_platform.defs.assets.governance import CAUSE_TAG
from attrition_platform.defs.gather import gather
from attrition_platform.defs.trigger_sensors import NAMES
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.synthetic_signals import Signal, canary_action, signals


@dataclass(frozen=True)
class Rehearsal:
    """What a trigger did.

    Attributes
    ----------
    trigger : str
        Kind of cause, or ``canary``.
    signal : str
        What it was shown.
    sensor : str
        Who watches.
    fired, stayed_silent : bool
        Whether it started a run (the canary: was rolled back) when it must, and nothing when it must not.
    """

    trigger: str
    signal: str
    sensor: str
    fired: bool
    stayed_silent: bool

    @property
    def is_sound(self) -> bool:
        """Whether both were as they must."""
        return self.fired and self.stayed_silent


def rehearse(platform: Platform) -> Iterator[Rehearsal]:
    """Feed each trigger what must fire it, and what must not: one line for each way in which it can fire.

    Each is given to the real sensors in a scratch folder with a Dagster instance in memory, under this
    place's contract and policy. Nothing of the place is read or written, nothing is sent.
    """
    for signal in signals(platform.policy.performance):
        fired, fired_for_nothing = _starts(platform, signal, True), _starts(platform, signal, False)
        yield Rehearsal(signal.trigger, signal.name, NAMES[signal.trigger], fired, not fired_for_nothing)
    rolled_back = canary_action(platform, True) == "roll-back"
    kept = canary_action(platform, False) != "roll-back"
    yield Rehearsal("canary", "failing answers", "watch_canary", rolled_back, kept)


def _starts(platform: Platform, signal: Signal, fires: bool) -> bool:
    """Whether the signal leads to a run that is told by this cause."""
    with (
        tempfile.TemporaryDirectory(prefix="attrition-triggers-") as name,
        dg.DagsterInstance.ephemeral() as instance,
        sensors_tell_above(logging.WARNING),
    ):
        scratch = _scratch(platform, Path(name))
        signal.make(scratch, fires)
        definitions = gather(scratch)
        found = []
        for sensor in (NAMES[signal.trigger], "start_runs"):
            definition = next(each for each in definitions.sensors or () if each.name == sensor)
            with dg.build_sensor_context(
                instance=instance, resources={"platform": scratch}, definitions=definitions
            ) as context:
                data = definition.evaluate_tick(context)
            found += [request.tags.get(CAUSE_TAG) for request in data.run_requests or ()]
        scratch.causes.close()
    return found == [signal.trigger]


@contextmanager
def sensors_tell_above(level: int) -> Iterator[None]:
    """Let sensors say less here: that a signal which must not fire is refused is no news, an error is."""
    before = logging.root.manager.disable
    logging.disable(level)
    try:
        yield
    finally:
        logging.disable(before)


def _scratch(platform: Platform, folder: Path) -> Platform:
    settings = replace(
        platform.settings,
        data_dir=folder,
        key_file=folder / "key",
        ledger_url=None,
        predictions_url=None,
        mlflow_uri=None,
        webhook_url=None,
        smtp_url=None,
    )
    return Platform(settings, platform.clock)
