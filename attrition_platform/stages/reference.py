"""What a champion was made from, as counts: what every later window is held against.

There are two counts, since there are two kinds of windows. The cells as they came, broken rows among them,
are compared with a batch as it came; rows that keep the contract, with answers of the service, which refuses
all others. A source whose rows are always a little broken therefore differs from neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from attrition_platform.adapters.step_cache import StepOutput, StepResult, code_version
from attrition_platform.stages.counting import COUNTING_CODE
from attrition_platform.stages.ingest import read_columns, validate_one_batch
from attrition_platform.stages.platform import Platform

if TYPE_CHECKING:
    import polars as pl

    from attrition_platform.adapters.batches import Batch
    from attrition_platform.monitoring.summary import FrameSummary
    from attrition_platform.ports import LedgerRecord

PREDICTION = "probability"
PROBABILITY_DIGITS = 3
_CODE = ("monitoring/summary.py", *COUNTING_CODE, "stages/reference.py")


@dataclass(frozen=True)
class Reference:
    """Counts of what a champion was made from.

    Attributes
    ----------
    valid : FrameSummary
        Of the rows that keep the contract.
    received : FrameSummary or None
        Of the cells as they came; None for a champion that was released before these were stored.
    """

    valid: FrameSummary
    received: FrameSummary | None


def store_reference(platform: Platform, validated: StepResult, challenger: StepResult) -> StepResult:
    """Count the data that a challenger was made from, and its probabilities on the test side.

    Returns
    -------
    StepResult
        Files ``reference.json`` (rows that keep the contract) and ``received.json`` (each employee's
        newest row as it came): exact counts of each column that the model reads, and of the
        probabilities to three digits.
    """
    columns = tuple(challenger.facts["reads"])

    def compute(out: StepOutput) -> None:
        import polars as pl

        from attrition_platform.monitoring.summary import summarise

        rows = read_columns(platform, validated, ("pseudonym", "batch", *columns))
        tested = pl.read_parquet(platform.file(challenger.files["predictions.parquet"]), columns=["y_prob"])
        valid = summarise(rows, platform.contract, columns)
        received = _count_received(platform, rows, columns)
        for name, summary in {"reference.json": valid, "received.json": received}.items():
            out.file(name).write_bytes(with_probabilities(summary, tested["y_prob"]).to_json())
        out.facts.update(
            n_rows=valid.n_rows, n_received=received.n_rows, columns=sorted([*valid.columns, PREDICTION])
        )

    return platform.steps.run(
        "reference",
        compute,
        code=code_version(*_CODE),
        inputs={"validated": validated.data_version, "challenger": challenger.data_version},
        config={"contract": platform.contract_digest, "columns": list(columns)},
    )


def reference_of(platform: Platform, champion: LedgerRecord | None) -> Reference | str:
    """Read the champion's stored reference, or say in words why there is none."""
    if champion is None:
        # Stored in the window's report, so it must be true also when it is read later.
        return (
            "There was no champion yet when this window was judged, so there was nothing to compare with. "
            "As soon as there is one, `attrition monitor` judges it."
        )
    if "reference" not in champion.payload:
        return (
            f"Champion {champion.version} was released before references were stored; "
            "the next one that is promoted brings its own."
        )
    received = champion.payload.get("received")
    return Reference(
        _read(platform, champion.payload["reference"]),
        None if received is None else _read(platform, received),
    )


def _read(platform: Platform, sha256: str) -> FrameSummary:
    from attrition_platform.monitoring.summary import FrameSummary

    return FrameSummary.from_json(platform.steps.store.verify(sha256).read_bytes())


def with_probabilities(rows: FrameSummary, probabilities: pl.Series) -> FrameSummary:
    """Add probabilities, to three digits, as one more column."""
    from attrition_platform.monitoring.summary import count_numbers

    rounded = count_numbers(probabilities.round(PROBABILITY_DIGITS))
    return replace(rows, columns=rows.columns | {PREDICTION: rounded})


def _count_received(platform: Platform, valid: pl.DataFrame, columns: tuple[str, ...]) -> FrameSummary:
    """Count what each employee's newest file says of them, whether it keeps the contract or not.

    Whoever stands in ten files counts once, as in training: else old files would outweigh the newest one,
    and the tests would take ten rows of one person for ten people. Rows that name nobody count where they
    are in the newest file.
    """
    import polars as pl

    from attrition_platform.adapters.batches import list_batches
    from attrition_platform.monitoring.summary import merge, summarise

    names = set(valid["batch"].unique())
    listed = list_batches(platform.settings.data_dir, platform.contract.name)
    batches = [batch for batch in listed if batch.sha256[:12] in names]
    order = {batch.sha256[:12]: place for place, batch in enumerate(batches)}
    place = pl.col("batch").replace_strict(order, default=-1, return_dtype=pl.Int32).alias("place")
    # People who were generated are listed until somebody drops a file; none of their rows is broken.
    none = pl.DataFrame(schema={"batch": pl.String, "row_number": pl.UInt32, "pseudonym": pl.String})
    broken = pl.concat([none, *(_broken(platform, batch) for batch in batches)]).with_columns(place)
    valid = valid.with_columns(place)
    newest = (
        pl.concat([side.select("pseudonym", "place") for side in (valid, broken)])
        .group_by("pseudonym")
        .agg(pl.col("place").max().alias("newest"))
        .with_columns(pl.when(pl.col("pseudonym").is_null()).then(len(batches) - 1).otherwise("newest"))
    )
    kept, set_aside = (
        side.join(newest, on="pseudonym", nulls_equal=True).filter(pl.col("place") == pl.col("newest"))
        for side in (valid, broken)
    )
    parts = [summarise(kept, platform.contract, columns)]
    for batch in batches:
        numbers = set_aside.filter(pl.col("batch") == batch.sha256[:12])["row_number"]
        parts += [summarise(rows, platform.contract, columns) for rows in _rows(platform, batch, numbers)]
    return merge(parts)


def _broken(platform: Platform, batch: Batch) -> pl.DataFrame:
    """`batch`, `row_number` and `pseudonym` of the rows of a batch that were set aside."""
    import polars as pl

    result = validate_one_batch(platform, batch, lambda _: None)
    file = platform.file(result.files["quarantined.parquet"])
    return pl.read_parquet(file, columns=["batch", "row_number", "pseudonym"])


def _rows(platform: Platform, batch: Batch, numbers: pl.Series) -> Iterator[pl.DataFrame]:
    """Text cells of some rows of a batch; the file is not opened where there are none."""
    import polars as pl

    from attrition_platform.adapters.extract_files import read_extract

    if numbers.is_empty():
        return
    for chunk in read_extract(batch.path, platform.contract):
        yield chunk.filter(pl.col("row_number").is_in(numbers.implode()))
