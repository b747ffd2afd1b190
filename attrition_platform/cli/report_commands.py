"""`attrition drift`, `performance` and `slo`: what the newest watch found."""

from __future__ import annotations

import sys
from typing import Any

import click

from attrition_platform.cli.show import show_json, show_table

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_check_option = click.option("--check", is_flag=True, help="Exit 1 when something was found.")


def _facts(asset: str, *, made_by: str) -> dict[str, Any]:
    from attrition_platform.adapters.pointers import NEWEST
    from attrition_platform.errors import StoreError
    from attrition_platform.settings import Settings
    from attrition_platform.stages.platform import Platform
    from attrition_platform.stages.views import newest

    platform = Platform(Settings.from_environment())
    if not (platform.pointers_dir / asset / NEWEST).is_file():
        raise StoreError(f"There is no {asset.replace('_', ' ')} yet. Run `{made_by}` first.")
    return newest(platform, asset).facts


@click.command()
@_json_option
@_check_option
def drift(as_json: bool, check: bool) -> None:
    """Show whether the newest data differs from what the champion was made from.

    A score compares with the customary limit of 0.1; what counts is the outcome, which also asks how
    sure the difference is. `make train` and `attrition monitor` judge anew.
    """
    from attrition_platform.stages.drift import in_words

    facts = _facts("drift_report", made_by="make train")
    if as_json:
        show_json(facts)
    else:
        click.echo(in_words(facts))
        for window in facts["windows"]:
            rows = [
                [name, column["outcome"], column["score"], column["p_value"]]
                for name, column in window["by_column"].items()
            ]
            show_table(["column", "outcome", "score", "p-value"], rows, f"Window {window['window']}")
            found = [c["text"] for c in window["by_column"].values() if c["findings"]]
            click.echo("\n".join(found))
    if check and (facts["drifted"] or facts["schema_changes"]):
        sys.exit(1)


@click.command()
@_json_option
@_check_option
def performance(as_json: bool, check: bool) -> None:
    """Show what the champion's predictions turned out to be worth.

    Matured: the outcome is known. Estimated: it is not, and the probabilities are believed; that can't see
    people who now leave for other reasons. Unknown: neither. `attrition monitor` judges anew.
    """
    from attrition_platform.stages.performance import BAD, METRICS, in_words

    facts = _facts("performance_report", made_by="attrition monitor")
    if as_json:
        show_json(facts)
    else:
        click.echo(in_words(facts))
        judged = facts["judged"]
        if judged is not None:
            rows = [
                [name, *_interval(judged["matured"].get(name)), *_interval(judged["estimated"].get(name))]
                for name in METRICS
            ]
            show_table(["metric", "matured", "95 % from", "to", "estimated", "from", "to"], rows)
        weeks = [
            [
                w["week"],
                w["version"],
                w["matured"]["n"],
                w["unknown"]["n"],
                _interval(w["matured"].get("roc_auc"))[0],
            ]
            for w in facts["weeks"]
        ]
        show_table(["week", "model", "matured", "unknown", "ROC AUC"], weeks)
    if check and facts["verdict"] in BAD:
        sys.exit(1)


@click.command()
@_json_option
@_check_option
def slo(as_json: bool, check: bool) -> None:
    """Show the ten promises of the platform with their error budgets, and the alerts that stand.

    The sensor `judge_promises` measures anew every ten minutes, and `attrition monitor` at once.
    """
    from attrition_platform.stages.slo import in_words

    facts = _facts("slo_report", made_by="attrition monitor")
    if as_json:
        show_json(facts)
    else:
        click.echo(in_words(facts))
        rows = [
            [
                m["name"],
                m["verdict"],
                m["value"],
                m["target"],
                m["unit"],
                (m["budget"] or {}).get("left_share"),
            ]
            for indicator in facts["indicators"]
            for m in indicator["measures"]
        ]
        columns = ["promise", "verdict", "reached", "promised", "unit", "budget left"]
        show_table(columns, rows, whole=("promise", "verdict"))
        for alert in facts["alerts"]:
            click.echo(f"{alert['severity'].upper()} {alert['name']}: {alert['text']} See {alert['runbook']}")
    if check and facts["missed"]:
        sys.exit(1)


def _interval(estimate: dict[str, Any] | None) -> list[Any]:
    return [None] * 3 if estimate is None else [estimate["value"], estimate["low"], estimate["high"]]
