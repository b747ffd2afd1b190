"""`attrition triggers` and `triggers test`: what may start a run by itself, and whether it would."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from attrition_platform.cli.show import show_json, show_table
from attrition_platform.errors import AttritionError

if TYPE_CHECKING:
    from attrition_platform.monitoring.triggering import CauseRecord
    from attrition_platform.stages.detecting import Detector
    from attrition_platform.stages.platform import Platform


def _platform() -> Platform:
    from attrition_platform.settings import Settings
    from attrition_platform.stages.platform import Platform

    return Platform(Settings.from_environment())


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def triggers(context: click.Context, as_json: bool) -> None:
    """Show every trigger: its limit, what it saw last, when it fired last, and when it looks again.

    The sensors run while the Dagster daemon runs (`make ui`). This command looks once by itself and
    starts nothing.
    """
    if context.invoked_subcommand is not None:
        return
    platform = _platform()
    rows = _rows(platform)
    if as_json:
        waiting = [_cause(record) for record in platform.causes.records() if record.state != "done"]
        show_json({"triggers": rows, "causes": waiting})
        return
    shown = ("trigger", "last_fired", "n_open", "looks_again")
    columns = ["trigger", "last fired", "open causes", "looks again"]
    show_table(columns, [[row[name] for name in shown] for row in rows])
    for row in rows:
        click.echo(f"{row['trigger']}: fires when {row['fires_when']}.\n    Seen now: {row['seen_now']}.")
    for record in platform.causes.records("ticketed"):
        click.echo(f"Ticket: {record.cause.key}, {record.n_attempts} runs failed. Somebody must look.")


@triggers.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def test(as_json: bool) -> None:
    """Feed each trigger made-up signals that must fire it and ones that must not, in a scratch place.

    One line for each way in which a trigger can fire, so that no dead one hides behind another. Uses this
    place's contract and policy, and none of its data. Exits 1 when any did not do as it must.
    """
    from attrition_platform.defs.trigger_rehearsal import rehearse

    lines = []
    for one in rehearse(_platform()):
        lines.append(asdict(one) | {"ok": one.is_sound})
        if as_json:
            continue
        fired = "fired" if one.fired else "DID NOT FIRE"
        silent = "stayed silent" if one.stayed_silent else "FIRED FOR NOTHING"
        verdict = "ok" if one.is_sound else "BROKEN"
        told = f"{one.trigger:<12} {one.signal:<18} {one.sensor:<16} {fired:<13} {silent:<18} {verdict}"
        click.echo(told)
    if as_json:
        show_json({"rehearsed": lines})
    broken = sum(not line["ok"] for line in lines)
    if broken:
        click.echo(f"{broken} of {len(lines)} did not do as they must.", err=True)
        sys.exit(1)


def _rows(platform: Platform) -> list[dict[str, Any]]:
    from attrition_platform.monitoring.triggering import next_look
    from attrition_platform.stages.detecting import DETECTORS

    records, now, rule = platform.causes.records(), platform.clock(), platform.policy.triggers
    rows = []
    for kind, detect in DETECTORS.items():
        own = [record for record in records if record.cause.kind == kind]
        limit, value = _seen(detect, platform)
        fired = max((r.requested_at for r in own if r.requested_at is not None), default=None)
        open_ones = [record for record in own if record.state == "open"]
        look = min((next_look(record, records, rule) for record in open_ones), default=now)
        soon = look <= now + timedelta(seconds=30)
        rows.append(
            {
                "trigger": kind,
                "fires_when": limit,
                "seen_now": value,
                "last_fired": None if fired is None else fired.isoformat(timespec="seconds"),
                "n_open": len(open_ones),
                "looks_again": "within 30 s" if soon else look.isoformat(timespec="minutes"),
            }
        )
    return [*rows, _canary_row(platform)]


def _seen(detect: Detector, platform: Platform) -> tuple[str, str]:
    """Limit and what was seen; one that can't look says so, and the others are shown all the same."""
    try:
        reading = detect(platform)
    except (AttritionError, OSError) as error:
        told = str(error) if isinstance(error, AttritionError) else f"{type(error).__name__}"
        return "it can look again", f"it could not look: {told.rstrip('.')}"
    return reading.limit, reading.value


def _canary_row(platform: Platform) -> dict[str, Any]:
    from attrition_platform.stages.release_state import release_state

    records = platform.ledger.records()
    canary = release_state(records).canary
    ended = [record.at for record in records if record.kind == "canary-end"]
    return {
        "trigger": "canary",
        "fires_when": "a canary's answers are worse than stable's, or good for long enough",
        "seen_now": "no canary is running" if canary is None else f"canary {canary.version} is running",
        "last_fired": ended[-1] if ended else None,
        "n_open": int(canary is not None),
        "looks_again": "within 30 s",
    }


def _cause(record: CauseRecord) -> dict[str, Any]:
    cause = record.cause
    return {
        "key": cause.key,
        "state": record.state,
        "window": cause.window,
        "evidence": dict(cause.evidence),
        "n_attempts": record.n_attempts,
        "found_at": cause.found_at.isoformat(),
        "retry_at": None if record.retry_at is None else record.retry_at.isoformat(),
    }
