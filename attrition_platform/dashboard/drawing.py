"""Reports are drawn when somebody asks, by a process of their own, one at a time.

Evidently takes half a gigabyte and several seconds of pure Python: in this process the pages would stand
still meanwhile, and its memory would stay.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Final

from attrition_platform.errors import AttritionError
from attrition_platform.settings import Settings
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.window_report import WindowReport, draw_report, find_report

WAIT_SECONDS: Final = 2.0
MAX_SECONDS: Final = 600.0
FAILED_SECONDS: Final = 60.0
_MAX_WAITING: Final = 4
_POLL_SECONDS: Final = 0.1

Draw = Callable[[WindowReport], Awaitable[str | None]]


class Drawer:
    """Draws reports, one after the other; whoever asks for one that is being drawn waits for the same.

    Parameters
    ----------
    draw : callable
        Draws one report and returns what went wrong, or None.
    """

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._one_at_a_time = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[str | None]] = {}
        self._failed: dict[str, tuple[float, str]] = {}

    async def wait_for(self, report: WindowReport, seconds: float | None = None) -> str | None:
        """Wait a little (`WAIT_SECONDS`) for a report; it goes on being drawn afterwards.

        Returns
        -------
        str or None
            What went wrong. None: it is drawn, or still being drawn.
        """
        name = report.path.name
        failed_at, problem = self._failed.get(name, (-FAILED_SECONDS, ""))
        if time.monotonic() - failed_at < FAILED_SECONDS:
            return problem
        task = self._tasks.get(name)
        if task is None:
            if len(self._tasks) >= _MAX_WAITING:
                return "Too many reports are being drawn. Ask again in a minute."
            task = self._tasks[name] = asyncio.create_task(self._drawn(report))
        await asyncio.wait([task], timeout=WAIT_SECONDS if seconds is None else seconds)
        return task.result() if task.done() and not task.cancelled() else None

    async def stop(self) -> None:
        """Give up what is being drawn."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _drawn(self, report: WindowReport) -> str | None:
        name = report.path.name
        try:
            async with self._one_at_a_time:
                problem = await self._draw(report)
        except Exception as error:  # whatever a system without memory or processes throws
            problem = f"The report could not be drawn ({type(error).__name__})."
        finally:
            del self._tasks[name]
        if problem is not None:
            self._failed[name] = (time.monotonic(), problem)
        return problem


def in_a_process(settings: Settings) -> Draw:
    """Draw in a process that ends with the report, with this one, or after `MAX_SECONDS`."""

    async def draw(report: WindowReport) -> str | None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(settings, report.window, theirs), daemon=True)
        process.start()
        theirs.close()
        began = time.monotonic()
        try:
            while process.is_alive():
                await asyncio.sleep(_POLL_SECONDS)
                if time.monotonic() - began > MAX_SECONDS:
                    return "Drawing the report took too long and was given up."
            return _told(ours)
        finally:
            process.terminate()
            process.join(5)
            ours.close()

    return draw


def _told(ours: Connection) -> str | None:
    try:
        problem: str | None = ours.recv()
    except EOFError:
        return "The process that drew the report ended early, perhaps for want of memory."
    return problem


def _work(settings: Settings, window: str, told: Connection) -> None:
    """Draw one report; the pages and Dagster go first."""
    os.nice(10)
    platform = Platform(settings)
    try:
        report = find_report(platform, window)
        if not isinstance(report, str):
            draw_report(platform, report)
        told.send(report if isinstance(report, str) else None)
    except AttritionError as error:
        told.send(str(error))
    except Exception as error:  # its text may quote a value
        told.send(f"The report could not be drawn ({type(error).__name__}).")
