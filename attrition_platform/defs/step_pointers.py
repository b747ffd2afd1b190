"""Hands stored step results from asset to asset, see `adapters.pointers`."""

from pathlib import Path

import dagster as dg

from attrition_platform.adapters.pointers import Pointers
from attrition_platform.adapters.step_cache import StepResult


class StepPointers(dg.IOManager):
    """Writes a pointer per materialization; the content is in the store already."""

    def __init__(self, root: Path) -> None:
        self._pointers = Pointers(root)

    def handle_output(self, context: dg.OutputContext, obj: StepResult) -> None:
        """Point at what the asset made."""
        self._pointers.write(context.asset_key.to_user_string(), context.run_id, obj)

    def load_input(self, context: dg.InputContext) -> StepResult:
        """Read what this run made of the upstream asset, else what the newest run made."""
        return self._pointers.read(context.asset_key.to_user_string(), context.step_context.run_id)
