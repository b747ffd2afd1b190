"""Dagster's own storage, embedded: SQLite below the data folder, initialised under a lock.

A fresh SQLite home that several processes open at once can break for good (dagster#27390), so the
first one creates it while the others wait. `dagster.yaml` names this class, which is why
`dagster job execute` keeps its runs even where DAGSTER_HOME is not set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from filelock import FileLock

from attrition_platform.settings import Settings


class EmbeddedStorage(DagsterSqliteStorage):
    """Runs, events and schedules under ``<data folder>/dagster``."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        with FileLock(Path(base_dir) / "initialise.lock"):
            super().__init__(base_dir, inst_data=inst_data)

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """No setting: the place follows from the platform's settings."""
        return {}

    @classmethod
    def from_config_value(  # type: ignore[override]
        cls, inst_data: ConfigurableClassData, config_value: dict[str, Any]
    ) -> Self:
        """Open the storage below the data folder of the environment."""
        base_dir = Settings.from_environment().data_dir / "dagster"
        base_dir.mkdir(parents=True, exist_ok=True)
        return cls(str(base_dir), inst_data=inst_data)
