"""Take in what lies in the inbox: accept, recognise, refuse, or leave alone until it is finished."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrition_platform.adapters.batches import Batch, accept_staged
from attrition_platform.adapters.drop_folder import SETTLE_SECONDS
from attrition_platform.adapters.drop_sweep import SweepReport, sweep_folder
from attrition_platform.contracts.model import Contract

# Ten times what a million employees take; a larger file is a mistake, and its copy would fill the disk.
MAX_FILE_BYTES: Final = 4 << 30


def sweep_inbox(
    inbox: Path,
    data_dir: Path,
    contract: Contract,
    *,
    settle_seconds: float = SETTLE_SECONDS,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> SweepReport[Batch]:
    """Look at every entry of the inbox once.

    Parameters
    ----------
    inbox, data_dir : Path
        Where files are dropped, and the folder of `batches/` and `refused/`.
    settle_seconds, clock, sleep
        As in `drop_sweep.sweep`.

    Returns
    -------
    SweepReport
        New batches; empty lists when the inbox is empty. A file that is too large is refused, stays where
        it is, and is told again by the next sweep.
    """

    def judge(staged: Path, report: SweepReport[Batch]) -> None:
        name = staged.name
        batch, is_new = accept_staged(staged, data_dir, contract, "inbox")
        if is_new:
            report.accepted.append(batch)
        else:
            report.already_known.append(name)

    inbox.mkdir(parents=True, exist_ok=True)
    entries = sorted(inbox.iterdir())
    return sweep_folder(
        entries,
        data_dir,
        contract.name,
        judge,
        max_bytes=MAX_FILE_BYTES,
        settle_seconds=settle_seconds,
        clock=clock,
        sleep=sleep,
    )
