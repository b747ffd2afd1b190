"""Hands stored step results from asset to asset, see `adapters.pointers`."""

from functools import lru_cache
from pathlib import Path

import dagster as dg

from attrition_platform.adapters.pointers import Pointers
from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.stages.run_processes import PROCESS_TAG, this_process


@lru_cache(maxsize=64)
def name_process(instance: dg.DagsterInstance, run_id: str) -> None:
    """Note in a run's tags which process works on it, once."""
    instance.add_run_tags(run_id, {PROCESS_TAG: this_process()})


class StepPointers(dg.IOManager):
    """Writes a pointer per materialization; the content is in the store already."""

    def __init__(self, root: Path) -> None:
        self._pointers = Pointers(root)

    def handle_output(self, context: dg.OutputContext, obj: StepResult) -> None:
        """Point at what the asset made."""
        self._pointers.write(context.asset_key.to_user_string(), context.run_id, obj)

    def load_input(self, context: dg.InputContext) -> StepResult:
        """Read what this run made of the upstream asset, else what the newest run made.

        A run on a part of the graph has no `raw_employees`: its first step names the process here.
        """
        name_process(context.step_context.instance, context.step_context.run_id)
        return self._pointers.read(context.asset_key.to_user_string(), context.step_context.run_id)
