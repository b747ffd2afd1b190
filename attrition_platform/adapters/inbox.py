"""Take in what lies in the inbox: accept, recognise, refuse, or leave alone until it is finished."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from attrition_platform.adapters.batches import Batch, accept_staged
from attrition_platform.adapters.drop_folder import SETTLE_SECONDS
from attrition_platform.adapters.drop_sweep import SweepReport, sweep_folder
from attrition_platform.contracts.model import Contract


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
        New batches; empty lists when the inbox is empty.
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
        entries, data_dir, contract.name, judge, settle_seconds=settle_seconds, clock=clock, sleep=sleep
    )
