"""Builds what assets share; nothing is opened before a run uses it."""

from __future__ import annotations

from typing import Any

from attrition_platform.defs.step_pointers import StepPointers
from attrition_platform.stages.platform import Platform


def build_resources(platform: Platform) -> dict[str, Any]:
    """Resources by the name that assets ask for."""
    return {"platform": platform, "io_manager": StepPointers(platform.pointers_dir)}
