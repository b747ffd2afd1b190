"""Evidently's page about one file, drawn when somebody asks for it: the file against the champion's data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock

from attrition_platform.adapters.pointers import NEWEST
from attrition_platform.adapters.step_cache import StepResult, code_version, digest, read_result
from attrition_platform.errors import AttritionError, StoreError
from attrition_platform.ports import CROWNING, LedgerRecord
from attrition_platform.stages.ingest import validate_one_batch
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release_state import release_state

if TYPE_CHECKING:
    import polars as pl

    from attrition_platform.adapters.batches import Batch
    from attrition_platform.scoring.predictor import Arm

VALIDATED: Final = "validated_employees"
PREDICTION: Final = "probability"
N_KEPT: Final = 50
_FILE: Final = re.compile(r"[0-9a-f]{16}")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_CODE: Final = ("adapters/evidently_report.py", "stages/window_report.py")


@dataclass(frozen=True)
class WindowReport:
    """A page that can be drawn.

    Attributes
    ----------
    window : str
        First 16 digits of the file's sha256, as `drift_report` names it.
    champion : LedgerRecord
        Whose data it is compared with: the champion that the window was judged against.
    path : Path
        Where the page lies once it was drawn; another one for other code, champion or contract.
    """

    window: str
    batch: Batch
    champion: LedgerRecord
    path: Path

    @property
    def is_drawn(self) -> bool:
        """Whether the page is there; it appears whole or not at all."""
        return self.path.is_file()


def find_report(platform: Platform, window: str) -> WindowReport | str:
    """Say which page is meant, or in words why there is none.

    Parameters
    ----------
    window : str
        As it stands in an address; anything may stand there.
    """
    from attrition_platform.adapters.batches import list_batches

    if _DAY.fullmatch(window):
        return (
            "Evidently's report is made for files. A day of answers by the service is judged as well: its "
            "numbers are on the debug page, with those of the file of that evening."
        )
    batches = list_batches(platform.settings.data_dir, platform.contract.name)
    named = bool(_FILE.fullmatch(window))
    batch = next((b for b in reversed(batches) if named and b.sha256.startswith(window)), None)
    if batch is None:
        return (
            "There is no such window: no accepted file begins with these digits. `attrition drift` names it."
        )
    champion = _judged_against(platform, window)
    if champion is None:
        return "There is no champion yet, so there is nothing to compare this file with."
    shown = (platform.contract_digest, platform.policy.drift.min_named_rows)
    key = digest([batch.sha256, champion.hash, *shown, code_version(*_CODE)])
    folder = platform.settings.data_dir / "reports" / platform.contract.name
    return WindowReport(window, batch, champion, folder / f"{window}-{key[:16]}.html")


def draw_report(platform: Platform, report: WindowReport) -> None:
    """Draw the page if it is not there; who comes second waits for the first.

    Takes several seconds and half a gigabyte: Evidently is loaded.

    Raises
    ------
    StoreError
        When the champion's data, or the file's rows, are not there any more.
    """
    report.path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(report.path.with_suffix(".lock")):
        if report.is_drawn:
            return
        from attrition_platform.adapters.evidently_report import write_report

        reference = _rows(platform, _reference_files(platform, report.champion))
        current = _window_rows(platform, report)
        arm = _arm(platform, report.champion)
        if arm is not None:
            reference, current = (_scored(platform, side, arm) for side in (reference, current))
        write_report(
            reference,
            current,
            report.champion.payload["reads"],
            report.path,
            contract=platform.contract,
            prediction=None if arm is None else PREDICTION,
            min_named_rows=platform.policy.drift.min_named_rows,
        )
        _keep_newest(report.path)


def _keep_newest(drawn: Path) -> None:
    """Remove the oldest pages beyond `N_KEPT`, never the one that was drawn just now; all can be drawn anew.

    Locks stay: who waits for one must not find that another has made a new one.
    """
    pages = sorted(drawn.parent.glob("*.html"), key=lambda page: page.stat().st_mtime_ns, reverse=True)
    for page in pages[N_KEPT:]:
        if page != drawn:
            page.unlink(missing_ok=True)


def _judged_against(platform: Platform, window: str) -> LedgerRecord | None:
    """The champion of the newest verdict on a window; today's where there is none."""
    records = platform.ledger.records()
    files = (platform.pointers_dir / "drift_report").glob("*.json")
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        facts = read_result(file).facts
        if facts.get("window") == window and facts.get("reference"):
            crowned = [r for r in records if r.kind in CROWNING and r.version == facts["reference"]]
            if crowned:
                return crowned[-1]
    return release_state(records).stable


def _reference_files(platform: Platform, champion: LedgerRecord) -> list[Path]:
    """The very rows that the champion was made from; else those of the files accepted before it."""
    wanted = champion.payload.get("data_versions", {}).get(VALIDATED)
    for result in _validated(platform, champion):
        sha256 = result.files.get("validated.parquet")
        if result.data_version == wanted and sha256 is not None and platform.steps.store.has(sha256):
            return [platform.file(sha256)]
    files = list(_accepted_before(platform, datetime.fromisoformat(champion.at)))
    if not files:
        raise StoreError(
            f"The rows that champion {champion.version} was made from are not in the store any more, so "
            "there is nothing to draw this window against."
        )
    return files


def _validated(platform: Platform, champion: LedgerRecord) -> Iterator[StepResult]:
    run = champion.payload.get("runs", {}).get("dagster")
    for name in (f"{run}.json", NEWEST):
        file = platform.pointers_dir / VALIDATED / name
        if file.is_file():
            yield read_result(file)


def _accepted_before(platform: Platform, at: datetime) -> Iterator[Path]:
    from attrition_platform.adapters.batches import list_batches

    for batch in list_batches(platform.settings.data_dir, platform.contract.name):
        accepted = datetime.fromtimestamp((batch.folder / "manifest.json").stat().st_mtime, UTC)
        result = validate_one_batch(platform, batch, _silently) if accepted <= at else None
        if result is not None and "valid.parquet" in result.files:
            yield platform.file(result.files["valid.parquet"])


def _window_rows(platform: Platform, report: WindowReport) -> pl.DataFrame:
    result = validate_one_batch(platform, report.batch, _silently)
    if "valid.parquet" not in result.files:
        refused = result.facts["refused"]
        raise StoreError(f"This file was refused whole, so there is no row to draw. {refused['detail']}")
    return _rows(platform, [platform.file(result.files["valid.parquet"])])


def _rows(platform: Platform, files: list[Path]) -> pl.DataFrame:
    import polars as pl

    columns = ["pseudonym", *platform.contract.features]
    return pl.concat([pl.read_parquet(file, columns=columns) for file in files])


def _arm(platform: Platform, champion: LedgerRecord) -> Arm | None:
    """The model; None where it can't be loaded: the columns can be drawn without its predictions."""
    from attrition_platform.stages.predicting import load_arm

    try:
        return load_arm(platform, champion)
    except AttritionError:
        return None


def _scored(platform: Platform, rows: pl.DataFrame, arm: Arm) -> pl.DataFrame:
    from attrition_platform.stages.drift import score_rows

    with platform.steps.store.workspace() as folder:
        rows.write_parquet(folder / "rows.parquet")
        probabilities = score_rows(platform, folder / "rows.parquet", arm)
    return rows.drop("pseudonym").with_columns(probabilities.alias(PREDICTION))


def _silently(_: str) -> None:
    """Nobody reads what a step says here."""
