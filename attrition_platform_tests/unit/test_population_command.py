"""`attrition data generate` says what it does and destroys nothing."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from attrition_platform.cli.data_commands import data
from attrition_platform.errors import PopulationFileError


def generate(*arguments: str) -> str:
    result = CliRunner().invoke(data, ["generate", *arguments])
    if isinstance(result.exception, PopulationFileError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_writes_the_rows_asked_for_and_says_that_they_are_generated(tmp_path: Path) -> None:
    out = tmp_path / "people.csv"
    said = generate("--rows", "1234", "--seed", "3", "--out", str(out))

    assert pl.read_csv(out).height == 1234
    assert "GENERATED" in said
    assert "no row is a real person" in said


def test_an_existing_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    out = tmp_path / "people.csv"
    out.write_text("precious")
    with pytest.raises(PopulationFileError, match=r"exists already.*--force"):
        generate("--rows", "10", "--out", str(out))
    assert out.read_text() == "precious"

    generate("--rows", "10", "--out", str(out), "--force")

    assert pl.read_csv(out).height == 10


def test_the_defaults_are_the_population_of_the_main_job() -> None:
    from attrition_platform.settings import Settings
    from attrition_platform.stages.ingest import GENERATED_SEED

    defaults = {parameter.name: parameter.default for parameter in data.commands["generate"].params}

    assert defaults["seed"] == GENERATED_SEED
    assert defaults["rows"] == Settings.from_environment({}).generated_rows


def test_no_rows_is_a_usage_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(data, ["generate", "--rows", "0", "--out", str(tmp_path / "a.csv")])

    assert result.exit_code == 2
    assert not list(tmp_path.iterdir())
