"""Which stored result each run made of each asset: small JSON files that point into the store."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from attrition_platform.adapters.object_store import write_atomically
from attrition_platform.adapters.step_cache import StepResult, read_result
from attrition_platform.errors import StoreError

NEWEST = "newest.json"


class Pointers:
    """Files ``<root>/<asset>/<run>.json`` and ``newest.json``.

    Two runs at once each read what they themselves made; a run of one asset alone, and the command
    line, read what the newest run made.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, asset: str, run_id: str, result: StepResult) -> None:
        """Point this run's and the newest materialization of an asset at a result."""
        write_atomically(self.root / asset / f"{run_id}.json", json.dumps(asdict(result)).encode())
        self.write_newest(asset, result)

    def write_newest(self, asset: str, result: StepResult) -> None:
        """Point the newest materialization alone at a result that was made outside a run."""
        write_atomically(self.root / asset / NEWEST, json.dumps(asdict(result)).encode())

    def read(self, asset: str, run_id: str | None = None) -> StepResult:
        """Read what a run made of an asset, else what the newest run made.

        Raises
        ------
        StoreError
            When the asset has never been materialized.
        """
        for name in (f"{run_id}.json", NEWEST):
            if (self.root / asset / name).is_file():
                return read_result(self.root / asset / name)
        raise StoreError(f"'{asset}' has not been materialized yet. Run `make train` first.")
