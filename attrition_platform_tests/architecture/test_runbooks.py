"""Each alert has a runbook, and what a runbook tells people to type can be typed."""

from __future__ import annotations

import re
import shlex
from contextlib import ExitStack
from pathlib import Path

import click
import pytest
import yaml

from attrition_platform.cli import attrition
from attrition_platform.monitoring.burn_rate import ALERTS
from attrition_platform_tests.architecture.test_documents import place_of
from attrition_platform_tests.conftest import CHECKOUT, Place
from attrition_platform_tests.load import serving

RUNBOOKS = tuple(sorted((CHECKOUT / "docs/runbooks").glob("*.md")))
SECTIONS = ["What it means", "Who is hit", "Look first", "Mend", "When to roll back"]
SERVICE = "http://127.0.0.1:8000"


def alerts() -> dict[str, set[str]]:
    """Severities of each alert by name."""
    text = (CHECKOUT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8")
    found: dict[str, set[str]] = {}
    for group in yaml.safe_load(text)["groups"]:
        for rule in group["rules"]:
            found.setdefault(rule["alert"], set()).add(rule["labels"]["severity"])
    return found


def commands(text: str, kind: str = r"console(?: run)?") -> list[str]:
    """What stands behind a prompt in `console` blocks; ``run`` marks those that change nothing."""
    blocks = re.findall(rf"^```{kind}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


def attrition_calls(text: str) -> list[list[str]]:
    """Words behind `.venv/bin/attrition`, in blocks and in sentences."""
    spoken = [*commands(text), *re.findall(r"`(\.venv/bin/attrition [^`]+)`", text)]
    calls = [shlex.split(part) for line in spoken for part in re.split(r"\|\||&&|\|", line)]
    return [words[1:] for words in calls if words and words[0] == ".venv/bin/attrition"]


def unknown_words(words: list[str]) -> list[str]:
    """Subcommands and options of a call that do not exist; required options that are missing."""
    command: click.Command = attrition
    context = click.Context(command)
    rest = list(words)
    while isinstance(command, click.Group):
        if not rest:
            return [] if command.invoke_without_command else ["a subcommand is missing"]
        found = command.get_command(context, rest[0])
        if found is None:
            return [rest[0]]
        command, rest = found, rest[1:]
    given = [word for word in rest if word.startswith("--")]
    options = {name: p for p in command.params if isinstance(p, click.Option) for name in p.opts}
    missing = [p.opts[0] for p in command.params if p.required and not set(p.opts) & {*given, p.name}]
    needed = [name for name in missing if name.startswith("--")]
    return [word for word in given if word not in options] + needed


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {file.stem for file in RUNBOOKS} == alerts().keys()
    assert set(ALERTS) <= alerts().keys()


@pytest.mark.parametrize("file", RUNBOOKS, ids=lambda file: file.stem)
def test_a_runbook_answers_the_same_five_questions(file: Path) -> None:
    text = file.read_text(encoding="utf-8")

    assert text.startswith(f"# {file.stem}\n\nSeverity: ")
    assert {re.findall(r"^Severity: (\w+)$", text, flags=re.MULTILINE)[0]} == alerts()[file.stem]
    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == SECTIONS
    assert all(len(part.strip()) >= 3 for part in text.split("## ")[1:])
    first = text.split("## Look first")[1].split("## Mend")[0]
    assert commands(first, "console run"), "there is nothing to look at"
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (file.parent / target).exists(), target


@pytest.mark.parametrize("file", RUNBOOKS, ids=lambda file: file.stem)
def test_every_command_exists_with_its_options(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(.*)$", text, flags=re.MULTILINE)

    assert set(blocks) <= {"", "console", "console run"}
    for block in re.findall(r"^```console.*?\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
        assert all(line.startswith("$ ") for line in block.splitlines())
    for call in attrition_calls(text):
        assert unknown_words(call) == [], call


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert unknown_words(["rolback"]) == ["rolback"]
    assert unknown_words(["canary", "stop"]) == ["stop"]
    assert unknown_words(["canary"]) == ["a subcommand is missing"]
    assert unknown_words(["rollback"]) == ["--reason"]
    assert unknown_words(["rollback", "--why", "x", "--reason", "y"]) == ["--why"]


def test_what_is_run_by_itself_changes_nothing() -> None:
    """Somebody who was woken up pastes the whole block."""
    reads = {"champion", "decision", "history", "leaderboard", "ledger", "canary", "keys", "scored"}
    reads |= {"drift", "performance", "slo", "triggers", "notifications"}
    second = {"verify", "status", "list", "show"}
    for file in RUNBOOKS:
        for command in commands(file.read_text(encoding="utf-8"), "console run"):
            for call in attrition_calls(f"```console\n$ {command}\n```"):
                assert call[0] in reads, command
                assert len(call) == 1 or call[1] in second, command


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_first_look_of_every_runbook_works(finished: Place) -> None:
    """Each command once, in a place where all is well; the service is looked at while it runs."""
    wanted = {c: f.name for f in RUNBOOKS for c in commands(f.read_text(encoding="utf-8"), "console run")}
    assert finished.run("attrition", "monitor").returncode == 0
    with ExitStack() as running:
        served = running.enter_context(serving(place_of(finished)))
        for command, runbook in wanted.items():
            local = command.replace(SERVICE, served.address).replace("curl ", "curl --fail ")
            done = finished.run("bash", "-c", f"set -o pipefail; {local}")
            assert done.returncode == 0, f"{runbook}: {command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            assert done.stdout.strip(), f"{runbook}: {command} says nothing"
    assert len(wanted) >= 10
