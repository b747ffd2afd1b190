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


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_data_folder_where_a_file_stands_is_refused(below: str, tmp_path: Path) -> None:
    file = tmp_path / "extract.csv"
    file.write_text("a,b\n")

    with pytest.raises(SettingsError, match=r"ATTRITION_DATA.*extract.csv' is not a folder"):
        Settings.from_environment({"ATTRITION_DATA": str(file / below)})

    assert Settings.from_environment({"ATTRITION_DATA": str(tmp_path / "new" / "one")}).data_dir.name == "one"


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


MAIL = {
    "ATTRITION_SMTP_URL": "smtp://ana:p%40ss@mail.example.org:587",
    "ATTRITION_MAIL_FROM": "platform@example.org",
    "ATTRITION_MAIL_TO": "ana@example.org, ben@example.org,",
}


def test_mail_needs_a_sender_and_recipients() -> None:
    settings = Settings.from_environment(MAIL)

    assert settings.smtp_url == MAIL["ATTRITION_SMTP_URL"]
    assert settings.mail_from == "platform@example.org"
    assert settings.mail_to == ("ana@example.org", "ben@example.org")
    for name in ("ATTRITION_MAIL_FROM", "ATTRITION_MAIL_TO"):
        with pytest.raises(SettingsError, match=f"{name} must be set where ATTRITION_SMTP_URL is"):
            Settings.from_environment({k: v for k, v in MAIL.items() if k != name})


@pytest.mark.parametrize("recipients", ["ana", "ana@", "a@b c@d", "a@b\nBcc: c@d", "Ana <a@b>", "é@b"])
def test_an_address_that_is_none_is_refused(recipients: str) -> None:
    with pytest.raises(SettingsError, match="ATTRITION_MAIL_TO must hold mail addresses"):
        Settings.from_environment(MAIL | {"ATTRITION_MAIL_TO": recipients})


@pytest.mark.parametrize(
    "url",
    [
        "hush",
        "http://hush",
        "smtp://",
        "smtp://hush:x@host:port",
        "smtp://h:99999",
        "smtp://hush/x",
        "smtp://[hush",
    ],
)
def test_a_mail_server_that_is_none_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(SettingsError, match="ATTRITION_SMTP_URL must look like") as caught:
        Settings.from_environment(MAIL | {"ATTRITION_SMTP_URL": url})

    assert "hush" not in str(caught.value)


def test_a_web_hook_is_generic_unless_the_setting_says_slack() -> None:
    assert Settings.from_environment(
        {"ATTRITION_WEBHOOK_URL": "https://hooks.slack.com/x"}
    ).webhook_format == ("generic")
    assert Settings.from_environment({"ATTRITION_WEBHOOK_FORMAT": "slack"}).webhook_format == "slack"
    with pytest.raises(SettingsError, match="ATTRITION_WEBHOOK_FORMAT must be one of generic, slack"):
        Settings.from_environment({"ATTRITION_WEBHOOK_FORMAT": "teams"})
