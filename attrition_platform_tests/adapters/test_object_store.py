"""Files under their hash: never half-written, damage is seen."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from attrition_platform.adapters.object_store import ObjectStore, write_atomically
from attrition_platform.errors import StoreError


def put(store: ObjectStore, content: bytes) -> str:
    with store.workspace() as folder:
        file = folder / "file"
        file.write_bytes(content)
        return store.take(file)


def test_a_file_lies_under_the_hash_of_its_content(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)

    sha256 = put(store, b"content")

    assert sha256 == hashlib.sha256(b"content").hexdigest()
    assert store.verify(sha256).read_bytes() == b"content"


def test_the_same_content_is_stored_once(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)

    assert put(store, b"twice") == put(store, b"twice")
    assert len([path for path in (tmp_path / "objects").rglob("*") if path.is_file()]) == 1


def test_a_changed_bit_is_seen(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)
    sha256 = put(store, b"content")
    store.path(sha256).chmod(0o640)
    store.path(sha256).write_bytes(b"contenT")

    with pytest.raises(StoreError, match="damaged"):
        store.verify(sha256)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "0" * 63])
def test_only_a_hash_names_an_object(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="64 hexadecimal digits"):
        ObjectStore(tmp_path).path(name)


def test_a_missing_object_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Run the job again"):
        ObjectStore(tmp_path).path("0" * 64)


def test_a_workspace_leaves_nothing_behind_when_the_work_fails(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path)

    def work() -> None:
        with store.workspace() as folder:
            (folder / "half").write_bytes(b"ha")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk"):
        work()

    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_failed_write_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "pointer.json"
    write_atomically(file, b"old")

    def full(_: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("attrition_platform.adapters.object_store.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(file, b"new")

    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]
