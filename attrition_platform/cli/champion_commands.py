"""`attrition champion`, `history`, `decision`, `leaderboard`, `rollback` and `ledger verify`."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import click

from attrition_platform.cli.show import show_gates, show_json, show_metrics, show_table

if TYPE_CHECKING:
    from attrition_platform.stages.platform import Platform

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def _platform() -> Platform:
    from attrition_platform.settings import Settings
    from attrition_platform.stages.platform import Platform

    return Platform(Settings.from_environment())


@click.command()
@click.option("--as-of", metavar="TIME", help="The champion at an ISO 8601 time (UTC without a zone).")
@_json_option
def champion(as_of: str | None, as_json: bool) -> None:
    """Show the champion: version, metrics, gates, and what it was made from.

    Exits 1 when there is none.
    """
    from attrition_platform.stages.views import champion_view

    view = champion_view(_platform(), as_of)
    if as_json:
        show_json(view)
        return
    click.echo(
        f"Champion   {view['version']} ({view['family']}), since {view['since']} by {view['became_by']}"
    )
    click.echo(f"Identity   {view['sha256']}")
    click.echo(f"Policy     {view['policy']['name']}, threshold {view['threshold']:.4g}")
    click.echo(f"Reads      {', '.join(view['reads'])}")
    click.echo(f"Runs       Dagster {view['runs']['dagster']}, MLflow {view['runs']['mlflow']}")
    show_metrics(view["metrics"]["test"])


@click.command()
@_json_option
def history(as_json: bool) -> None:
    """List every record of the ledger, oldest first."""
    records = _platform().ledger.records()
    if as_json:
        fields = ("seq", "kind", "at", "version", "hash", "payload")
        show_json({"records": [{name: getattr(record, name) for name in fields} for record in records]})
        return
    if not records:
        click.echo("The ledger has no record yet. Run `make train` first.")
        return
    rows = [[r.seq, r.at, r.kind, r.version[:16], _what(r.kind, r.payload), r.hash[:12]] for r in records]
    show_table(["#", "at", "kind", "version or decision", "what", "hash"], rows)


@click.command()
@_json_option
def decision(as_json: bool) -> None:
    """Show the last decision with every gate."""
    from attrition_platform.stages.views import decision_view

    view = decision_view(_platform())
    if as_json:
        show_json(view)
        return
    click.echo(
        f"Challenger {view['version']}: {view['outcome']} under policy '{view['policy']}' ({view['at']})"
    )
    show_gates(view["gates"])


@click.command()
@_json_option
def leaderboard(as_json: bool) -> None:
    """Show every trial of the newest run, best first."""
    from attrition_platform.stages.views import leaderboard_view

    view = leaderboard_view(_platform())
    if as_json:
        show_json(view)
        return
    rows = [
        [
            place,
            t["family"],
            _settings(t["params"]),
            t["roc_auc"],
            t["recall"],
            t["latency_ms"],
            t["cpu_seconds"],
            "yes" if t["pruned"] else "no",
        ]
        for place, t in enumerate(view["trials"], 1)
    ]
    show_table(
        ["#", "family", "settings", "ROC AUC", "recall", "ms per row", "CPU s", "pruned"],
        rows,
        title="Trials, scored on validation",
    )


@click.command()
@click.option("--to", metavar="VERSION", help="An earlier champion; by default the one before this.")
@click.option("--reason", required=True, help="Why; it goes on record.")
@click.option("--by", default=None, help="Who says so; by default the account's name.")
def rollback(to: str | None, reason: str, by: str | None) -> None:
    """Make an earlier champion the champion again.

    The old model is loaded and checked before the pointer moves. The version that is left does not
    come back by itself.
    """
    from attrition_platform.stages.release import roll_back

    if not reason.strip():
        raise click.UsageError("--reason must say why.")
    record = roll_back(_platform(), to, reason, by or getpass.getuser())
    click.echo(
        f"Champion is {record.version} again, instead of {record.payload['from']} (record {record.seq})."
    )


@click.group()
def ledger() -> None:
    """Check the ledger of champions."""


@ledger.command(short_help="Recompute the chain of hashes.")
@_json_option
def verify(as_json: bool) -> None:
    """Recompute the chain of hashes; exits 1 when a record was changed or is missing."""
    report = _platform().ledger.verify()
    if as_json:
        show_json({"intact": report.intact, "records": report.n_records, "problem": report.problem})
    elif report.intact:
        click.echo(f"Intact: {report.n_records} records, head {report.head_hash}")
    if not report.intact:
        raise click.ClickException(
            f"The ledger is not what was written: {report.problem}. Keep the file as evidence, restore a "
            "backup, and compare its head hash with the one in the champion's check in the Dagster UI."
        )


def _what(kind: str, payload: dict[str, object]) -> str:
    if kind == "rollback":
        return f"from {payload['from']} by {payload['by']}: {payload['reason']}"
    if kind == "decision":
        return f"{payload['outcome']} under {payload['policy']}"
    if kind in ("approval", "canary-end"):
        return f"by {payload['by']}: {payload['reason']}"
    return f"run {payload['run_id']}" if kind == "test-read" else f"{payload['family']}"


def _settings(params: dict[str, object]) -> str:
    return ", ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in params.items())
