"""The inbox: what is accepted, recognised, refused and left alone, alone and with two sweepers."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from attrition_platform.adapters import drop_sweep, inbox
from attrition_platform.adapters.batches import Batch, accept_generated, list_batches
from attrition_platform.adapters.drop_folder import copy_bytes
from attrition_platform.adapters.drop_sweep import SweepReport
from attrition_platform.adapters.inbox import sweep_inbox
from attrition_platform.contracts.model import Contract
from attrition_platform.errors import RefusedFileError, StoreError

CONTRACT = Contract.model_validate(
    {
        "name": "staff",
        "columns": {
            "staff_no": {"source": "No", "kind": "id"},
            "pay": {"source": "Pay", "kind": "count"},
            "left": {"source": "Left", "kind": "label", "values": ["No", "Yes"], "positive": "Yes"},
        },
    }
)
HEADER = "No,Pay,Left\n"


def make_extract(*numbers: int) -> bytes:
    return (HEADER + "".join(f"{n},{n}00,No\n" for n in numbers)).encode()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path


def drop(data: Path, name: str, content: bytes, *, seconds_ago: float = 60) -> Path:
    path = data / "inbox" / name
    path.write_bytes(content)
    written = path.stat().st_mtime - seconds_ago
    os.utime(path, (written, written))
    return path


def sweep(data: Path) -> SweepReport[Batch]:
    return sweep_inbox(data / "inbox", data, CONTRACT)


def test_an_accepted_file_becomes_a_batch_named_by_its_bytes(data: Path) -> None:
    content = make_extract(1, 2)
    drop(data, "june.csv", content)

    (batch,) = sweep(data).accepted

    assert batch.path.read_bytes() == content
    assert (batch.name, batch.n_rows, batch.sequence, batch.origin) == ("june.csv", 2, 1, "inbox")
    assert batch.folder == data / "batches" / "staff" / batch.sha256
    assert list((data / "inbox").iterdir()) == []
    assert list_batches(data, "staff") == (batch,)
    assert list_batches(data, "another") == ()


def test_the_same_bytes_are_taken_once(data: Path) -> None:
    drop(data, "june.csv", make_extract(1))
    sweep(data)
    drop(data, "copy of june.csv", make_extract(1))

    report = sweep(data)

    assert (report.accepted, report.already_known) == ([], ["copy of june.csv"])
    assert list((data / "inbox").iterdir()) == []
    assert len(list_batches(data, "staff")) == 1


def test_the_same_bytes_twice_in_one_sweep_are_one_batch(data: Path) -> None:
    drop(data, "a.csv", make_extract(1))
    drop(data, "b.csv", make_extract(1))

    report = sweep(data)

    assert ([b.name for b in report.accepted], report.already_known) == (["a.csv"], ["b.csv"])


def test_batches_stay_in_the_order_of_acceptance(data: Path) -> None:
    for n, name in enumerate(["z.csv", "a.csv", "m.csv"]):
        drop(data, name, make_extract(n))
        sweep(data)

    assert [batch.name for batch in list_batches(data, "staff")] == ["z.csv", "a.csv", "m.csv"]
    assert [batch.sequence for batch in list_batches(data, "staff")] == [1, 2, 3]


def test_a_refused_file_is_kept_with_its_reason(data: Path) -> None:
    content = make_extract(1) + b"2,200\n"
    drop(data, "broken.csv", content)

    (refused,) = sweep(data).refused

    assert (refused.name, refused.reason, refused.line) == ("broken.csv", "ragged-row", 3)
    assert refused.kept_in is not None
    assert (refused.kept_in / "file").read_bytes() == content
    assert json.loads((refused.kept_in / "reason.json").read_text())["reason"] == "ragged-row"
    assert list((data / "inbox").iterdir()) == []
    assert list_batches(data, "staff") == ()


def test_a_refused_file_that_comes_again_is_judged_again(data: Path) -> None:
    """The contract may have been corrected since, so a refusal is never remembered."""
    for _ in range(2):
        drop(data, "broken.csv", make_extract(1).replace(b"Pay", b"Wage"))
        assert [refused.reason for refused in sweep(data).refused] == ["header"]

    assert len(list((data / "refused").iterdir())) == 1


@pytest.mark.parametrize("name", ["..june.csv", "a..b.csv", "june\n.csv", "june\x1b[2J.csv"])
def test_a_name_that_could_mislead_is_refused_and_stays(name: str, data: Path) -> None:
    path = drop(data, name, make_extract(1))

    (refused,) = sweep(data).refused

    assert refused.reason == "bad-name"
    assert refused.name.isprintable()
    assert path.exists()


@pytest.mark.parametrize("kind", ["symlink", "fifo", "symlink to a folder"])
def test_links_and_devices_are_refused_and_stay(kind: str, data: Path) -> None:
    path = data / "inbox" / "june.csv"
    (data / "real.csv").write_bytes(make_extract(1))
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(data if "folder" in kind else data / "real.csv")
    os.utime(path, (1e9, 1e9), follow_symlinks=False)

    (refused,) = sweep(data).refused

    assert refused.reason == "not-a-regular-file"
    assert refused.kept_in is None
    assert os.path.lexists(path)
    assert list_batches(data, "staff") == ()


def test_hidden_and_unfinished_files_and_folders_are_left_alone(data: Path) -> None:
    for name in [".june.csv.x7Gs", "june.csv.part", "june.csv.crdownload"]:
        drop(data, name, make_extract(1))
    (data / "inbox" / "older.csv").mkdir()

    report = sweep(data)

    assert report.left_alone == ["june.csv.crdownload", "june.csv.part", "older.csv"]
    assert (report.accepted, report.refused) == ([], [])
    assert len(list((data / "inbox").iterdir())) == 4


class GrowingFile:
    """A clock whose every tick lets the file grow."""

    def __init__(self, path: Path, *, until: float = float("inf")) -> None:
        self._path, self._until, self.now = path, until, path.stat().st_mtime

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.now < self._until:
            with self._path.open("ab") as file:
                file.write(b"2,200,No\n")
            os.utime(self._path, (self.now, self.now))


def test_a_file_that_still_grows_is_left_alone(data: Path) -> None:
    path = drop(data, "june.csv", make_extract(1))
    growing = GrowingFile(path)

    report = sweep_inbox(data / "inbox", data, CONTRACT, clock=growing.clock, sleep=growing.sleep)

    assert report.left_alone == ["june.csv"]
    assert path.exists()


def test_a_file_that_stops_growing_is_waited_for(data: Path) -> None:
    path = drop(data, "june.csv", make_extract(1))
    growing = GrowingFile(path, until=path.stat().st_mtime + 0.5)

    report = sweep_inbox(data / "inbox", data, CONTRACT, clock=growing.clock, sleep=growing.sleep)

    assert [batch.name for batch in report.accepted] == ["june.csv"]
    assert report.accepted[0].n_rows > 1


def test_a_file_that_a_program_holds_open_for_writing_is_left_alone(data: Path) -> None:
    path = drop(data, "june.csv", make_extract(1))

    with path.open("ab"):
        assert sweep(data).left_alone == ["june.csv"]

    assert len(sweep(data).accepted) == 1


def test_a_file_that_changes_while_it_is_copied_is_left_alone(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(data, "june.csv", make_extract(1))
    copy = drop_sweep.copy_bytes

    def copy_and_change(*args: object) -> None:
        copy(*args)  # type: ignore[arg-type]
        path.write_bytes(make_extract(1, 2))

    monkeypatch.setattr(drop_sweep, "copy_bytes", copy_and_change)

    assert sweep(data).left_alone == ["june.csv"]
    assert path.exists()


def test_a_file_that_replaces_another_one_while_that_is_judged_is_left_for_the_next_sweep(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(data, "june.csv", make_extract(1))
    judge = inbox.accept_staged

    def judge_and_replace(*args: Any) -> Any:
        judged = judge(*args)
        drop(data, ".new", make_extract(1, 2)).rename(path)
        return judged

    with monkeypatch.context() as patched:
        patched.setattr(inbox, "accept_staged", judge_and_replace)
        report = sweep(data)

    assert ([batch.n_rows for batch in report.accepted], report.left_alone) == ([1], ["june.csv"])
    assert [batch.n_rows for batch in sweep(data).accepted] == [2]


def test_a_file_that_is_too_large_is_refused_before_it_fills_the_disk(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(data, "huge.csv", b"")
    os.truncate(path, inbox.MAX_FILE_BYTES + 1)
    os.utime(path, (1, 1))
    monkeypatch.setattr(drop_sweep, "copy_bytes", lambda *_: pytest.fail("it was copied"))

    (refused,) = sweep(data).refused

    assert (refused.reason, refused.kept_in) == ("too-large", None)
    assert path.exists()


def test_no_more_is_copied_than_was_measured(tmp_path: Path) -> None:
    (tmp_path / "grows").write_bytes(b"12345678")
    with (tmp_path / "grows").open("rb") as source:
        copy_bytes(source, tmp_path / "copy", 5)

    assert (tmp_path / "copy").read_bytes() == b"12345"


def test_a_second_hard_link_can_not_change_a_batch(data: Path) -> None:
    path = drop(data, "june.csv", make_extract(1))
    (data / "mine.csv").hardlink_to(path)
    (batch,) = sweep(data).accepted

    (data / "mine.csv").write_bytes(b"something else")

    assert batch.path.read_bytes() == make_extract(1)


def test_a_damaged_batch_is_healed_by_the_same_file(data: Path) -> None:
    drop(data, "june.csv", make_extract(1))
    (batch,) = sweep(data).accepted
    batch.path.chmod(0o600)
    batch.path.write_bytes(make_extract(9))
    drop(data, "june.csv", make_extract(1))

    sweep(data)

    (healed,) = list_batches(data, "staff")
    assert healed.path.read_bytes() == make_extract(1)


def test_what_a_killed_sweep_left_behind_is_tidied_up(data: Path) -> None:
    left = data / "batches" / "staff" / ".incoming-dead"
    left.mkdir(parents=True)
    (left / "june.csv").write_bytes(b"half")
    drop(data, "june.csv", make_extract(1))

    assert len(sweep(data).accepted) == 1
    assert not left.exists()


def test_a_kill_before_the_inbox_is_tidied_costs_nothing(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = drop(data, "june.csv", make_extract(1))
    monkeypatch.setattr(
        Path, "unlink", lambda self, missing_ok=False: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        sweep(data)
    monkeypatch.undo()
    assert path.exists()

    assert sweep(data).already_known == ["june.csv"]
    assert len(list_batches(data, "staff")) == 1


def test_two_threads_that_sweep_at_once_take_every_file_once(data: Path) -> None:
    for n in range(12):
        drop(data, f"{n:02}.csv", make_extract(n))
    reports: list[SweepReport[Batch]] = []
    threads = [threading.Thread(target=lambda: reports.append(sweep(data))) for _ in range(3)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(len(report.accepted) for report in reports) == 12
    assert sorted(b.sequence for b in list_batches(data, "staff")) == list(range(1, 13))


SWEEP = """
import sys
from pathlib import Path
from attrition_platform.adapters.inbox import sweep_inbox
from attrition_platform.contracts.model import Contract
data, contract = Path(sys.argv[1]), Contract.model_validate_json(sys.argv[2])
report = sweep_inbox(data / "inbox", data, contract)
sys.exit(len(report.accepted))
"""


def test_two_processes_that_sweep_at_once_take_every_file_once(data: Path) -> None:
    for n in range(12):
        drop(data, f"{n:02}.csv", make_extract(n))
    command = [sys.executable, "-c", SWEEP, str(data), CONTRACT.model_dump_json()]

    processes = [subprocess.Popen(command) for _ in range(2)]

    assert sum(process.wait(timeout=60) for process in processes) == 12
    assert sorted(b.sequence for b in list_batches(data, "staff")) == list(range(1, 13))
    assert list((data / "inbox").iterdir()) == []


def test_a_generated_population_stands_in_until_an_extract_comes(data: Path, tmp_path: Path) -> None:
    generated = tmp_path / "generated.csv"
    generated.write_bytes(make_extract(1, 2, 3))

    first = accept_generated(generated, data, CONTRACT)
    again = accept_generated(generated, data, CONTRACT)

    assert first == again
    assert generated.exists()
    assert [batch.origin for batch in list_batches(data, "staff")] == ["generated"]

    drop(data, "june.csv", make_extract(4))
    sweep(data)
    assert [batch.name for batch in list_batches(data, "staff")] == ["june.csv"]


def test_a_dropped_file_with_the_bytes_of_the_generated_one_is_an_extract(data: Path, tmp_path: Path) -> None:
    generated = tmp_path / "generated.csv"
    generated.write_bytes(make_extract(1))
    accept_generated(generated, data, CONTRACT)
    drop(data, "june.csv", make_extract(1))

    sweep(data)

    assert [batch.origin for batch in list_batches(data, "staff")] == ["inbox"]
    assert accept_generated(generated, data, CONTRACT).origin == "inbox"


def test_a_generated_file_that_breaks_the_contract_is_refused(data: Path, tmp_path: Path) -> None:
    generated = tmp_path / "generated.csv"
    generated.write_bytes(b"No\n1\n")

    with pytest.raises(RefusedFileError, match="header"):
        accept_generated(generated, data, CONTRACT)


def test_a_manifest_that_can_not_be_read_is_named(data: Path) -> None:
    drop(data, "june.csv", make_extract(1))
    (batch,) = sweep(data).accepted
    (batch.folder / "manifest.json").write_text("{")

    with pytest.raises(StoreError, match=r"manifest.json' can't be read"):
        list_batches(data, "staff")


def test_an_inbox_that_does_not_exist_yet_is_made(tmp_path: Path) -> None:
    report = sweep_inbox(tmp_path / "new" / "inbox", tmp_path, CONTRACT)

    assert report == SweepReport()
    assert (tmp_path / "new" / "inbox").is_dir()
