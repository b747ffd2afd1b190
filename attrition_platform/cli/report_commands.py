"""`attrition drift`: what the newest watch found."""

from __future__ import annotations

import sys
from typing import Any

import click

from attrition_platform.cli.show import show_json, show_table

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_check_option = click.option("--check", is_flag=True, help="Exit 1 when something was found.")


def _facts(asset: str) -> dict[str, Any]:
    from attrition_platform.settings import Settings
    from attrition_platform.stages.platform import Platform
    from attrition_platform.stages.views import newest

    return newest(Platform(Settings.from_environment()), asset).facts


@click.command()
@_json_option
@_check_option
def drift(as_json: bool, check: bool) -> None:
    """Show whether the newest data differs from what the champion was made from.

    A score compares with the customary limit of 0.1; what counts is the outcome, which also asks how
    sure the difference is. `make train` and `attrition monitor` judge anew.
    """
    from attrition_platform.stages.drift import in_words

    facts = _facts("drift_report")
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
