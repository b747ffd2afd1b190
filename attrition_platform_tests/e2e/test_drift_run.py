"""A run that only drift called for really makes only the drifted part of the graph anew."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from attrition_platform.contracts.toml_file import shipped_contract
from attrition_platform.defs.trigger_sensors import drifted_part
from attrition_platform.monitoring.triggering import Cause, CauseRecord
from attrition_platform_tests.conftest import Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_nothing_but_the_drifted_groups_and_what_hangs_on_them_is_made(
    finished: Place, tmp_path: Path
) -> None:
    from attrition_platform.definitions import defs

    shutil.copytree(finished.folder / "data", tmp_path / "data")
    shutil.copy2(finished.folder / "key", tmp_path / "key")
    place, data = Place(tmp_path), tmp_path / "data"
    pointers = data / "pointers" / "reference"
    before = set(pointers.rglob("*.json"))
    cause = Cause("drift", "drift/m1/w1", datetime.now(UTC), "w1", {"columns": ["remote_work"], "score": 0.3})
    graph, job = defs.resolve_asset_graph(), defs.resolve_job_def("train_champion")
    unresolved = next(one for one in defs.jobs or () if one.name == "train_champion")
    part = drifted_part([CauseRecord(cause)], shipped_contract(), unresolved, graph)
    assert part is not None
    wanted = {key.to_user_string() for key in part}
    (group,) = [name for name, reads in shipped_contract().groups.items() if "remote_work" in reads]
    assert {name for name in wanted if name.startswith("features/")} == {f"features/{group}"}
    assert (
        {"champion", "promotion_decision", "challenger"}
        < wanted
        < {key.to_user_string() for key in job.asset_layer.executable_asset_keys}
    )

    done = place.run(
        "dagster",
        "asset",
        "materialize",
        "-m",
        "attrition_platform.definitions",
        "--select",
        ",".join(f'key:"{name}"' for name in sorted(wanted)).replace(",", " or "),
    )

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    made = {str(file.parent.relative_to(pointers)) for file in set(pointers.rglob("*.json")) - before}
    assert made == wanted
    reused = [json.loads((pointers / name / "newest.json").read_text()) for name in ("raw_employees", *made)]
    assert {step["step"] for step in reused if step["reused"]}, "unchanged work is not done again"
