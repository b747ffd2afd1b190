"""A generated population is what the facts say, and always the same one."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from attrition_platform.errors import PopulationFileError
from attrition_platform.population.drawing import SOURCE_COLUMNS, draw_block, leaving_probability
from attrition_platform.population.facts import population_facts
from attrition_platform.population.generator import SUFFIXES, generate_chunks, write_population


@pytest.fixture(scope="module")
def block() -> pl.DataFrame:
    """A hundred thousand employees; enough to tell shares apart in the third digit."""
    return draw_block(population_facts(), seed=3, block=0)


def whole(n_rows: int, seed: int, chunk_rows: int = 100_000) -> pl.DataFrame:
    return pl.concat(generate_chunks(n_rows, seed, chunk_rows))


def test_the_shares_of_every_category_are_the_published_ones(block: pl.DataFrame) -> None:
    for column, shares in population_facts().shares.items():
        for value, expected in shares.items():
            seen = (block[column].cast(pl.String) == value).mean()
            tolerance = 5 * np.sqrt(expected * (1 - expected) / block.height)
            assert seen == pytest.approx(expected, abs=tolerance), (column, value)


def test_the_share_of_leavers_is_the_published_one(block: pl.DataFrame) -> None:
    assert (block["Attrition"] == "Left").mean() == pytest.approx(0.4748, abs=0.008)


def test_years_are_bounded_by_the_age_and_tenure_builds_on_them(block: pl.DataFrame) -> None:
    gap = block["Company Tenure"] - block["Years at Company"]

    assert (block["Years at Company"] <= block["Age"] - 8).all()
    assert (gap.min(), gap.max()) == (1, 79)
    assert (block["Age"].min(), block["Age"].max()) == (18, 59)
    assert block["Years at Company"].mean() == pytest.approx(15.72, abs=0.2)
    assert pl.select(pl.corr(block["Age"], block["Years at Company"], method="spearman")).item() == (
        pytest.approx(0.502, abs=0.015)
    )


def test_income_follows_the_job_role_alone(block: pl.DataFrame) -> None:
    for role, (mean, sd) in population_facts().income_by_role.items():
        income = block.filter(pl.col("Job Role") == role)["Monthly Income"]
        assert income.mean() == pytest.approx(mean, abs=5 * sd / income.len() ** 0.5)
        assert income.std() == pytest.approx(sd, rel=0.02)
    by_level = block.group_by("Job Level").agg(pl.col("Monthly Income").mean())["Monthly Income"]
    assert by_level.max() - by_level.min() < 100  # the roles are 4,600 apart


def test_income_stays_inside_what_was_ever_observed(block: pl.DataFrame) -> None:
    low, high = population_facts().income_range

    assert block["Monthly Income"].is_between(low, high).all()


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, 0.0733),
        ({"Marital Status": "Single"}, 0.0733 + 0.3516),
        ({"Number of Promotions": "3"}, 0.0),  # clipped: the sum is below zero
        ({"Number of Promotions": "2"}, 0.0733),
        (
            {
                "Work-Life Balance": "Poor",
                "Marital Status": "Single",
                "Job Level": "Entry",
                "Company Reputation": "Poor",
                "Gender": "Female",
            },
            1.0,  # clipped: the sum is 1.127
        ),
        ({"Work-Life Balance": "Poor", "Marital Status": "Single", "Job Level": "Entry"}, 0.8576),
        ({"Work-Life Balance": "Poor", "Marital Status": "Single", "Company Reputation": "Poor"}, 0.8132),
        ({"Age": 29, "Years at Company": 9, "Distance from Home": 51, "Monthly Income": 4999}, 0.3655),
        ({"Age": 30, "Years at Company": 10, "Distance from Home": 50, "Monthly Income": 5000}, 0.0733),
    ],
)
def test_the_probability_of_leaving_is_the_sum_of_the_published_effects(
    changed: dict[str, str | int], expected: float
) -> None:
    plain: dict[str, str | int] = {
        "Work-Life Balance": "Good",
        "Job Satisfaction": "High",
        "Performance Rating": "Average",
        "Employee Recognition": "Low",
        "Company Reputation": "Good",
        "Job Level": "Mid",
        "Company Size": "Medium",
        "Education Level": "High School",
        "Gender": "Male",
        "Overtime": "No",
        "Remote Work": "No",
        "Leadership Opportunities": "No",
        "Innovation Opportunities": "No",
        "Job Role": "Media",
        "Marital Status": "Married",
        "Number of Promotions": "0",
        "Number of Dependents": "0",
        "Age": 40,
        "Years at Company": 20,
        "Distance from Home": 10,
        "Monthly Income": 9000,
    }
    employee = plain | changed
    facts = population_facts()
    codes = {
        column: np.array([list(shares).index(str(employee[column]))], dtype=np.uint8)
        for column, shares in facts.shares.items()
    }
    numbers = {name: np.array([value]) for name, value in employee.items() if isinstance(value, int)}

    assert leaving_probability(facts, codes, numbers)[0] == pytest.approx(expected, abs=1e-9)


def test_every_published_effect_is_used() -> None:
    """A condition that is misspelt would raise; one that is forgotten would go unnoticed."""
    facts = population_facts()
    source = Path(str(leaving_probability.__code__.co_filename)).read_text(encoding="utf-8")

    assert [name for name in facts.label_effects if f'"{name}"' not in source and name != "const"] == []


def test_a_larger_population_begins_with_the_smaller_one() -> None:
    small, large = whole(1_500, seed=5), whole(100_500, seed=5)

    assert small.equals(large.head(1_500))


def test_the_chunk_size_changes_nobody() -> None:
    assert whole(2_500, seed=5, chunk_rows=700).equals(whole(2_500, seed=5))


def test_another_seed_is_another_population() -> None:
    first, second = whole(1_000, seed=5), whole(1_000, seed=6)

    assert (first["Monthly Income"] == second["Monthly Income"]).mean() < 0.01


def test_two_blocks_of_one_population_share_neither_ids_nor_employees() -> None:
    rows = whole(200_000, seed=5)

    assert rows["Employee ID"].n_unique() == 200_000
    assert (rows["Age"][:100_000] == rows["Age"][100_000:]).mean() < 0.05


def test_ids_look_shuffled() -> None:
    ids = whole(2_000, seed=5)["Employee ID"]

    assert not ids.is_sorted()
    assert abs(np.corrcoef(ids.to_numpy(), np.arange(2_000))[0, 1]) < 0.1


def test_the_population_of_a_seed_is_pinned() -> None:
    """Whoever changes how employees are drawn changes everybody's default data: say so in CHANGELOG."""
    text = whole(1_000, seed=7).write_csv()

    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "278531936918f453"


@pytest.mark.parametrize("numbers", [(0, 1, 1), (-5, 1, 1), (10, -1, 1), (10, 1, 0)])
def test_impossible_numbers_are_refused_at_once(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        generate_chunks(*numbers)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_holds_the_same_employees_and_repeats_its_bytes(tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    write_population(first, 3_000, seed=5)
    write_population(second, 3_000, seed=5)
    read = pl.read_parquet(first) if suffix == ".parquet" else pl.read_csv(first)

    assert first.read_bytes() == second.read_bytes()
    assert read.equals(whole(3_000, seed=5).with_columns(pl.col(pl.Enum).cast(pl.String)))


def test_a_compressed_file_carries_neither_a_time_nor_a_name(tmp_path: Path) -> None:
    """Either would change the bytes; two files written in one second do not show it."""
    write_population(tmp_path / "a.csv.gz", 500, seed=5)
    packed = (tmp_path / "a.csv.gz").read_bytes()

    header = gzip.decompress(packed).decode().splitlines()[0]
    assert packed[3:8] == bytes(5)  # no flags, so no name; then the time
    assert header.split(",") == list(SOURCE_COLUMNS)


def test_progress_adds_up_to_the_rows_written(tmp_path: Path) -> None:
    steps: list[int] = []
    write_population(tmp_path / "a.parquet", 100_123, seed=5, progress=steps.append)

    assert steps == [100_000, 123]


def test_a_writer_that_is_stopped_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    out = tmp_path / "a.csv"
    out.write_text("precious")

    def stop(_n_rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_population(out, 500, seed=5, progress=stop)

    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert out.read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "rule"), [("people.xlsx", "must end in"), ("missing/people.csv", "does not exist")]
)
def test_a_name_that_cannot_be_written_is_refused_with_the_rule(tmp_path: Path, name: str, rule: str) -> None:
    with pytest.raises(PopulationFileError, match=rule):
        write_population(tmp_path / name, 10, seed=5)
