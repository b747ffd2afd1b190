"""A run told in plain words: the logger that `attrition train` asks for.

Dagster's default console logger tells of every event; this one tells which step begins, what the
step says, and what failed. Everything is in the event log all the same.
"""

import logging
import sys
import time
from typing import Any

import dagster as dg


class _Teller(logging.StreamHandler[Any]):
    """Writes a line per step and per message, with the seconds since the run began."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self._began = time.monotonic()

    def format(self, record: logging.LogRecord) -> str:
        meta: dict[str, Any] = getattr(record, "dagster_meta", {})
        step = (meta.get("step_key") or "").replace("__", "/")
        text = {"STEP_START": step, "STEP_FAILURE": f"{step} FAILED"}.get(_kind(record) or "")
        if text is None:
            text = "  " + str(meta.get("orig_message") or record.getMessage())
        return f"{time.monotonic() - self._began:7.1f} s  {text}"

    def filter(self, record: logging.LogRecord) -> bool:
        kind = _kind(record)
        if kind is None:
            return record.levelno >= logging.INFO
        return kind in ("STEP_START", "STEP_FAILURE")


def _kind(record: logging.LogRecord) -> str | None:
    meta: dict[str, Any] = getattr(record, "dagster_meta", {})
    return getattr(meta.get("dagster_event"), "event_type_value", None)


@dg.logger
def plain_logger(_: dg.InitLoggerContext) -> logging.Logger:
    """Build the logger; name it in a run's config as ``loggers: {plain: {}}``."""
    logger = logging.Logger("attrition", level=logging.DEBUG)
    logger.addHandler(_Teller())
    return logger
