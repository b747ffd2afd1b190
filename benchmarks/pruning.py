"""Median stopping against trying every setting to its end."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Final

import click

from attrition_platform.modeling.families import FAMILIES
from attrition_platform.modeling.policy import TuningBudget
from attrition_platform.modeling.tuning import tune
from benchmarks.inputs import generated_extract
from benchmarks.result import Plot, Result

N_ROWS: Final = 20_000
TRIALS: Final = 12
SEARCHED: Final = ("random_forest", "boosted_trees")
NEVER: Final = 10_000


def run() -> Result:
    """Search the families that grow, with and without the rule, on the same rows and seeds."""
    with tempfile.TemporaryDirectory() as name:
        sides, spec = _rows(Path(name))
    rows = []
    saved: dict[str, tuple[float, float]] = {}
    for family in SEARCHED:
        spent = []
        for steps in (TuningBudget().median_stopping_steps, NEVER):
            budget = TuningBudget(seconds=3600, trials=TRIALS, median_stopping_steps=steps)
            began = time.process_time()
            found = tune(family, FAMILIES[family], spec, **sides, folds=None, budget=budget, n_families=1)
            spent.append(time.process_time() - began)
            best = found.trials[found.best_index]
            n_pruned = sum(trial.pruned for trial in found.trials)
            search = "exhaustive" if steps == NEVER else "pruned"
            rows.append((family, search, spent[-1], n_pruned, best.roc_auc))
        saved[family] = (spent[0], spent[1])
    share = 1 - sum(pruned for pruned, _ in saved.values()) / sum(full for _, full in saved.values())
    return Result(
        title="Median stopping",
        finding=f"Pruning saves {share:.0%} of the CPU of trying the same {TRIALS} settings to the end.",
        header=("family", "search", "CPU s", "pruned trials", "best validation ROC AUC"),
        rows=tuple(rows),
        notes=(f"{N_ROWS:,} generated rows; a trial may be stopped after five steps.",),
        plots=(
            Plot(
                "bars",
                tuple(saved),
                {
                    "pruned": tuple(pruned for pruned, _ in saved.values()),
                    "exhaustive": tuple(full for _, full in saved.values()),
                },
                "CPU seconds",
            ),
        ),
    )


def _rows(folder: Path):  # type: ignore[no-untyped-def]
    """Train and validation rows of a generated extract, as a model reads them."""
    import os
    import shutil

    from attrition_platform.settings import Settings
    from attrition_platform.stages import features, ingest, splits
    from attrition_platform.stages.platform import Platform

    inbox = folder / "data" / "inbox"
    inbox.mkdir(parents=True)
    shutil.copy(generated_extract(folder, N_ROWS, 21).path, inbox)
    environment = {"ATTRITION_DATA": str(folder / "data"), "ATTRITION_KEY_FILE": str(folder / "key")}
    platform = Platform(Settings.from_environment(os.environ | environment))
    validated, _ = ingest.validate(platform, ingest.take_in(platform, click.echo), click.echo)
    groups = {name: features.compute_features(platform, validated, name) for name in platform.contract.groups}
    _, sides = splits.split(platform, validated, groups)
    loaded = {side: splits.load_sides(platform, sides[side]) for side in ("train", "validation")}
    return {side: (rows.X, rows.y_true) for side, rows in loaded.items()}, splits.allowed_spec(platform)
