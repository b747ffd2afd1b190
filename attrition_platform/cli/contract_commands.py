"""`attrition contract draft` and `attrition contract check`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attrition_platform.cli.show import show_json, show_table

if TYPE_CHECKING:
    from attrition_platform.contracts.model import Contract

MAX_DRAFT_ROWS = 200_000
_EXAMPLES = 3
_existing = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def contract() -> None:
    """Draft and check contracts of HR extracts."""


@contract.command()
@click.argument("file", type=_existing)
@click.option("--label", help="Header of the column that says who left; found by its name otherwise.")
@click.option("--id", "identifier", help="Header of the employee id; found by its name otherwise.")
@click.option("--name", help="Name of the contract; by default the file's name.")
@click.option("--encoding", help="Encoding of a text file that is not UTF-8, such as cp1252.")
@click.option("--delimiter", help="Delimiter, where the header does not show it.")
def draft(
    file: Path,
    label: str | None,
    identifier: str | None,
    name: str | None,
    encoding: str | None,
    delimiter: str | None,
) -> None:
    """Infer a first contract from FILE and print it as TOML.

    Every guess is marked. Redirect the output into a file, read it, then `attrition contract check`.
    """
    from attrition_platform.adapters.extract_files import read_raw_text
    from attrition_platform.contracts.draft import draft_contract, render_draft

    frame = read_raw_text(file, MAX_DRAFT_ROWS, encoding=encoding, delimiter=delimiter)
    drafted = draft_contract(frame, name or file.name.split(".")[0], label=label, identifier=identifier)
    written = {"encoding": encoding, "delimiter": delimiter}
    drafted = drafted.model_copy(update={"source": drafted.source.model_copy(update=written)})
    click.echo(render_draft(drafted))
    kinds: dict[str, list[str]] = {}
    for column in drafted.columns.values():
        kinds.setdefault(column.kind, []).append(column.source)
    click.echo(f"Read {frame.height:,} rows, {len(drafted.columns)} columns.", err=True)
    for kind in ("label", "id", "ignore"):
        click.echo(f"  {kind}: {', '.join(kinds.get(kind, ['none']))}", err=True)
    protected = [drafted.columns[name].source for name in drafted.protected]
    click.echo(f"  protected: {', '.join(protected) or 'none'}", err=True)
    click.echo("Every guess is marked in the draft; read them before you train.", err=True)


@contract.command(short_help="Say what would happen to every row.")
@click.argument("contract_file", metavar="CONTRACT", type=_existing)
@click.argument("file", type=_existing)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def check(contract_file: Path, file: Path, as_json: bool) -> None:
    """Say what would happen to every row of FILE under CONTRACT; nothing is stored.

    Exits 0 when the batch would be accepted, 1 when it would be refused.
    """
    from attrition_platform.contracts.toml_file import load_contract

    loaded = load_contract(contract_file)
    report = _try(file, loaded)
    share = report["n_quarantined"] / report["n_rows"]
    limit = loaded.source.max_bad_row_share
    accepted = report["bad_share"] <= limit
    if as_json:
        show_json(report | {"accepted": accepted, "max_bad_row_share": limit})
    else:
        click.echo(
            f"{report['n_rows']:,} rows: {report['n_valid']:,} keep the contract, "
            f"{report['n_quarantined']:,} ({share:.1%}) would be quarantined."
        )
        if report["reasons"]:
            rows = [[r["reason"], r["rows"], ", ".join(map(str, r["examples"]))] for r in report["reasons"]]
            show_table(["reason", "rows", "such as row"], rows)
        if report["n_normalised"]:
            show_table(["column", "spellings unified"], list(report["n_normalised"].items()))
        verdict = "would be accepted" if accepted else f"would be REFUSED: more than {limit:.1%} are bad"
        click.echo(f"The batch {verdict}.")
    if not accepted:
        raise SystemExit(1)


def _try(file: Path, loaded: Contract) -> dict[str, Any]:
    """Run the real validation in a folder that is removed afterwards, with no limit on bad rows."""
    import os

    import polars as pl

    from attrition_platform.adapters.batches import accept_generated
    from attrition_platform.adapters.validation import CONFLICTING_DUPLICATE, EXACT_DUPLICATE, validate_batch

    patient = loaded.model_copy(
        update={"source": loaded.source.model_copy(update={"max_bad_row_share": 1.0})}
    )
    with tempfile.TemporaryDirectory(prefix="attrition-check-") as name:
        folder = Path(name)
        batch = accept_generated(file, folder, patient)
        done = validate_batch(
            batch, patient, os.urandom(32), folder / "valid.parquet", folder / "quarantined.parquet"
        )
        broken = pl.read_parquet(folder / "quarantined.parquet").explode("reasons")
    examples = dict(broken.group_by("reasons").agg(pl.col("row_number").sort().head(_EXAMPLES)).iter_rows())
    failures = done.n_rule_failures
    harmless = failures.get(EXACT_DUPLICATE, 0)
    if loaded.id is None:
        harmless += failures.get(CONFLICTING_DUPLICATE, 0)
    return {
        "n_rows": done.n_rows,
        "n_valid": done.n_valid,
        "n_quarantined": done.n_quarantined,
        "bad_share": (done.n_quarantined - harmless) / done.n_rows,
        "n_normalised": done.n_normalised,
        "reasons": [
            {"reason": reason, "rows": n, "examples": list(examples.get(reason, []))}
            for reason, n in sorted(failures.items(), key=lambda item: -item[1])
        ],
    }
