"""The public recipe for the reference data: its scores, and the time of its ten scripts.

``run()`` executes the ten scripts one after the other, each in a process of its own that reads what the
one before wrote, as the recipe does. ``python -m benchmarks.public_recipe CSV`` prints only the scores.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.inputs import CHECKOUT, reference_extract
from benchmarks.measuring import Cost, measure_command
from benchmarks.recipe_features import labels, recipe_matrix
from benchmarks.result import Cell, Plot, Result

SEED: Final = 42
TEST_SHARE: Final = 0.2
PUBLISHED: Final = {
    "roc_auc": 0.7545,
    "accuracy": 0.686,
    "precision": 0.656,
    "recall": 0.710,
    "cv_recall": 0.7064,
    "served_recall": 0.04,
}
# The description names a grid search over several models and not its values. These are few by the
# standard of such recipes, so the time is a low estimate.
GRIDS: Final[dict[str, dict[str, list[Any]]]] = {
    "logistic_regression": {"C": [0.01, 0.1, 1.0, 10.0]},
    "decision_tree": {"max_depth": [5, 10, 20], "min_samples_leaf": [1, 10]},
    "random_forest": {"n_estimators": [100], "max_depth": [10, None], "min_samples_leaf": [1, 5]},
    "gradient_boosting": {"n_estimators": [100], "learning_rate": [0.1, 0.2], "max_depth": [2, 3]},
}
N_FOLDS: Final = 5

Paths = Callable[[str], Path]


def run(csv: Path | None = None) -> Result:
    """Run the ten scripts and compare their scores with the published ones.

    Parameters
    ----------
    csv : Path, optional
        Rows to use; without it the reference CSV, or generated rows where there is none.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        extract = reference_extract(folder)
        costs = run_scripts(csv or extract.path, folder)
        scores: dict[str, float] = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        searched: dict[str, float] = json.loads((folder / "search.json").read_text(encoding="utf-8"))
    total = sum(cost.cpu_seconds for cost in costs.values())
    rows: list[tuple[Cell, ...]] = [
        (name, value, scores[name], scores[name] - value) for name, value in PUBLISHED.items()
    ]
    rows += [("CPU seconds, ten scripts", "-", total, "-")]
    worst = max(abs(scores[name] - PUBLISHED[name]) for name in list(PUBLISHED)[:4])
    data = str(csv) if csv else extract.name
    return Result(
        title="The public recipe",
        finding=(
            f"On the {data} the recipe scores AUC {scores['roc_auc']:.4f}, recall {scores['recall']:.3f}, "
            f"accuracy {scores['accuracy']:.3f}; its ten scripts take {total:.0f} CPU seconds."
        ),
        header=("score", "published", "written anew", "difference"),
        rows=tuple(rows),
        notes=(
            "Written anew from a description that leaves columns and split open. Both were chosen for "
            "close scores, out of about 1,500 combinations (six splits among them; this one is 80/20, "
            f"stratified, seed {SEED}); the largest difference of the four test scores is {worst:.4f}. "
            "Another split moves the AUC by 0.004 and more, so agreement in the third digit means nothing.",
            "cv_recall is the mean of 5 folds of the training part. served_recall is the recall when the "
            "same model is given years that were not divided by 12, as the recipe's server does. How far "
            "it falls depends on columns that the description leaves open.",
            "The grid is ours, and small: "
            + "; ".join(
                f"{name} {int(np.prod([len(v) for v in grid.values()]))} settings x {N_FOLDS} folds"
                for name, grid in GRIDS.items()
            )
            + ". Best mean recall: "
            + ", ".join(f"{name} {value:.3f}" for name, value in searched.items())
            + ". The published scores are those of the logistic regression, whatever the grid prefers.",
            f"CPU seconds by script: {', '.join(f'{n} {c.cpu_seconds:.1f}' for n, c in costs.items())}.",
        ),
        plots=(
            Plot(
                "bars",
                tuple(PUBLISHED),
                {"published": tuple(PUBLISHED.values()), "anew": tuple(scores[n] for n in PUBLISHED)},
                "score",
            ),
        ),
    )


def run_scripts(csv: Path, folder: Path) -> dict[str, Cost]:
    """Run every script in its own process on one thread; costs by script name, in order."""
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    return {
        script: measure_command(
            [sys.executable, "-m", "benchmarks.public_recipe", str(csv), script, str(folder)],
            environment=one_thread,
            cwd=CHECKOUT,
        )
        for script in SCRIPTS
    }


def recipe_scores(raw: pl.DataFrame) -> dict[str, float]:
    """Train and test the recipe's final model, a class-balanced logistic regression.

    Parameters
    ----------
    raw : polars.DataFrame
        Rows of the reference file.

    Returns
    -------
    dict of str to float
        Keys of `PUBLISHED`; ``brier`` besides.
    """
    from sklearn.model_selection import cross_val_score

    train, test = _split(raw)
    model = final_model().fit(recipe_matrix(train), labels(train))
    scores = _test_scores(model, test)
    X, y_true = recipe_matrix(train), labels(train)
    folds = cross_val_score(final_model(), X, y_true, cv=N_FOLDS, scoring="recall")
    return scores | {"cv_recall": float(folds.mean())}


def final_model() -> Any:
    """Build the model that the recipe ends with."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    balanced = LogisticRegression(class_weight="balanced", max_iter=1000)
    return make_pipeline(StandardScaler(), balanced)


def _split(raw: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(
        np.arange(raw.height), test_size=TEST_SHARE, random_state=SEED, stratify=labels(raw)
    )
    return raw[train], raw[test]


def _test_scores(model: Any, test: pl.DataFrame) -> dict[str, float]:
    from sklearn import metrics

    y_true = labels(test)
    y_prob = model.predict_proba(recipe_matrix(test))[:, 1]
    flagged = y_prob >= 0.5
    served = model.predict(recipe_matrix(test, years_divisor=1))
    return {
        "roc_auc": float(metrics.roc_auc_score(y_true, y_prob)),
        "accuracy": float(metrics.accuracy_score(y_true, flagged)),
        "precision": float(metrics.precision_score(y_true, flagged)),
        "recall": float(metrics.recall_score(y_true, flagged)),
        "served_recall": float(metrics.recall_score(y_true, served)),
        "brier": float(metrics.brier_score_loss(y_true, y_prob)),
    }


# --- The ten scripts: each reads files and writes files, like ten scripts in a folder. ---


def _load(csv: Path, at: Paths) -> None:
    pl.read_csv(csv).write_csv(at("loaded.csv"))


def _clean(_csv: Path, at: Paths) -> None:
    raw = pl.read_csv(at("loaded.csv")).unique(maintain_order=True).drop_nulls()
    raw.write_csv(at("cleaned.csv"))


def _explore(_csv: Path, at: Paths) -> None:
    from matplotlib.figure import Figure

    raw = pl.read_csv(at("cleaned.csv")).with_columns((pl.col("Attrition") == "Left").alias("left"))
    figure = Figure(figsize=(10, 6))
    axes = figure.subplots(2, 3).ravel()
    for axis, column in zip(axes, _EXPLORED, strict=True):
        shares = raw.group_by(column).agg(pl.col("left").mean()).sort(column)
        axis.bar([str(value) for value in shares[column]], shares["left"].to_list())
        axis.set_title(column)
    figure.savefig(at("explored.png"))


_EXPLORED = ("Overtime", "Job Level", "Job Satisfaction", "Remote Work", "Education Level", "Company Size")


def _encode(_csv: Path, at: Paths) -> None:
    raw = pl.read_csv(at("cleaned.csv"))
    np.save(at("labels.npy"), labels(raw))


def _engineer(_csv: Path, at: Paths) -> None:
    np.save(at("features.npy"), recipe_matrix(pl.read_csv(at("cleaned.csv"))))


def _divide(_csv: Path, at: Paths) -> None:
    train, test = _split(pl.read_csv(at("cleaned.csv")))
    train.write_csv(at("train.csv"))
    test.write_csv(at("test.csv"))


def _search(_csv: Path, at: Paths) -> None:
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    models = {
        "logistic_regression": LogisticRegression(class_weight="balanced", max_iter=1000),
        "decision_tree": DecisionTreeClassifier(class_weight="balanced", random_state=SEED),
        "random_forest": RandomForestClassifier(class_weight="balanced", random_state=SEED),
        "gradient_boosting": GradientBoostingClassifier(random_state=SEED),
    }
    train = pl.read_csv(at("train.csv"))
    X = StandardScaler().fit_transform(recipe_matrix(train))
    found = {}
    for name, model in models.items():
        search = GridSearchCV(model, GRIDS[name], scoring="recall", cv=N_FOLDS).fit(X, labels(train))
        found[name] = float(search.best_score_)
    at("search.json").write_text(json.dumps(found), encoding="utf-8")


def _train(_csv: Path, at: Paths) -> None:
    import joblib

    train = pl.read_csv(at("train.csv"))
    joblib.dump(final_model().fit(recipe_matrix(train), labels(train)), at("model.joblib"))


def _evaluate(_csv: Path, at: Paths) -> None:
    scores = recipe_scores(pl.read_csv(at("cleaned.csv")))
    at("scores.json").write_text(json.dumps(scores), encoding="utf-8")


def _predict(_csv: Path, at: Paths) -> None:
    import joblib

    model = joblib.load(at("model.joblib"))  # written by the script before, in our own folder
    test = pl.read_csv(at("test.csv"))
    flagged = model.predict(recipe_matrix(test, years_divisor=1))
    test.select("Employee ID").with_columns(pl.Series("flagged", flagged)).write_csv(at("predictions.csv"))


SCRIPTS: Final[dict[str, Callable[[Path, Paths], None]]] = {
    "load": _load,
    "clean": _clean,
    "explore": _explore,
    "encode": _encode,
    "engineer": _engineer,
    "divide": _divide,
    "search": _search,
    "train": _train,
    "evaluate": _evaluate,
    "predict": _predict,
}


def main(arguments: list[str]) -> None:
    """Run one script (CSV, script, folder), or print the scores for a CSV."""
    if len(arguments) == 3:
        csv, script, folder = arguments
        SCRIPTS[script](Path(csv), lambda name: Path(folder) / name)
        return
    scores = recipe_scores(pl.read_csv(arguments[0]))
    sys.stdout.write(json.dumps({name: round(value, 4) for name, value in scores.items()}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
