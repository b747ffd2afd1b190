"""What all tests share: one thread per fit, and a finished instance made once."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ATTRITION_THREADS"):
    os.environ.setdefault(_name, "1")


@dataclass(frozen=True)
class Place:
    """A data folder of its own, and the commands as a user types them."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a user of this place; nothing of the developer's own leaks in."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("ATTRITION_", "DAGSTER_"))}
        return kept | {
            "ATTRITION_DATA": str(self.folder / "data"),
            "ATTRITION_KEY_FILE": str(self.folder / "key"),
            "ATTRITION_THREADS": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the checkout; its output is captured."""
        return subprocess.run(
            command,
            cwd=CHECKOUT,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    def train(self, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the main job the way CI does."""
        return self.run(
            "dagster",
            "job",
            "execute",
            "-m",
            "attrition_platform.definitions",
            "-j",
            "train_champion",
            **variables,
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty place."""
    return Place(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place where the main job has run on a generated population."""
    place = Place(tmp_path_factory.mktemp("finished"))
    done = place.train(ATTRITION_ROWS="12000")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return place
