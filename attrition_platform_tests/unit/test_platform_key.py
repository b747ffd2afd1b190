"""One data folder, one key: with another one nobody in it would be found again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from attrition_platform.errors import SettingsError
from attrition_platform.settings import Settings
from attrition_platform.stages.platform import KEY_FINGERPRINT, Platform


def platform(tmp_path: Path, key: str = "key") -> Platform:
    environment = {"ATTRITION_DATA": str(tmp_path / "data"), "ATTRITION_KEY_FILE": str(tmp_path / key)}
    return Platform(Settings.from_environment(environment))


def test_the_first_key_is_noted_without_being_told_and_is_the_only_one_from_then_on(tmp_path: Path) -> None:
    key = platform(tmp_path).key

    noted = (tmp_path / "data" / KEY_FINGERPRINT).read_text()
    assert key.hex() not in noted
    assert platform(tmp_path).key == key
    with pytest.raises(
        SettingsError, match="Set ATTRITION_KEY_FILE to the key file of whoever made this place"
    ):
        _ = platform(tmp_path, "another").key
    assert (tmp_path / "data" / KEY_FINGERPRINT).read_text() == noted


def test_a_copy_of_the_key_in_another_place_is_the_same_key(tmp_path: Path) -> None:
    key = platform(tmp_path).key
    (tmp_path / "copy").write_bytes((tmp_path / "key").read_bytes())
    (tmp_path / "copy").chmod(0o600)

    assert platform(tmp_path, "copy").key == key


def test_a_note_that_is_no_fingerprint_is_told_and_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / KEY_FINGERPRINT).write_bytes(b"\xff")

    with pytest.raises(SettingsError, match=KEY_FINGERPRINT):
        _ = platform(tmp_path).key


def test_who_may_not_write_the_folder_may_use_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    (tmp_path / "data").mkdir()
    key = platform(tmp_path)
    _ = key.settings.secret_key()
    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr("tempfile.mkstemp", refuse)
    monkeypatch.setattr(Settings, "secret_key", lambda _: b"k" * 32)

    assert key.key == b"k" * 32
    assert not (tmp_path / "data" / KEY_FINGERPRINT).exists()
