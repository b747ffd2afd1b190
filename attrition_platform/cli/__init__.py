"""The `attrition` command: one module per group of subcommands, loaded when it is called."""

from __future__ import annotations

import difflib
import importlib
import signal
import sys
from typing import Any

import click

from attrition_platform.errors import AttritionError

INTERRUPTED = 130

_HERE = "attrition_platform.cli"
_COMMANDS: dict[str, tuple[str, str]] = {
    "approve": (f"{_HERE}.release_commands:approve", "Approve a challenger that waits."),
    "canary": (f"{_HERE}.release_commands:canary", "Show, ramp or abort the canary."),
    "champion": (f"{_HERE}.champion_commands:champion", "Show the champion."),
    "contract": (f"{_HERE}.contract_commands:contract", "Draft and check contracts of HR extracts."),
    "dashboard": (f"{_HERE}.dashboard_commands:dashboard", "Show the platform as local pages."),
    "data": (f"{_HERE}.data_commands:data", "Generate a reference population."),
    "decision": (f"{_HERE}.champion_commands:decision", "Show the last decision with every gate."),
    "drift": (f"{_HERE}.report_commands:drift", "Show whether the newest data has drifted."),
    "explain": (f"{_HERE}.explain_commands:explain", "Write the letter about a logged prediction."),
    "history": (f"{_HERE}.champion_commands:history", "List every record of the ledger."),
    "keys": (f"{_HERE}.key_commands:keys", "Make, list and revoke API keys of the service."),
    "leaderboard": (f"{_HERE}.champion_commands:leaderboard", "Show every trial, best first."),
    "ledger": (f"{_HERE}.champion_commands:ledger", "Check the ledger of champions."),
    "monitor": (f"{_HERE}.run_commands:monitor", "Score, then judge drift, performance and SLOs."),
    "performance": (f"{_HERE}.report_commands:performance", "Show what predictions turned out to be worth."),
    "notifications": (f"{_HERE}.notification_commands:notifications", "Show, test and flush notifications."),
    "predict": (f"{_HERE}.predict_commands:predict", "Ask the champion about employees."),
    "rollback": (f"{_HERE}.champion_commands:rollback", "Make an earlier champion the champion again."),
    "score": (f"{_HERE}.run_commands:score", "Score every current employee with the champion."),
    "scored": (f"{_HERE}.scored_commands:scored", "Show and export the scored employees."),
    "serve": (f"{_HERE}.serve_commands:serve", "Serve the champion over HTTP."),
    "simulate": (f"{_HERE}.simulate_commands:simulate", "Live through a made-up year in a scratch place."),
    "slo": (f"{_HERE}.report_commands:slo", "Show the platform's promises and the alerts that stand."),
    "train": (f"{_HERE}.run_commands:train", "Run the main job, from raw data to a champion."),
    "triggers": (f"{_HERE}.trigger_commands:triggers", "Show and test what starts a run by itself."),
    "ui": (f"{_HERE}.run_commands:ui", "Open the Dagster UI with its daemon and the dashboard."),
}


class _LazyGroup(click.Group):
    """Imports a subcommand's module only when that subcommand runs, so that `--help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean '{near[0]}'?", ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, help_text) in sorted(_COMMANDS.items())])


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="attrition-platform")
def attrition() -> None:
    """Train, prove, release, serve, watch and replace an employee-attrition model.

    State lies under `data/` or $ATTRITION_DATA. Exit codes: 0 done, 1 the answer is no or the work
    failed, 2 the command, a setting or a file is wrong, 130 interrupted.
    """


def main() -> None:
    """Run the command line; a known error prints its message and sets the exit code.

    Being asked to end, and a terminal that is closed, are like Ctrl-C: what is temporary is cleared away.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    try:
        attrition(standalone_mode=True)
    except AttritionError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
