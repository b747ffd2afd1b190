"""`attrition triggers` and `triggers test`: what may start a run by itself, and whether it would."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from attrition_platform.cli.show import show_json, show_table
from attrition_platform.errors import AttritionError, safe_words

if TYPE_CHECKING:
    from attrition_platform.monitoring.triggering import CauseRecord
    from attrition_platform.stages.detecting import Detector
    from attrition_platform.stages.platform import Platform

CAN_NOT_LOOK = "it can look again"
SOON = "within 30 s while `make ui` runs"


def _platform() -> Platform:
    from attrition_platform.settings import Settings
    from attrition_platform.stages.platform import Platform

    return Platform(Settings.from_environment())


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def triggers(context: click.Context, as_json: bool) -> None:
    """Show every trigger: its limit, what it saw last, when it fired last, and when it looks again.

    The sensors run while the Dagster daemon runs (`make ui`). This command looks once by itself, takes
    nothing in and starts nothing. Exits 1 when any trigger could not look.
    """
    if context.invoked_subcommand is not None:
        return
    platform = _platform()
    rows = _rows(platform)
    waiting = [record for record in platform.causes.records() if record.state != "done"]
    if as_json:
        show_json({"triggers": rows, "causes": [_cause(record) for record in waiting]})
    else:
        _show(rows, waiting)
    if any(row["fires_when"] == CAN_NOT_LOOK for row in rows):
        sys.exit(1)


def _show(rows: list[dict[str, Any]], waiting: list[CauseRecord]) -> None:
    shown = ("trigger", "last_fired", "n_open", "looks_again")
    columns = ["trigger", "last fired", "open causes", "looks again"]
    show_table(columns, [[row[name] for name in shown] for row in rows])
    for row in rows:
        click.echo(f"{row['trigger']}: fires when {row['fires_when']}.\n    Seen now: {row['seen_now']}.")
    if waiting:
        listed = [[r.cause.key, r.state, r.n_attempts] for r in waiting]
        show_table(["cause", "state", "runs"], listed, "Causes that no run has answered", whole=["cause"])
    if any(record.state == "ticketed" for record in waiting):
        click.echo(
            "A ticketed cause starts no run by itself any more, and somebody must look. "
            "`attrition triggers retry KEY` gives it one more run, `attrition triggers close KEY` ends it."
        )


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


@triggers.command()
@click.argument("key")
def retry(key: str) -> None:
    """Give a cause one more run, at once: KEY, or its beginning, is as `attrition triggers` shows it.

    For a cause whose runs failed. The run starts when the daemon looks next. Exits 1 when the cause waits for
    no retry, 2 when KEY names none or several.
    """
    platform = _platform()
    record = _find(platform, key)
    if not platform.causes.try_again(record.cause.key):
        raise AttritionError(_why_not(record))
    click.echo(f"{record.cause.key} is tried again as soon as the daemon looks (`make ui`).")


@triggers.command()
@click.argument("key")
def close(key: str) -> None:
    """End a cause without a run: KEY, or its beginning, is as `attrition triggers` shows it.

    It is not found again. Exits 1 when its run is under way or it has ended, 2 when KEY names none or
    several.
    """
    platform = _platform()
    record = _find(platform, key)
    if not platform.causes.answer([record.cause.key], platform.clock()):
        raise AttritionError(_why_not(record))
    click.echo(f"{record.cause.key} is closed; it starts no run any more.")


def _find(platform: Platform, key: str) -> CauseRecord:
    """The cause of that key, else the one that begins with it; of several, the one that has not ended."""
    records = platform.causes.records()
    exact = [record for record in records if record.cause.key == key]
    found = exact or [record for record in records if key and record.cause.key.startswith(key)]
    waiting = [record for record in found if record.state != "done"]
    match waiting or found:
        case [record]:
            return record
        case []:
            raise click.UsageError(f"No cause begins with '{key}'. `attrition triggers` lists them.")
        case several:
            raise click.UsageError(f"{len(several)} causes begin with '{key}'. Give more of the key.")


def _why_not(record: CauseRecord) -> str:
    """Say why a cause can't be tried again or closed."""
    match record.state:
        case "requested":
            return f"The run of {record.cause.key} is under way. Wait for its end, or cancel it in the UI."
        case "done":
            return f"{record.cause.key} has ended already."
        case _:
            return f"{record.cause.key} waits for its first run already."


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
        look = min((next_look(record, records, rule, now) for record in open_ones), default=now)
        soon = look <= now + timedelta(seconds=30)
        rows.append(
            {
                "trigger": kind,
                "fires_when": limit,
                "seen_now": value,
                "last_fired": None if fired is None else fired.isoformat(timespec="seconds"),
                "n_open": len(open_ones),
                "looks_again": SOON if soon else look.isoformat(timespec="minutes"),
            }
        )
    return [*rows, _canary_row(platform)]


def _seen(detect: Detector, platform: Platform) -> tuple[str, str]:
    """Limit and what was seen; one that can't look says so, and the others are shown all the same."""
    try:
        reading = detect(platform)
    except Exception as error:
        return CAN_NOT_LOOK, f"it could not look: {safe_words(error).rstrip('.')}"
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
        "looks_again": SOON,
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
