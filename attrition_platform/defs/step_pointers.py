"""Hands stored step results from asset to asset: by run first, else the newest.

The IO manager writes a small JSON file per asset and run that points into the store. Two runs at
once each read what they themselves produced; a run of one asset alone reads its inputs' newest.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import dagster as dg

from attrition_platform.adapters.object_store import write_atomically
from attrition_platform.adapters.step_cache import StepResult, read_result
from attrition_platform.errors import StoreError

NEWEST = "newest.json"


class StepPointers(dg.IOManager):
    """Pointers under ``<data folder>/pointers/<contract>/<asset>/<run>.json``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def handle_output(self, context: dg.OutputContext, obj: StepResult) -> None:
        """Point this run's and the newest materialization at the result."""
        folder = self.root / context.asset_key.to_user_string()
        text = json.dumps(asdict(obj)).encode()
        write_atomically(folder / f"{context.run_id}.json", text)
        write_atomically(folder / NEWEST, text)

    def load_input(self, context: dg.InputContext) -> StepResult:
        """Read what this run made, else what the newest run made.

        Raises
        ------
        StoreError
            When the asset has never been materialized.
        """
        return self.read(context.asset_key.to_user_string(), context.step_context.run_id)

    def read(self, asset: str, run_id: str | None = None) -> StepResult:
        """Read a pointer by the asset's name, such as ``"candidates/boosted_trees"``."""
        folder = self.root / asset
        for name in (f"{run_id}.json", NEWEST):
            if (folder / name).is_file():
                return read_result(folder / name)
        raise StoreError(f"'{asset}' has not been materialized. Run the job 'train_champion' first.")
