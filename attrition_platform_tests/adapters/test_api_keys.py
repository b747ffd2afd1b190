"""Keys at rest: never the key, nothing by hand, and revoked means revoked within a second."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path

import pytest

from attrition_platform.adapters import api_keys
from attrition_platform.adapters.api_keys import KEY_LENGTH, ApiKeys
from attrition_platform.errors import ApiKeyError

SECRET = b"s" * 32
AT = "2026-11-21T10:00:00.000+00:00"
LATER = "2026-11-22T10:00:00.000+00:00"


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "api_keys.json"


def test_a_key_is_found_with_its_name_and_roles(file: Path) -> None:
    keys = ApiKeys(file, SECRET)

    key = keys.add("hr-system", ["explain", "predict"], AT)
    found = ApiKeys(file, SECRET).find(key)

    assert found is not None
    assert (found.name, found.roles, found.created) == ("hr-system", {"predict", "explain"}, AT)
    assert keys.find(key) == found == keys.find(key)


def test_a_key_has_the_promised_form_and_never_repeats(file: Path) -> None:
    keys = ApiKeys(file, SECRET)

    made = {keys.add(f"k{i}", ["predict"], AT) for i in range(5)}

    assert len(made) == 5
    for key in made:
        assert key.startswith("attr_")
        assert len(key) == KEY_LENGTH == 48
        assert key.removeprefix("attr_").replace("-", "a").replace("_", "a").isalnum()


def test_the_file_is_private_and_holds_neither_the_key_nor_a_hash_made_without_the_secret(file: Path) -> None:
    key = ApiKeys(file, SECRET).add("hr", ["predict"], AT)

    text = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    for part in (key, key.removeprefix("attr_"), hashlib.sha256(key.encode()).hexdigest()):
        assert part not in text
    (entry,) = json.loads(text)["keys"]
    assert entry["hmac"] != hashlib.sha256(SECRET + key.encode()).hexdigest()


@pytest.mark.parametrize("change", [lambda k: k[:-1], lambda k: k + "a", lambda k: k.swapcase(), str.upper])
def test_what_is_nearly_a_key_is_no_key(file: Path, change: object) -> None:
    keys = ApiKeys(file, SECRET)
    key = keys.add("hr", ["predict"], AT)

    assert keys.find(change(key)) is None  # type: ignore[operator]


@pytest.mark.parametrize("sent", ["", "attr_", "attr_" + "é" * 43, "\x00" * 48, "x" * 100_000])
def test_nonsense_is_no_key_and_no_error(file: Path, sent: str) -> None:
    keys = ApiKeys(file, SECRET)
    keys.add("hr", ["predict"], AT)

    assert keys.find(sent) is None


def test_every_known_hash_is_compared_in_constant_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No early exit: how long it takes must not say where in the list a key stands."""
    keys = ApiKeys(file, SECRET)
    first, *_ = [keys.add(f"k{i}", ["predict"], AT) for i in range(4)]
    keys.find("warm up: reads the file")
    compared = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append(left)
        return left == right

    monkeypatch.setattr(api_keys.hmac, "compare_digest", compare)

    assert keys.find(first) is not None
    assert len(compared) == 4
    assert keys.find(first[:-4] + "____") is None
    assert len(compared) == 8


def test_a_revoked_key_stops_in_a_running_service_within_a_second(file: Path) -> None:
    clock = Clock()
    command_line, service = ApiKeys(file, SECRET), ApiKeys(file, SECRET, clock)
    key, other = command_line.add("hr", ["predict"], AT), command_line.add("bi", ["predict"], AT)
    assert service.find(key) is not None

    command_line.revoke("hr", LATER)
    clock.now += 0.6

    assert service.find(key) is None
    assert service.find(other) is not None
    assert [(k.name, k.revoked) for k in service.list()] == [("hr", LATER), ("bi", None)]


def test_a_new_key_works_in_a_running_service_within_a_second(file: Path) -> None:
    clock = Clock()
    service = ApiKeys(file, SECRET, clock)
    assert not service.any()

    key = ApiKeys(file, SECRET).add("hr", ["predict"], AT)
    clock.now += 0.6

    assert service.any()
    assert service.find(key) is not None


def test_the_file_is_looked_at_at_most_twice_a_second(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    keys = ApiKeys(file, SECRET, clock)
    key = keys.add("hr", ["predict"], AT)
    keys.find(key)
    looks = []
    stat = os.stat
    monkeypatch.setattr(api_keys.os, "stat", lambda path: (looks.append(path), stat(path))[1])

    for _ in range(100):
        assert keys.find(key) is not None
        clock.now += 0.01

    assert 1 <= len(looks) <= 2


def test_revoking_the_last_key_does_not_open_the_service(file: Path) -> None:
    keys = ApiKeys(file, SECRET)
    keys.add("hr", ["predict"], AT)
    keys.revoke("hr", LATER)

    assert keys.any()


def test_a_name_is_used_once_even_after_it_was_revoked(file: Path) -> None:
    keys = ApiKeys(file, SECRET)
    keys.add("hr", ["predict"], AT)
    with pytest.raises(ApiKeyError, match="already a key named 'hr'"):
        keys.add("hr", ["operate"], AT)

    keys.revoke("hr", LATER)

    with pytest.raises(ApiKeyError, match="a revoked one keeps its name"):
        keys.add("hr", ["operate"], LATER)


@pytest.mark.parametrize("name", ["", "local", "two words", "-x", "new\nline", "x" * 65, "é", "a/b"])
def test_a_name_that_could_be_misread_in_a_log_is_refused(file: Path, name: str) -> None:
    with pytest.raises(ApiKeyError, match="1 to 64 letters"):
        ApiKeys(file, SECRET).add(name, ["predict"], AT)
    assert not file.exists()


@pytest.mark.parametrize(("roles", "what"), [(["admin"], "unknown role 'admin'"), ([], "no role")])
def test_a_key_needs_a_known_role(file: Path, roles: list[str], what: str) -> None:
    with pytest.raises(ApiKeyError, match=f"{what}.*predict, explain, operate"):
        ApiKeys(file, SECRET).add("hr", roles, AT)  # type: ignore[arg-type]


def test_only_a_working_key_can_be_revoked(file: Path) -> None:
    keys = ApiKeys(file, SECRET)
    keys.add("hr", ["predict"], AT)
    with pytest.raises(ApiKeyError, match="There is no key of that name"):
        keys.revoke("rh", AT)
    keys.revoke("hr", AT)
    with pytest.raises(ApiKeyError, match="only a revoked key of that name"):
        keys.revoke("hr", LATER)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda text: text[: len(text) // 2], id="half"),
        pytest.param(lambda text: "", id="empty"),
        pytest.param(lambda text: "[]", id="another form"),
        pytest.param(lambda text: "[" * 100_000, id="deep"),
        pytest.param(lambda text: '{"keys": [], "hmac": ""}', id="emptied"),
        pytest.param(lambda text: text.replace('"predict"', '"operate"'), id="role by hand"),
        pytest.param(lambda text: text.replace(f'"revoked": "{LATER}"', '"revoked": null'), id="unrevoked"),
        pytest.param(lambda text: text + "\x80", id="no UTF-8"),
    ],
)
def test_a_damaged_file_lets_nobody_in_and_is_not_written_over(file: Path, damage: object) -> None:
    clock = Clock()
    keys = ApiKeys(file, SECRET, clock)
    key, stopped = keys.add("hr", ["predict"], AT), keys.add("bi", ["predict"], AT)
    keys.revoke("bi", LATER)
    assert keys.find(key) is not None

    damaged = damage(file.read_text()).encode("latin-1")  # type: ignore[operator]
    file.write_bytes(damaged)
    clock.now += 0.6

    for reader in (keys, ApiKeys(file, SECRET)):
        assert reader.find(key) is None
        assert reader.find(stopped) is None
        assert reader.any()
        assert "Nobody is let in" in str(reader.problem)
        for change in (reader.list, lambda r=reader: r.add("x", ["predict"], AT)):
            with pytest.raises(ApiKeyError, match="is not what was written"):
                change()
    assert file.read_bytes() == damaged


def test_a_repaired_file_lets_its_keys_in_again(file: Path) -> None:
    clock = Clock()
    keys = ApiKeys(file, SECRET, clock)
    key = keys.add("hr", ["predict"], AT)
    good = file.read_bytes()
    file.write_bytes(b"{}")
    clock.now += 0.6
    assert keys.find(key) is None

    file.write_bytes(good)
    clock.now += 0.6

    assert keys.find(key) is not None
    assert keys.problem is None


def test_another_secret_opens_nothing(file: Path) -> None:
    key = ApiKeys(file, SECRET).add("hr", ["predict"], AT)

    other = ApiKeys(file, b"o" * 32)

    assert other.find(key) is None
    assert other.any()


def test_a_file_that_vanishes_does_not_open_a_running_service(file: Path) -> None:
    clock = Clock()
    service = ApiKeys(file, SECRET, clock)
    key = service.add("hr", ["predict"], AT)
    assert service.find(key) is not None

    file.unlink()

    for _ in range(3):
        clock.now += 0.6
        assert service.any()
        assert service.find(key) is None
    assert "is gone" in str(service.problem)
    assert not ApiKeys(file, SECRET).any()  # a new start is a decision


def test_a_place_that_cannot_be_read_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "api_keys.json").mkdir()
    in_the_way = tmp_path / "file"
    in_the_way.touch()

    for place in (tmp_path / "api_keys.json", in_the_way / "api_keys.json"):
        assert ApiKeys(place, SECRET).any()
        assert "can't be read" in str(ApiKeys(place, SECRET).problem)


def test_two_writers_at_once_lose_no_key(file: Path) -> None:
    def add_some(prefix: str) -> None:
        keys = ApiKeys(file, SECRET)
        for i in range(10):
            keys.add(f"{prefix}{i}", ["predict"], AT)

    writers = [threading.Thread(target=add_some, args=(prefix,)) for prefix in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert len({key.name for key in ApiKeys(file, SECRET).list()}) == 30


def test_a_writer_that_never_ends_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "_LOCK_SECONDS", 0.05)
    file.parent.mkdir()

    with (
        api_keys.FileLock(file.with_suffix(".lock")),
        pytest.raises(ApiKeyError, match=r"Another command has been changing .* Try again later"),
    ):
        ApiKeys(file, SECRET).add("hr", ["predict"], AT)


def test_a_folder_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "keys.lock").mkdir()
    keys = ApiKeys(tmp_path / "keys.json", b"s" * 32)

    with pytest.raises(ApiKeyError, match=r"can't be written .* no key was changed"):
        keys.add("ann", ["predict"], "2026-01-01T00:00:00.000+00:00")
