"""`attrition keys`: the key is shown once, and the list never shows it."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner, Result

from attrition_platform.adapters.api_keys import ApiKeys, Role
from attrition_platform.cli.key_commands import _ROLES, API_KEYS_FILE, keys
from attrition_platform.errors import ApiKeyError
from attrition_platform.settings import Settings


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATTRITION_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ATTRITION_KEY_FILE", str(tmp_path / "secret"))
    return tmp_path


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(keys, arguments)
    if isinstance(result.exception, ApiKeyError):
        raise result.exception
    return result


def stored() -> ApiKeys:
    settings = Settings.from_environment()
    return ApiKeys(settings.data_dir / API_KEYS_FILE, settings.secret_key())


def test_standard_output_is_the_key_alone_and_the_rest_says_how_to_send_it() -> None:
    result = run("add", "hr-system", "--role", "predict", "--role", "explain")

    assert result.exit_code == 0
    assert re.fullmatch(r"attr_[A-Za-z0-9_-]{43}\n", result.stdout)
    assert "Authorization: Bearer KEY" in result.stderr
    assert result.stdout.strip() not in result.stderr
    found = stored().find(result.stdout.strip())
    assert found is not None
    assert (found.name, found.roles) == ("hr-system", {"predict", "explain"})
    assert datetime.fromisoformat(found.created).tzinfo is not None


def test_the_first_key_warns_that_others_are_locked_out_now() -> None:
    assert "every caller" in run("add", "a", "--role", "predict").stderr
    assert "every caller" not in run("add", "b", "--role", "predict").stderr


def test_the_list_shows_names_roles_and_times_and_never_a_key() -> None:
    key = run("add", "hr", "--role", "predict").stdout.strip()
    run("add", "old", "--role", "operate")
    run("revoke", "old")

    as_json, as_table = run("list", "--json").stdout, run("list").stdout

    first, second = json.loads(as_json)["keys"]
    assert (first["name"], first["roles"], first["revoked"]) == ("hr", ["predict"], None)
    assert second["name"] == "old"
    assert second["revoked"] >= second["created"]
    assert "hr" in as_table
    for shown in (as_json, as_table):
        assert key not in shown
        assert "hmac" not in shown


def test_an_empty_list_says_what_that_means() -> None:
    assert "without one" in run("list").stdout
    assert json.loads(run("list", "--json").stdout) == {"keys": []}


def test_a_revoked_key_opens_nothing_any_more() -> None:
    key = run("add", "hr", "--role", "predict").stdout.strip()

    assert "revoked" in run("revoke", "hr").stdout
    assert stored().find(key) is None


def test_known_mistakes_are_named() -> None:
    run("add", "hr", "--role", "predict")
    with pytest.raises(ApiKeyError, match="already a key named 'hr'"):
        run("add", "hr", "--role", "predict")
    with pytest.raises(ApiKeyError, match="no key of that name"):
        run("revoke", "someone")


@pytest.mark.parametrize("arguments", [["hr"], ["hr", "--role", "admin"]])
def test_a_key_without_a_known_role_is_a_usage_error(arguments: list[str]) -> None:
    result = run("add", *arguments)

    assert result.exit_code == 2
    assert "--role" in result.stderr
    assert not stored().any()


def test_the_roles_of_the_command_are_those_of_the_keys() -> None:
    assert get_args(Role) == _ROLES


def test_revoking_the_last_key_says_that_nobody_can_ask_now() -> None:
    run("add", "a", "--role", "predict")
    run("add", "b", "--role", "predict")

    assert "No key is left" not in run("revoke", "a").stderr
    assert "No key is left" in run("revoke", "b").stderr
