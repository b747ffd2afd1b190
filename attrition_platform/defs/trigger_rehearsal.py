"""Rehearse every trigger in a scratch place: a trigger that never fires is a bug that nobody sees."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg

from attrition_platform.defs.assets.governance import CAUSE_TAG
from attrition_platform.defs.gather import gather
from attrition_platform.defs.trigger_sensors import NAMES
from attrition_platform.modeling.watch_rules import CauseKind
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.synthetic_signals import SIGNALS, canary_action


@dataclass(frozen=True)
class Rehearsal:
    """What a trigger did.

    Attributes
    ----------
    trigger : str
        Kind of cause, or ``canary``.
    sensor : str
        Who watches.
    fired, stayed_silent : bool
        Whether it started a run (the canary: was rolled back) when it must, and nothing when it must not.
    """

    trigger: str
    sensor: str
    fired: bool
    stayed_silent: bool

    @property
    def is_sound(self) -> bool:
        """Whether both were as they must."""
        return self.fired and self.stayed_silent


def rehearse(platform: Platform) -> Iterator[Rehearsal]:
    """Feed each trigger a signal that must fire it, and one that must not.

    Each is given to the real sensors in a scratch folder with a Dagster instance in memory, under this
    place's contract and policy. Nothing of the place is read or written, nothing is sent.
    """
    for kind in NAMES:
        yield Rehearsal(kind, NAMES[kind], _starts(platform, kind, True), not _starts(platform, kind, False))
    rolled_back = canary_action(platform, True) == "roll-back"
    kept = canary_action(platform, False) != "roll-back"
    yield Rehearsal("canary", "watch_canary", rolled_back, kept)


def _starts(platform: Platform, kind: CauseKind, fires: bool) -> bool:
    """Whether the signal leads to a run that is told by this cause."""
    with (
        tempfile.TemporaryDirectory(prefix="attrition-triggers-") as name,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        scratch = _scratch(platform, Path(name))
        SIGNALS[kind](scratch, fires)
        definitions = gather(scratch)
        found = []
        for sensor in (NAMES[kind], "start_runs"):
            definition = next(each for each in definitions.sensors or () if each.name == sensor)
            with dg.build_sensor_context(
                instance=instance, resources={"platform": scratch}, definitions=definitions
            ) as context:
                data = definition.evaluate_tick(context)
            found += [request.tags.get(CAUSE_TAG) for request in data.run_requests or ()]
        scratch.causes.close()
    return found == [kind]


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
