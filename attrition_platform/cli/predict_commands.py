"""`attrition predict`: one employee by questions or as JSON, or a file of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from attrition_platform.errors import InvalidEmployeeError

if TYPE_CHECKING:
    from attrition_platform.contracts.employee import FieldHelp
    from attrition_platform.contracts.model import Contract
    from attrition_platform.stages.file_predictions import FileCounts
    from attrition_platform.stages.logged_predictor import Logged, LoggedPredictor
    from attrition_platform.stages.platform import Platform

MAX_JSON_BYTES = 1 << 20
_BAR_CELLS = 24
_PROBLEMS_SHOWN = 10
_WHY = {
    "missing": "an answer is needed",
    "unseen-category": "that is none of the answers",
    "not-a-number": "that is no number",
    "not-whole": "that is no whole number",
    "not-finite": "that is no finite number",
    "out-of-range": "that is out of range",
    "not-a-date": "that is no date",
}


def _platform() -> Platform:
    from attrition_platform.settings import Settings
    from attrition_platform.stages.platform import Platform

    return Platform(Settings.from_environment())


@click.command()
@click.option("--id", "employee", metavar="ID", help="The employee's id; only its pseudonym is kept.")
@click.option("--json", "as_json", is_flag=True, help="Read one JSON object from standard input; print JSON.")
@click.option("--data", metavar="JSON", help="The JSON object itself; other users may see it in `ps`.")
@click.option(
    "--file",
    "source",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Score every row of a .csv, .csv.gz or .parquet.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Where --file writes: .csv, .csv.gz or .parquet."
)
@click.option("--force", is_flag=True, help="Replace --out if it exists.")
def predict(
    employee: str | None, as_json: bool, data: str | None, source: Path | None, out: Path | None, force: bool
) -> None:
    """Ask the champion about one employee, or about every row of a file.

    Without options it asks for what the model reads, and for nothing else. Every answer is put into the
    prediction log; `attrition explain` finds it by its id. Exits 1 when somebody could not be scored.
    """
    if source is not None:
        if out is None or as_json or data is not None or employee is not None:
            raise click.UsageError("--file needs --out, and goes without --json, --data and --id.")
        _predict_file(source, out, force)
        return
    if out is not None or force:
        raise click.UsageError("--out and --force go with --file.")
    if as_json or data is not None:
        if employee is not None:
            raise click.UsageError("--id goes with questions; in JSON the id is a field of its own.")
        _predict_json(read_object(data))
        return
    _predict_by_questions(employee)


def read_object(text: str | None) -> Mapping[str, object]:
    """Decode one JSON object, from standard input where `text` is None.

    Raises
    ------
    click.UsageError
        When it is none; the message quotes nothing of it.
    """
    import msgspec

    raw = sys.stdin.buffer.read(MAX_JSON_BYTES + 1) if text is None else text.encode(errors="surrogatepass")
    if len(raw) > MAX_JSON_BYTES:
        raise click.UsageError(f"One employee's data has at most {MAX_JSON_BYTES} bytes.")
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise click.UsageError('The data must be one JSON object, such as {"job_level": "Mid", ...}.')
    return value


def _predict_json(fields: Mapping[str, object]) -> None:
    from attrition_platform.serving.replies import encode, prediction_body, problem
    from attrition_platform.stages.logged_predictor import LoggedPredictor

    predictor = LoggedPredictor(_platform())
    try:
        logged = predictor.answer(fields)
    except InvalidEmployeeError as error:
        detail = "This employee can't be scored; correct the fields in 'errors', then ask again."
        click.echo(problem(422, "invalid-employee", detail, error.problems).body)
        raise SystemExit(1) from None
    click.echo(encode(prediction_body(logged.answer, logged.record.id, logged.record.at)))


def _predict_by_questions(employee: str | None) -> None:
    from attrition_platform.contracts.employee import EmployeeReader, describe_field
    from attrition_platform.stages.logged_predictor import LoggedPredictor

    platform = _platform()
    contract = platform.contract
    told: dict[str, object] = {}
    if employee is not None:
        if contract.id is None:
            raise click.UsageError(f"Contract '{contract.name}' has no employee id; leave --id out.")
        told[contract.id] = employee
        EmployeeReader(contract, []).read_text({contract.id: employee})  # before anybody is asked
    predictor = LoggedPredictor(platform)
    reads = predictor.arm.spec.source_columns
    names = [name for name in contract.features if name in reads]
    click.echo(f"{len(names)} questions. Ctrl-C ends without an answer.", err=True)
    for number, name in enumerate(names, 1):
        try:
            told[name] = _ask(describe_field(name, contract), contract, f"{number}/{len(names)}")
        except click.Abort:
            if sys.stdin.isatty():
                raise
            raise click.ClickException(
                "Standard input ended before every question was answered. Give JSON with --json."
            ) from None
    click.echo(err=True)
    show_answer(predictor.answer(told, text=True), predictor, platform)


def _ask(field: FieldHelp, contract: Contract, place: str) -> str:
    """Ask until the contract takes the answer; what is typed means what it means in an extract."""
    from attrition_platform.contracts.employee import EmployeeReader

    reader = EmployeeReader(contract, [field.name])

    def problem_with(text: str) -> str | None:
        try:
            reader.read_text({field.name: text})
        except InvalidEmployeeError as error:
            return error.problems[0].code
        return None

    # Numbers choose only where none of them is an answer by itself: "1" may well mean yes.
    by_number = {str(i): value for i, value in enumerate(field.values, 1)}
    if any(problem_with(number) is None for number in by_number):
        by_number = {}
    unit = f", in {field.unit}" if field.unit else ""
    unknown = "; Enter if unknown" if field.may_be_missing else ""
    click.echo(f"\n{place}  {field.label}{unit} ({_allowed(field, by_number)}{unknown})", err=True)
    if field.description:
        click.echo(f"     {field.description}", err=True)
    for number, value in by_number.items():
        click.echo(f"     {number:>2}  {value}", err=True)
    while True:
        typed = str(click.prompt(">", default="", show_default=False, prompt_suffix=" ", err=True)).strip()
        text = by_number.get(typed, typed)
        code = problem_with(text)
        if code is None:
            return text
        why = _WHY.get(code, "that can't be used")
        click.echo(f"  Not taken: {why}. Allowed: {_allowed(field, by_number)}.", err=True)


def _allowed(field: FieldHelp, by_number: Mapping[str, str]) -> str:
    return f"one of these, or its number from 1 to {len(by_number)}" if by_number else field.rule


def show_answer(logged: Logged, predictor: LoggedPredictor, platform: Platform) -> None:
    """Print one answer for a person to read."""
    answer = logged.answer
    flag = "flagged" if answer.flagged else "not flagged"
    positive = platform.contract.columns[platform.contract.label].positive
    lines = {
        "Decision": f"{flag}: '{answer.label}' ('{positive}' from {answer.threshold:.1%} on)",
        "Probability": f"{answer.probability:.1%}",
        "Risk tier": answer.tier,
        "What to do": answer.recommendation,
        "Not for": platform.policy.advice.not_for,
        "Who decides": platform.policy.advice.who_decides,
        "Model": answer.version,
        "Prediction": f"{logged.record.id} (`attrition explain` writes the letter)",
    }
    for title, text in list(lines.items())[:3]:
        click.echo(f"{title:<12} {text}")
    for place, reason in enumerate(answer.reasons):
        bar = _bar(abs(reason.contribution) / abs(answer.reasons[0].contribution))
        click.echo(f"{'' if place else 'Reasons':<12} {bar:<{_BAR_CELLS}} {reason.text}")
    for title, text in list(lines.items())[3:]:
        click.echo(f"{title:<12} {text}")


def _bar(share: float) -> str:
    utf = "utf" in (getattr(sys.stdout, "encoding", None) or "").lower()
    return ("█" if utf else "#") * max(1, round(share * _BAR_CELLS))


def _predict_file(source: Path, out: Path, force: bool) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from attrition_platform.stages.file_predictions import predict_file

    columns = (TextColumn("Scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("Scoring", total=None, visible=False)
        counts = predict_file(
            _platform(),
            source,
            out,
            force=force,
            started=lambda n: progress.update(task, total=n, visible=True),
            advanced=lambda n: progress.advance(task, n),
        )
    _tell_counts(counts, out)
    if counts.n_refused:
        raise SystemExit(1)


def _tell_counts(counts: FileCounts, out: Path) -> None:
    from attrition_platform.stages.file_predictions import most_frequent

    def tell(text: str) -> None:
        click.echo(text, err=True)

    n_scored = counts.n_rows - counts.n_refused
    tiers = ", ".join(f"{n:,} {tier}" for tier, n in counts.by_tier.items())
    tell(f"Scored {n_scored:,} of {counts.n_rows:,} rows with {counts.version}: {tiers}.")
    tell(f"Flagged {counts.n_flagged:,}. Wrote {out}.")
    if counts.unread:
        tell(f"In the file and not read by the model: {', '.join(counts.unread)}.")
    if counts.n_unknown_columns:
        tell(f"Columns that the contract does not know, and nobody looked at: {counts.n_unknown_columns}.")
    if counts.n_refused:
        tell(f"REFUSED {counts.n_refused:,} rows; column 'problems' says what is wrong with each:")
        for name, n in most_frequent(counts.by_problem, _PROBLEMS_SHOWN):
            tell(f"  {n:,} x {name}")
