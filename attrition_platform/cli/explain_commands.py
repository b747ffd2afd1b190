"""`attrition explain`: the letter about a logged prediction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from attrition_platform.cli.predict_commands import read_object
from attrition_platform.cli.show import show_json

if TYPE_CHECKING:
    from attrition_platform.stages.explaining import Recomputed
    from attrition_platform.stages.platform import Platform


def _platform() -> Platform:
    from attrition_platform.settings import Settings
    from attrition_platform.stages.platform import Platform

    return Platform(Settings.from_environment())


@click.command()
@click.argument("prediction_id")
@click.option("--data", metavar="JSON", help="The data that it was made from, as one JSON object.")
@click.option(
    "--file",
    "source",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="A file with that JSON object; - is standard input.",
)
@click.option("--verify", is_flag=True, help="Only say whether the model gives the logged score again.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def explain(prediction_id: str, data: str | None, source: Path | None, verify: bool, as_json: bool) -> None:
    """Write the letter to the person about whom PREDICTION_ID was made.

    The reasons are worked out anew with the model of that time, and only told if it gives the logged
    score again, bit for bit. The data comes from the log where the policy keeps it, else from the
    validated employees, else from --data or --file; its keyed hash must be the logged one. Exits 1 when
    the prediction is unknown, can't be explained, or (with --verify) is unequal.
    """
    from attrition_platform.scoring.letter import write_letter
    from attrition_platform.stages.explaining import explained, recompute

    if data is not None and source is not None:
        raise click.UsageError("Give --data or --file, not both.")
    platform = _platform()
    given = None
    if data is not None or source is not None:
        given = read_object(data if source is None or str(source) == "-" else _text_of(source))
    recomputed = recompute(platform, prediction_id, given)
    if verify:
        _tell_equality(recomputed, as_json)
        return
    told = explained(platform, recomputed)
    letter = write_letter(told, platform.policy.advice)
    if not as_json:
        click.echo(letter)
        return
    answer, record = recomputed.answer, recomputed.record
    show_json(
        {
            "id": record.id,
            "timestamp": told.at.isoformat(timespec="milliseconds"),
            "model_version": record.version,
            "label": answer.label,
            "flagged": record.flagged,
            "probability": record.probability,
            "tier": record.tier,
            "score": record.score,
            "base": recomputed.arm.compiled.base,
            "reasons": [
                {
                    "feature": reason.feature,
                    "label": reason.label,
                    "contribution": reason.contribution,
                    "direction": reason.direction,
                    "text": reason.text,
                }
                for reason in answer.reasons
            ],
            "contributions": dict(zip(recomputed.arm.spec.names, answer.contributions, strict=True)),
            "read": told.read,
            "protected_and_not_read": told.unread,
            "data_from": recomputed.source,
            "is_equal": True,
            "letter": letter,
        }
    )


def _text_of(source: Path) -> str:
    try:
        return source.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise click.UsageError("The file of --file is no text in UTF-8.") from None


def _tell_equality(recomputed: Recomputed, as_json: bool) -> None:
    record, answer = recomputed.record, recomputed.answer
    if as_json:
        show_json(
            {
                "id": record.id,
                "model_version": record.version,
                "data_from": recomputed.source,
                "is_equal": recomputed.is_equal,
                "logged": {"score": record.score, "probability": record.probability},
                "recomputed": {"score": answer.score, "probability": answer.probability},
            }
        )
    elif recomputed.is_equal:
        click.echo(f"Equal: model {record.version} gives the logged score again, bit for bit.")
    else:
        click.echo(f"UNEQUAL: model {record.version} gives another score than the one in the log.")
    if not recomputed.is_equal:
        raise SystemExit(1)
