"""What each detector takes for a cause, and what it must not."""

from __future__ import annotations

import hashlib
import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from attrition_platform.adapters import outcome_files
from attrition_platform.adapters.inbox import sweep_inbox
from attrition_platform.adapters.pointers import Pointers
from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.contracts.identity import pseudonyms
from attrition_platform.modeling.policy import load_policy
from attrition_platform.modeling.watch_rules import CauseKind, TriggerRule
from attrition_platform.monitoring.triggering import Cause, CauseRecord, CauseState
from attrition_platform.settings import Settings
from attrition_platform.stages import standing_files
from attrition_platform.stages.answered_causes import answered
from attrition_platform.stages.detecting import (
    MAX_EVENT_BYTES,
    drift,
    events,
    events_folder,
    file_events,
    new_columns,
    new_files,
    new_labels,
    performance,
    read_event,
)
from attrition_platform.stages.ingest import take_in_outcomes
from attrition_platform.stages.platform import Platform

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVENT = b'{"kind": "platform-update", "reason": "a new release"}'


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """An empty place; twenty new labels are worth a training."""
    environment = {"ATTRITION_DATA": str(tmp_path / "data"), "ATTRITION_KEY_FILE": str(tmp_path / "key")}
    found = Platform(Settings.from_environment(environment), lambda: NOON)
    rule = TriggerRule(new_labels=20)
    found.__dict__["policy"] = load_policy("responsible").model_copy(update={"triggers": rule})
    found.settings.inbox.mkdir(parents=True)
    return found


def drop(folder: Path, name: str = "extract.csv", content: bytes = b"a,b\n1,2\n", age: float = 60) -> Path:
    """A file that was last written `age` seconds ago."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_bytes(content)
    os.utime(file, (time.time() - age, time.time() - age))
    return file


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def made(platform: Platform, asset: str, run: str = "r1", **facts: Any) -> None:
    """What a run made of an asset."""
    result = StepResult(asset, "v", "v", {}, facts, {})
    Pointers(platform.pointers_dir).write(asset, run, result)


def trained(platform: Platform, run: str, *batches: str, **facts: Any) -> None:
    """A run that trained to its end on these batches."""
    made(platform, "raw_employees", run, batches=[{"sha256": batch} for batch in batches])
    made(platform, "model_card", run)
    if facts:
        made(platform, "validated_employees", run, **facts)


def accept(platform: Platform, content: bytes, *, origin: str = "inbox", sequence: int = 1) -> str:
    """An accepted batch, as a sweep leaves it."""
    sha = sha256(content)
    folder = platform.settings.data_dir / "batches" / platform.contract.name / sha
    folder.mkdir(parents=True)
    (folder / "source.csv").write_bytes(content)
    fields = {"sha256": sha, "name": "extract.csv", "kind": "csv", "n_rows": 1, "n_bytes": len(content)}
    (folder / "manifest.json").write_text(json.dumps(fields | {"sequence": sequence, "origin": origin}))
    return sha


def drift_facts(**changes: Any) -> dict[str, Any]:
    facts = {"window": "w1", "reference": "m1", "problem": None, "schema_changes": []}
    return {**facts, "windows": [window_facts()], "blocks_scoring": False, **changes}


def window_facts(name: str = "w1", *columns: str, score: float | None = 0.3) -> dict[str, Any]:
    return {"window": name, "drifted": True, "score": score, "columns": list(columns or ["age"])}


# --- files


def test_a_file_that_stands_still_is_a_cause_whose_key_is_its_content(platform: Platform) -> None:
    drop(platform.settings.inbox, "june.csv", b"june")

    (cause,) = new_files(platform).causes
    (platform.settings.inbox / "june.csv").rename(platform.settings.inbox / "again.csv")
    (same,) = new_files(platform).causes

    assert cause.kind == "new-file"
    assert cause.key.startswith(f"new-file/{sha256(b'june')[:32]}/")
    assert (cause.found_at, dict(cause.evidence)) == (NOON, {"file": "june.csv"})
    assert same.key == cause.key


def test_without_an_inbox_nothing_is_seen(platform: Platform) -> None:
    platform.settings.inbox.rmdir()

    assert (new_files(platform).causes, events(platform).causes) == ((), ())


@pytest.mark.parametrize("name", ["a.csv.part", "a.csv.crdownload", "A.TMP", "a..b.csv", "line\nbreak.csv"])
def test_what_is_unfinished_or_has_a_bad_name_waits_and_is_counted(platform: Platform, name: str) -> None:
    drop(platform.settings.inbox, name)

    reading = new_files(platform)

    assert reading.causes == ()
    assert reading.value == "0 files in the inbox, 0 new, 1 not finished or not readable"


def test_hidden_files_are_no_files_and_folders_are_told_as_left_alone(platform: Platform) -> None:
    drop(platform.settings.inbox, ".sync")
    (platform.settings.inbox / "empty").mkdir()
    assert new_files(platform).value == "0 files in the inbox, 0 new"

    drop(platform.settings.inbox / "folder", "extract.csv")
    assert "1 folders left alone (put the files themselves into the inbox)" in new_files(platform).value


def test_a_name_that_is_no_text_stops_no_later_file(platform: Platform) -> None:
    odd = os.fsencode(platform.settings.inbox) + b"/\xff\xfe.csv"
    with open(odd, "wb") as file:
        file.write(b"odd")
    drop(platform.settings.inbox, "later.csv")

    assert [dict(cause.evidence) for cause in new_files(platform).causes] == [{"file": "later.csv"}]


def test_links_pipes_and_what_can_not_be_read_stop_no_later_file(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = platform.settings.inbox
    (inbox / "link.csv").symlink_to(drop(tmp_path, "secret.csv"))
    (inbox / "dangling.csv").symlink_to(tmp_path / "nothing")
    os.mkfifo(inbox / "pipe.csv")
    os.utime(inbox / "pipe.csv", (0, 0))
    broken, later = drop(inbox, "broken.csv", b"broken"), drop(inbox, "later.csv", b"later")
    real = standing_files.open_regular

    def refuse(path: Path) -> Any:
        if path == broken:
            raise PermissionError(path)
        return real(path)

    monkeypatch.setattr(standing_files, "open_regular", refuse)

    assert [cause.evidence["file"] for cause in new_files(platform).causes] == [later.name]

    monkeypatch.setattr(standing_files, "open_regular", real)
    found = {cause.evidence["file"] for cause in new_files(platform).causes}
    assert found == {"broken.csv", "later.csv"}, "mending its mode changes neither size nor time"


def test_a_file_that_was_just_written_waits_for_a_second(platform: Platform) -> None:
    file = drop(platform.settings.inbox, age=0)
    assert new_files(platform).causes == ()

    os.utime(file, (time.time() - 2, time.time() - 2))
    assert len(new_files(platform).causes) == 1


def test_a_file_that_somebody_still_holds_open_for_writing_waits_however_old_it_looks(
    platform: Platform,
) -> None:
    file = drop(platform.settings.inbox)
    with file.open("ab"):
        assert new_files(platform).causes == ()
    assert len(new_files(platform).causes) == 1


def test_a_file_with_a_time_in_the_future_is_not_waited_for_until_then(platform: Platform) -> None:
    """Copied with its times from a machine whose clock is ahead."""
    drop(platform.settings.inbox, age=-3_600)

    assert len(new_files(platform).causes) == 1


def test_a_huge_file_is_found_without_being_read(platform: Platform) -> None:
    """A sparse file costs nothing to make; read in a tick, it ended every trigger."""
    file = drop(platform.settings.inbox, "huge.csv")
    os.truncate(file, 200 << 30)
    os.utime(file, (1, 1))
    drop(platform.settings.inbox, "june.csv", b"june")

    begin = time.process_time()
    causes = new_files(platform).causes

    assert {cause.evidence["file"] for cause in causes} == {"huge.csv", "june.csv"}
    assert time.process_time() - begin < 1.0


def test_a_large_file_is_the_same_cause_once_it_is_a_batch_and_another_one_is_another(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing_files, "LARGE_BYTES", 100)
    monkeypatch.setattr(standing_files, "_BLOCK_BYTES", 20)
    contract = platform.contract
    header = ",".join(column.source for column in contract.columns.values()) + "\n"
    content = header.encode() + b"," * (len(contract.columns) - 1) + b"\n"
    file = drop(platform.settings.inbox, content=content)
    (dropped,) = new_files(platform).causes
    sweep_inbox(platform.settings.inbox, platform.settings.data_dir, contract)
    assert not file.exists()

    assert [cause.key for cause in new_files(platform).causes] == [dropped.key]
    assert answered(platform, [CauseRecord(dropped)]) == []
    trained(platform, "r1", sha256(content))
    assert answered(platform, [CauseRecord(dropped)]) == [dropped.key]
    assert new_files(platform).causes == ()

    drop(platform.settings.inbox, content=content, age=30)
    (another,) = new_files(platform).causes
    assert another.key != dropped.key


def test_an_accepted_batch_calls_for_a_training_until_one_ended_with_it(platform: Platform) -> None:
    first, second = accept(platform, b"first"), accept(platform, b"second", sequence=2)
    trained(platform, "r1", first)
    (cause,) = new_files(platform).causes
    assert cause.key.startswith(f"new-file/{second[:32]}/")

    made(platform, "raw_employees", "r2", batches=[{"sha256": first}, {"sha256": second}])
    assert len(new_files(platform).causes) == 1, "this run took it in and did not train to its end"

    made(platform, "model_card", "r2")
    assert new_files(platform).causes == ()


def test_the_bytes_of_a_known_batch_are_no_cause_when_they_are_dropped_again(platform: Platform) -> None:
    trained(platform, "r1", accept(platform, b"known"))
    drop(platform.settings.inbox, "again.csv", b"known")

    assert new_files(platform).causes == ()
    assert new_files(platform).value == "1 files in the inbox, 0 new"


def test_a_batch_has_the_same_key_before_and_after_it_is_taken_in(platform: Platform) -> None:
    file = drop(platform.settings.inbox, content=b"june")
    (waiting,) = new_files(platform).causes
    file.unlink()
    accept(platform, b"june")

    assert [cause.key for cause in new_files(platform).causes] == [waiting.key]


def test_a_partial_run_does_not_hide_which_batches_the_run_before_it_had(platform: Platform) -> None:
    trained(platform, "r1", accept(platform, b"first"))
    made(platform, "model_card", "r2-of-drift-alone")

    assert new_files(platform).causes == ()


def test_the_generated_population_is_no_cause(platform: Platform) -> None:
    accept(platform, b"generated", origin="generated")

    assert new_files(platform).causes == ()


def test_a_refused_file_is_a_new_cause_once_the_contract_has_changed(platform: Platform) -> None:
    drop(platform.settings.inbox, content=b"refused")
    (before,) = new_files(platform).causes
    (platform.settings.data_dir / "refused" / sha256(b"refused")).mkdir(parents=True)

    (same,) = new_files(platform).causes
    platform.__dict__["contract_digest"] = "f" * 64
    (after,) = new_files(platform).causes

    assert same.key == before.key != after.key


# --- reports


def test_before_any_report_nothing_is_judged(platform: Platform) -> None:
    for detect in (drift, performance, new_labels, new_columns):
        assert detect(platform).causes == ()
        assert detect(platform).limit


def test_a_drifted_window_is_one_cause_whoever_is_champion(platform: Platform) -> None:
    made(platform, "drift_report", **drift_facts())
    (first,) = drift(platform).causes
    made(platform, "drift_report", "r2", **drift_facts(reference="m2"))
    (second,) = drift(platform).causes

    assert first.key == second.key == "drift/w1"
    assert dict(first.evidence) == {"columns": ["age"], "score": 0.3, "champion": "m1"}


def test_each_window_that_drifted_is_a_cause_of_its_own(platform: Platform) -> None:
    """The answers of a later day drift while the batch is the same: else no run would ever follow."""
    batch, day = window_facts("w1", "age"), window_facts("2026-02-28", "probability", score=0.4)
    made(platform, "drift_report", **drift_facts(windows=[batch, day]))

    found = {cause.key: (cause.window, dict(cause.evidence)) for cause in drift(platform).causes}

    assert found == {
        "drift/w1": ("w1", {"columns": ["age"], "score": 0.3, "champion": "m1"}),
        "drift/2026-02-28": ("2026-02-28", {"columns": ["probability"], "score": 0.4, "champion": "m1"}),
    }


def test_a_batch_that_was_refused_hides_no_drift_of_the_answers(platform: Platform) -> None:
    windows = [window_facts("w1"), window_facts("2026-02-28")]
    made(platform, "drift_report", **drift_facts(windows=windows, blocks_scoring=True))

    assert [cause.key for cause in drift(platform).causes] == ["drift/2026-02-28"]
    assert "window w1: largest score 0.300, 1 columns drifted; its file was refused" in drift(platform).value


@pytest.mark.parametrize(
    "changes",
    [
        {"windows": [window_facts() | {"drifted": False, "columns": []}]},
        {"windows": [window_facts() | {"drifted": False, "columns": [], "score": None}]},
        {"problem": "There is no champion yet.", "windows": [], "reference": None},
        {"blocks_scoring": True},  # its file was refused
    ],
)
def test_a_window_without_drift_or_verdict_is_none(platform: Platform, changes: dict[str, Any]) -> None:
    made(platform, "drift_report", **drift_facts(**changes))

    assert drift(platform).causes == ()
    is_judged = "problem" not in changes
    for detect in (drift, new_columns):
        assert (detect(platform).value != "no window has been judged yet") == is_judged


@pytest.mark.parametrize(("verdict", "n"), [("below-floor", 1), ("concept-drift", 1), ("ok", 0)])
def test_only_a_champion_that_is_no_longer_good_enough_calls_for_one(
    platform: Platform, verdict: str, n: int
) -> None:
    judged = {"matured": {"n": 1_200}, "reasons": ["recall 0.41 is below 0.55"]}
    made(platform, "performance_report", window="m1/1", verdict=verdict, judged=judged)

    reading = performance(platform)

    assert [cause.key for cause in reading.causes] == [f"performance/m1/1/{verdict}"] * n
    assert reading.value == f"{verdict}, 1,200 matured outcomes read"


def test_without_a_champion_performance_is_silent(platform: Platform) -> None:
    made(platform, "performance_report", window="none", verdict="no-champion", judged=None)

    assert performance(platform).causes == ()


def test_labels_are_counted_from_the_last_training_on(platform: Platform) -> None:
    trained(platform, "r1", n_labelled=100)
    made(platform, "validated_employees", "scored", n_labelled=119)
    assert new_labels(platform).causes == ()

    made(platform, "validated_employees", "scored-later", n_labelled=120)
    (cause,) = new_labels(platform).causes
    assert (cause.key, dict(cause.evidence)) == ("volume/r1", {"n_new": 20, "n_known": 120})

    trained(platform, "r2", n_labelled=120)
    assert new_labels(platform).causes == ()


def test_labels_that_a_file_brings_are_its_own_trainings_and_no_second_cause(platform: Platform) -> None:
    """While a run trains, its rows are validated already; a sensor that looked then started one more."""
    trained(platform, "r1", n_labelled=100)
    file = accept(platform, b"with labels")
    made(platform, "raw_employees", "r2", batches=[{"sha256": file}])
    made(platform, "validated_employees", "r2", n_labelled=500)
    assert new_labels(platform).causes == ()
    assert new_labels(platform).value.startswith("400 new labels, of which a file")

    made(platform, "model_card", "r2")
    assert new_labels(platform).value == "0 new labels"


def test_what_a_training_has_read_meanwhile_is_answered(platform: Platform) -> None:
    first = accept(platform, b"first")
    trained(platform, "r1", first, n_labelled=100)
    made(platform, "validated_employees", "scored", n_labelled=130)
    drop(platform.settings.inbox, content=b"second")
    made(platform, "drift_report", **drift_facts())
    found = (*new_files(platform).causes, *new_labels(platform).causes, *drift(platform).causes)
    causes = [CauseRecord(cause) for cause in found]
    assert [record.cause.kind for record in causes] == ["new-file", "volume", "drift"]
    assert answered(platform, causes) == []

    trained(platform, "r2", first, sha256(b"second"), n_labelled=200)

    assert answered(platform, causes) == [causes[0].cause.key, causes[1].cause.key]


@pytest.mark.parametrize("state", ["open", "ticketed"])
@pytest.mark.parametrize("kind", ["new-file", "drift", "performance", "volume", "new-column", "event"])
def test_a_training_of_the_whole_job_answers_every_cause_that_was_found_before_it_began(
    platform: Platform, kind: CauseKind, state: CauseState
) -> None:
    before, after = (
        CauseRecord(Cause(kind, f"{kind}/{name}/1", at, "w", {}), state, 2, "k")
        for name, at in (("r1", NOON), ("r2", NOON + timedelta(hours=2)))
    )
    made(platform, "model_card", "of-drift-alone")
    assert answered(platform, [before, after]) == []

    begins(platform, "r9", NOON + timedelta(hours=1))

    assert answered(platform, [before, after]) == [before.cause.key]
    assert answered(platform, [before], lambda run_id: run_id != "r9") == [], "it failed at its very end"


def begins(platform: Platform, run: str, at: datetime) -> None:
    """A training of the whole job that began then, and trained to its end."""
    result = StepResult("raw_employees", "v", "v", {}, {"batches": []}, {"began_at": at.isoformat()})
    Pointers(platform.pointers_dir).write("raw_employees", run, result)
    made(platform, "model_card", run)


def test_counting_labels_takes_nothing_in_and_reads_stored_outcomes_once(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever looks may have another key than the daemon, under which nobody would be found again."""
    contract = platform.contract
    rows = pl.DataFrame(
        {"pseudonym": pseudonyms(["1", "2", "3"], platform.key), contract.label: [None, True, None]}
    )
    rows.write_parquet(platform.settings.data_dir / "rows.parquet")
    stored = platform.steps.store.take(platform.settings.data_dir / "rows.parquet")
    validated = StepResult(
        "validated_employees", "v", "v", {"validated.parquet": stored}, {"n_labelled": 1}, {}
    )
    Pointers(platform.pointers_dir).write("validated_employees", "r1", validated)
    made(platform, "model_card", "r1")
    header = f"{contract.columns[str(contract.id)].source},date,outcome\n"
    file = drop(platform.settings.data_dir / "outcomes", "a.csv", f"{header}1,2026-02-01,left\n".encode())
    drop(platform.settings.data_dir / "outcomes", "b.csv", f"{header}3,2090-02-01,left\n".encode())

    assert new_labels(platform).value == "0 new labels"
    assert file.exists()

    take_in_outcomes(platform, lambda _: None)
    assert new_labels(platform).value == "1 new labels"
    monkeypatch.setattr(outcome_files, "read_outcomes", lambda *_, **__: 1 / 0)
    assert new_labels(platform).value == "1 new labels"


def test_a_new_column_is_one_cause_in_whatever_order_it_is_named_and_other_changes_are_none(
    platform: Platform,
) -> None:
    def report(*columns: str) -> list[str]:
        changes = [{"kind": "new-column", "column": name} for name in columns]
        unit = {"kind": "unit-change", "column": "age"}
        made(platform, "drift_report", **drift_facts(schema_changes=[unit, *changes]))
        return [cause.key for cause in new_columns(platform).causes]

    assert report() == []
    assert report("Badge", "Floor") == report("Floor", "Badge")
    assert len(set(report("Badge") + report("Badge", "Floor"))) == 2


# --- events


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", EVENT),
        ("A.JSON", EVENT),
        ("mark.json", b"\xef\xbb\xbf" + EVENT),
        ("a.toml", b'kind = "platform-update"\nreason = "a new release"\nby = 3\n'),
        ("no-suffix", b'kind = "platform-update"\nreason = "a new release"'),
        ("Größe 😀.json", EVENT),
    ],
)
def test_an_event_has_a_kind_and_a_reason(platform: Platform, name: str, content: bytes) -> None:
    drop(events_folder(platform), name, content)

    (cause,) = events(platform).causes

    assert (cause.kind, cause.window) == ("event", "platform-update")
    assert cause.evidence == {"kind": "platform-update", "reason": "a new release", "file": name}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\xfe" * 40,
        b"[1, 2]",
        b"null",
        b'{"kind": "x"}',
        b'{"kind": "x", "reason": NaN}',
        b'{"kind": "x", "reason": ""}',
        b'{"kind": "x", "reason": "line\\nbreak"}',
        b'{"kind": "x", "reason": "half a \\ud83d"}',
        b'{"kind": ["x"], "reason": "y"}',
        json.dumps({"kind": "x", "reason": "y" * 201}).encode(),
        b"[" * 50_000,
        b'{"kind": "x", "reason": ' + b"9" * 5_000 + b"}",
        EVENT + b" " * MAX_EVENT_BYTES,
    ],
    ids=lambda content: repr(content[:24]),
)
def test_what_is_no_event_is_moved_away_with_a_reason_that_quotes_nothing(
    platform: Platform, content: bytes
) -> None:
    drop(events_folder(platform), "bad.json", content)
    drop(events_folder(platform), "good.json", EVENT)

    reading = events(platform)
    (problem,) = file_events(platform, reading.causes)

    assert len(reading.causes) == 1
    assert problem.startswith("Event 'bad.json' is refused: it ")
    (reason,) = (events_folder(platform) / "refused").glob("*.reason")
    assert reason.read_text(encoding="utf-8").startswith("it ")
    assert [file.name[17:] for file in (events_folder(platform) / "done").iterdir()] == ["good.json"]
    assert events(platform).value == "0 event files, 0 of them unusable, 0 not finished"


def test_an_event_that_came_after_the_look_is_not_moved_away(platform: Platform) -> None:
    """Else it would be filed as done, and nobody would ever have seen it."""
    folder = events_folder(platform)
    drop(folder, "first.json", EVENT)
    seen = events(platform).causes
    late = drop(folder, "late.json", b'{"kind": "late", "reason": "came in between"}')

    assert file_events(platform, seen) == []

    assert late.exists()
    assert [cause.window for cause in events(platform).causes] == ["late"]


def test_after_a_kill_between_recording_and_moving_the_same_event_is_the_same_cause(
    platform: Platform,
) -> None:
    drop(events_folder(platform), "event.json", EVENT)
    (before,) = events(platform).causes

    (after,) = events(platform).causes

    assert after.key == before.key


def test_the_same_words_dropped_again_later_are_another_event(platform: Platform) -> None:
    folder = events_folder(platform)
    drop(folder, "event.json", EVENT, age=100)
    (first,) = events(platform).causes
    file_events(platform, [first])
    drop(folder, "event.json", EVENT, age=10)

    (second,) = events(platform).causes

    assert second.key != first.key
    assert file_events(platform, [second]) == []
    assert not (folder / "event.json").exists()


def test_two_files_with_the_same_words_are_both_filed(platform: Platform) -> None:
    folder = events_folder(platform)
    for name in ("a.json", "b.json"):
        drop(folder, name, EVENT)
    for _ in range(2):
        file_events(platform, events(platform).causes)

    assert {file.name for file in folder.iterdir()} == {"done"}


def test_a_name_as_long_as_can_be_stops_no_later_event(platform: Platform) -> None:
    folder = events_folder(platform)
    drop(folder, "x" * 250 + ".json", EVENT)
    drop(folder, "é" * 124 + ".toml", b"nothing")
    drop(folder, "z.json", EVENT.replace(b"new", b"z"))

    seen = events(platform).causes
    assert len(seen) == 2
    assert len(file_events(platform, seen)) == 1
    assert {file.name for file in folder.iterdir()} == {"done", "refused"}


def test_an_event_that_another_tick_has_filed_meanwhile_is_no_error(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = drop(events_folder(platform), "event.json", EVENT)
    seen = events(platform).causes
    real = Path.replace

    def late(self: Path, target: Path) -> Path:
        file.unlink()
        return real(self, target)

    monkeypatch.setattr(Path, "replace", late)

    assert file_events(platform, seen) == []


def test_a_link_is_never_read_as_an_event(platform: Platform, tmp_path: Path) -> None:
    folder = events_folder(platform)
    folder.mkdir(parents=True)
    (folder / "link.json").symlink_to(drop(tmp_path, "outside.json", EVENT))

    assert events(platform).causes == ()
    assert isinstance(read_event(folder / "link.json"), str)
    assert events(platform).value == "0 event files, 0 of them unusable, 1 not finished"
