"""`attrition canary status|ramp|abort` and `attrition approve`."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

import click

from attrition_platform.cli.show import show_json, show_table
from attrition_platform.errors import PredictionLogError

if TYPE_CHECKING:
    from attrition_platform.adapters.prediction_log import SqlPredictionLog
    from attrition_platform.ports import LedgerRecord
    from attrition_platform.stages.canary_watch import HandAction
    from attrition_platform.stages.platform import Platform

_reason_option = click.option("--reason", required=True, metavar="TEXT", help="Why; it goes on record.")
_by_option = click.option(
    "--by", metavar="NAME", default=None, help="Who says so; by default the account's name."
)


def _platform() -> Platform:
    from attrition_platform.settings import Settings
    from attrition_platform.stages.platform import Platform

    return Platform(Settings.from_environment())


@click.group()
def canary() -> None:
    """Follow the canary, and ramp or abort it by hand.

    Under a policy with release.mode "canary" a challenger that passed every gate first answers for a
    share of the employees; with "shadow" it only scores along. The verdict ramps it or rolls it back by
    itself while the Dagster daemon runs (`attrition ui`).
    """


@canary.command(short_help="Show what serves, how it does, and what waits.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status(as_json: bool) -> None:
    """Show what serves, how the canary does, and what waits for approval.

    Exits 0 whether or not a canary runs.
    """
    from attrition_platform.stages.canary_watch import canary_status

    platform = _platform()
    found = canary_status(platform, platform.predictions)
    if as_json:
        show_json(found)
        return
    click.echo(f"Stable     {found['stable'] or 'none: there is no champion yet'}")
    if found["running"]:
        _show_canary(found)
    else:
        click.echo("Canary     none is running")
    if found["waiting"] is not None:
        waiting = found["waiting"]
        names = ", ".join(waiting["approved_by"]) or "nobody"
        click.echo(
            f"Waiting    {waiting['version']} since {waiting['since']}: approved by {names}, "
            f"{waiting['missing']} more needed"
        )
    if found["last"] is not None:
        last = found["last"]
        became = "became champion" if last["became"] == "champion" else "was ended"
        click.echo(f"Last       {last['version']} {became} at {last['at']} by {last['by']}: {last['reason']}")


def _show_canary(found: dict[str, Any]) -> None:
    verdict = found["verdict"]
    traffic = f"{found['share']:.0%} of the employees" if found["mode"] == "canary" else "no answers"
    click.echo(f"Canary     {found['version']} ({found['mode']}, {traffic}) since {found['since']}")
    click.echo(f"Verdict    {verdict['action']}. {' '.join(verdict['reasons'])}")
    if not found["read_all"]:
        click.echo("Note       there are more predictions than are read; these are the newest")
    n_canary, n_stable = verdict["n_canary"], verdict["n_stable"]
    rows = [
        ["requests", n_canary, n_stable],
        ["error rate", verdict["canary_error_rate"], verdict["stable_error_rate"]],
        ["p95 in ms", verdict["canary_p95_ms"], verdict["stable_p95_ms"]],
        ["flagged otherwise than by stable", verdict["disagreement_rate"], None],
    ]
    show_table(["", "canary", "stable"], rows)
    evidence = [
        [name, verdict[f"e_{name}"], verdict[f"e_{name}_limit"], verdict[f"e_{name}_ramp"]]
        for name in ("errors", "latency", "disagreement")
    ]
    columns = ["e-value", "against it", "rolled back from", "for it"]
    show_table(
        columns, evidence, title=f"It ramps early when all stand at {verdict['e_ramp_limit']:g} for it"
    )


@canary.command(name="ramp")
@_reason_option
@_by_option
def ramp_canary(reason: str, by: str | None) -> None:
    """Give the canary all traffic: it becomes the champion.

    The service follows within two seconds. `attrition rollback` is the way back.
    """
    record = _decide("ramp", reason, by)
    click.echo(f"Champion is {record.version} (record {record.seq}).")


@canary.command()
@_reason_option
@_by_option
def abort(reason: str, by: str | None) -> None:
    """Give all traffic back to stable.

    The service follows within two seconds. The version does not come back by itself.
    """
    record = _decide("abort", reason, by)
    stable = record.payload["stable"]
    click.echo(f"Canary {record.version} has ended (record {record.seq}); {stable} answers everyone.")


def _decide(action: HandAction, reason: str, by: str | None) -> LedgerRecord:
    from attrition_platform.stages.canary_watch import decide_by_hand

    why, who = _said(reason, "--reason must say why."), _said(by or getpass.getuser(), "--by needs a name.")
    platform = _platform()
    log: SqlPredictionLog | None = None
    try:
        log = platform.predictions
    except PredictionLogError as error:  # it must not keep anyone from aborting
        click.echo(f"Note: {error}", err=True)
    now = platform.at()
    return decide_by_hand(platform, log, action, by=who, reason=why, at=now)


@click.command()
@click.argument("version")
@click.option("--by", metavar="NAME", required=True, help="Who approves; another person each time.")
@_reason_option
def approve(version: str, by: str, reason: str) -> None:
    """Approve the challenger VERSION (or its first digits) that waits; it is released with the last approval.

    Under a policy with release.approvals nothing reaches traffic before that many people have approved.
    `attrition canary status` shows what waits and who has approved.
    """
    from attrition_platform.stages.release import approve as put_on_record
    from attrition_platform.stages.release import missing_approvals, release_state

    who, why = _said(by, "--by needs a name."), _said(reason, "--reason must say why.")
    platform = _platform()
    approval, released = put_on_record(platform, version, who, why)
    click.echo(f"{approval.payload['by']} has approved {approval.version} (record {approval.seq}).")
    if released is None:
        missing = missing_approvals(platform, release_state(platform.ledger.records()))
        click.echo(f"It is not released yet: {missing} more {'person' if missing == 1 else 'people'} must.")
    elif released.kind == "promotion":
        click.echo(f"Champion is {released.version} (record {released.seq}).")
    else:
        click.echo(
            f"Canary is {released.version} (record {released.seq}); `attrition canary status` follows it."
        )


def _said(text: str, otherwise: str) -> str:
    if not text.strip():
        raise click.UsageError(otherwise)
    return text.strip()
