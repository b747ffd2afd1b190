"""The documents tell the truth: every command runs, every asset and setting is named."""

from __future__ import annotations

import re
import shlex
from contextlib import ExitStack
from pathlib import Path

import pytest

from attrition_platform.settings import Settings
from attrition_platform.stages.platform import Platform
from attrition_platform_tests.conftest import CHECKOUT, Place
from attrition_platform_tests.load import serving

DOCUMENTS = ("README.md", "CONTRIBUTING.md")
# Shown to people, and covered otherwise: the suite itself, a server, and what needs minutes.
NOT_RUN_HERE = {"make serve", "make test", "make check", "make ui", "make bench", "make lock", "make setup"}
NOT_RUN_HERE |= {".venv/bin/attrition simulate --months 12 --seed 7 --out /tmp/year"}  # e2e: a shorter one


def place_of(place: Place) -> Platform:
    return Platform(Settings.from_environment(place.environment))


def shown_commands(document: str) -> list[str]:
    """Commands of all `sh` blocks, without their comments."""
    text = (CHECKOUT / document).read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def make_targets() -> set[str]:
    """Targets that `make help` lists."""
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):.*?##", makefile, flags=re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_command_is_a_target(document: str) -> None:
    shown = {command.split()[1] for command in shown_commands(document) if command.startswith("make ")}

    assert shown
    assert shown <= make_targets()


def test_the_readme_shows_both_commands_first() -> None:
    assert shown_commands("README.md")[:2] == ["make train", "make test"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_command_of_the_readme_runs(place: Place, tmp_path: Path) -> None:
    """In their order and in one place, the way a reader types them."""
    with ExitStack() as running:
        port: int | None = None
        for command in shown_commands("README.md"):
            if command in NOT_RUN_HERE:
                continue
            local = command.replace("/tmp/", f"{tmp_path}/").replace("data/inbox", f"{tmp_path}/data/inbox")
            if command.startswith("curl "):
                if port is None:  # from here on `make serve` runs
                    port = running.enter_context(serving(place_of(place))).port
                local = local.replace("curl ", "curl --fail ").replace(":8000", f":{port}")
            done = place.run("bash", "-c", f"set -o pipefail; {local}", ATTRITION_ROWS="6000")
            assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        assert port is not None


def test_the_asset_table_names_every_asset() -> None:
    from attrition_platform.definitions import defs

    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    for key in defs.resolve_asset_graph().get_all_asset_keys():
        name = key.to_user_string()
        shown = re.sub(r"^(features|candidates)/.*", r"\1/", name)
        assert f"`{shown}" in readme, name


def test_every_asset_says_what_it_is() -> None:
    from attrition_platform.definitions import defs

    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        assert len(graph.get(key).description or "") > 40, key


def test_every_setting_is_in_the_readme_and_in_the_docstring() -> None:
    import attrition_platform.settings as module

    source = Path(module.__file__).read_text(encoding="utf-8")
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    used = set(re.findall(r"ATTRITION_[A-Z]+(?:_[A-Z]+)*", source.split('"""', 2)[2]))

    assert len(used) >= 9
    for name in used:
        assert f"`{name}`" in readme, name
        assert f"`{name}`" in (module.__doc__ or ""), name


def test_every_dependency_has_its_reason() -> None:
    import tomllib

    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    architecture = (CHECKOUT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## Dependencies")[1]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    for requirement in wanted:
        name = re.split(r"[\[<>=]", requirement)[0]
        assert re.search(rf"\b{re.escape(name)}\b", architecture), name


def test_links_between_documents_lead_somewhere() -> None:
    for document in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (CHECKOUT / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert (CHECKOUT / target).exists(), f"{document}: {target}"


def test_the_lock_holds_hashes_and_no_address() -> None:
    lock = (CHECKOUT / "requirements.lock").read_text(encoding="utf-8")
    pinned = [line for line in lock.splitlines() if re.match(r"[a-z0-9]", line)]

    assert len(pinned) > 100
    assert all(re.match(r"[A-Za-z0-9._\-]+(\[[a-z,]+\])?==", line) for line in pinned)
    assert "://" not in lock
    assert lock.count("--hash=sha256:") > len(pinned)


def test_documents_are_split_into_commands_that_a_shell_reads() -> None:
    for document in DOCUMENTS:
        for command in shown_commands(document):
            assert shlex.split(command)
