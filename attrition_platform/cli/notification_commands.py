"""`attrition notifications`: what was told, whether every channel takes it, and what waits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from time import sleep
from typing import TYPE_CHECKING, Any

import click

from attrition_platform.cli.show import show_json, show_table

if TYPE_CHECKING:
    from attrition_platform.adapters.notifications import Notifier

_LOOK_SECONDS = 1.0
_MOST = 1_000


def _notifier() -> Notifier:
    from attrition_platform.adapters.notifications import build_notifier
    from attrition_platform.modeling.policy import load_policy
    from attrition_platform.settings import Settings

    settings = Settings.from_environment()
    return build_notifier(settings, load_policy(settings.policy))


@click.group()
def notifications() -> None:
    """Show, test and flush notifications.

    Every notification is a line of `notifications.jsonl` under the data folder. A web hook and a mail
    server get them too where they are set.
    """


@notifications.command(name="list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, _MOST), help="Newest so many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_notifications(limit: int, as_json: bool) -> None:
    """List what was told, oldest first, what waits, and which channel fails."""
    notifier = _notifier()
    newest, status = notifier.newest(limit), notifier.status()
    if as_json:
        show_json(
            {
                "notifications": newest,
                "grouped": status.n_grouped,
                "undelivered": status.undelivered,
                "perhaps_delivered": status.perhaps_delivered,
                "failing": {
                    name: {"since": since, "problem": problem}
                    for name, (since, problem) in status.failing.items()
                },
            }
        )
        return
    if not newest:
        click.echo("Nobody has been told of anything yet.")
        return
    rows = [
        [
            "\n".join(
                [_said(line, "at"), f"{_said(line, 'severity')} {_said(line, 'kind')}", _said(line, "fate")]
            ),
            "\n".join([_said(line, "title"), _said(line, "cause")]),
        ]
        for line in newest
    ]
    # Sentences are folded to fit; a name or a time is found by searching for it, also in 80 columns.
    show_table(["told", "what and why"], rows, whole=["told"])
    if status.n_grouped:
        click.echo(f"{status.n_grouped} wait for their group or the end of quiet hours.")
    for name, count in status.undelivered.items():
        click.echo(f"{name}: {count} not delivered yet.")
    for name, count in status.perhaps_delivered.items():
        click.echo(f"{name}: {count} sent several times and never answered; they have perhaps arrived.")
    for name, (since, problem) in status.failing.items():
        click.echo(f"{name}: fails since {since}: {problem}.")


@notifications.command()
@click.option(
    "-n", "limit", default=10, show_default=True, type=click.IntRange(0, _MOST), help="Lines first."
)
@click.option("--follow", is_flag=True, help="Go on with new ones until Ctrl-C.")
def tail(limit: int, follow: bool) -> None:
    """Print the newest ones, one a line, by the time at which each happened."""
    notifier = _notifier()
    newest = notifier.newest(_MOST)
    shown = newest[len(newest) - min(limit, len(newest)) :]
    # They are written when somebody finds out, which for a release may be after the run that followed it.
    for line in sorted(shown, key=lambda line: _said(line, "at")):
        click.echo(_as_line(line))
    if not follow:
        return
    try:
        for appeared in _appearing(notifier):
            click.echo(_as_line(appeared))
    except KeyboardInterrupt:  # that is how it ends
        click.echo()


@notifications.command(name="test")
def send_test() -> None:
    """Send one notification through every channel that is set; exit 1 if one did not take it."""
    notifier = _notifier()
    found = notifier.test(_now())
    for name, problem in found.items():
        click.echo(f"{name}: {'took it' if problem is None else f'failed, {problem}'}")
    if set(found) == {"file"}:
        click.echo("Only the file is set; ATTRITION_WEBHOOK_URL and ATTRITION_SMTP_URL name other channels.")
    if any(problem is not None for problem in found.values()):
        click.echo("A test is not repeated; `attrition notifications list` shows what failed.")
        raise SystemExit(1)


@notifications.command()
def flush() -> None:
    """Send what has waited long enough, and again what a channel did not take; exit 1 if one still fails."""
    notifier = _notifier()
    problems = notifier.flush()
    for name, problem in problems.items():
        click.echo(f"{name}: failed, {problem}")
    status = notifier.status()
    left = sum(status.undelivered.values())
    click.echo(f"{left} not delivered, {status.n_grouped} wait for their group or the end of quiet hours.")
    if problems:
        raise SystemExit(1)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _appearing(notifier: Notifier) -> Iterator[Mapping[str, Any]]:
    """Lines that are written from now on."""
    offset = notifier.size()
    while True:
        sleep(_LOOK_SECONDS)
        lines, offset = notifier.lines_since(offset)
        yield from lines


def _as_line(line: Mapping[str, Any]) -> str:
    parts = [_said(line, "at"), f"[{_said(line, 'severity')}]", f"{_said(line, 'title')}."]
    return " ".join(" ".join([*parts, _said(line, "cause")]).split())


def _said(line: Mapping[str, Any], name: str) -> str:
    # A text may hold what a terminal takes for a command.
    text = str(line.get(name) or "-")
    return "".join(mark if mark.isprintable() else " " for mark in text)
