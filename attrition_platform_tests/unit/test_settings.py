"""The environment is read in one place and refused with the variable's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from attrition_platform.errors import SettingsError
from attrition_platform.settings import Settings


def test_without_any_variable_the_embedded_default_applies(tmp_path: Path) -> None:
    settings = Settings.from_environment({"HOME": str(tmp_path)})

    assert settings.data_dir == Path.cwd() / "data"
    assert settings.policy == "responsible"
    assert settings.contract_file is None
    assert settings.generated_rows == 20_000


@pytest.mark.parametrize("rows", ["0", "-5", "many", "99", "1e3", "²"])
def test_a_population_size_that_is_no_usable_number_is_refused(rows: str) -> None:
    with pytest.raises(SettingsError, match="ATTRITION_ROWS must be a whole number"):
        Settings.from_environment({"ATTRITION_ROWS": rows})


def test_the_key_is_made_once_private_and_outside_the_data_folder(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path / "home"), "ATTRITION_DATA": str(tmp_path / "data")}
    settings = Settings.from_environment(env)

    key = settings.secret_key()

    assert settings.secret_key() == key
    assert len(key) == 32
    assert settings.key_file.stat().st_mode & 0o077 == 0
    assert tmp_path / "data" not in settings.key_file.parents


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("00" * 32)
    file.chmod(0o644)

    with pytest.raises(SettingsError, match="can be read by others"):
        Settings.from_environment({"ATTRITION_KEY_FILE": str(file)}).secret_key()


@pytest.mark.parametrize("content", ["", "00ff", "not hexadecimal"])
def test_a_key_that_is_too_short_or_no_key_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    file.chmod(0o600)

    with pytest.raises(SettingsError, match="at least 32 bytes"):
        Settings.from_environment({"ATTRITION_KEY_FILE": str(file)}).secret_key()
