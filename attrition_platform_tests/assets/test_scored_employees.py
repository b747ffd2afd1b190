"""The asset `scored_employees` and its job, on a small extract and a champion made in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner, Result

from attrition_platform.adapters.pointers import Pointers
from attrition_platform.cli import scored_commands
from attrition_platform.contracts.identity import pseudonymiser
from attrition_platform.defs.gather import gather
from attrition_platform.errors import StoreError
from attrition_platform.scoring.predictor import Predictor
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.predicting import champion_arm
from attrition_platform_tests.served_place import make_platform, record

V1, V2 = "1" * 16, "2" * 16
N_EMPLOYEES, N_LEFT = 60, 20


def people() -> pl.DataFrame:
    """A third has left; of the others some outcomes are unknown."""
    number = pl.int_range(N_EMPLOYEES)
    return pl.select(
        number.alias("Person"),
        pl.when(number % 3 == 0).then(pl.lit("Mid")).otherwise(pl.lit("Entry")).alias("Level"),
        pl.when(number % 5 == 0).then(pl.lit("")).otherwise(pl.lit("Yes")).alias("Remote"),
        (number % 4).alias("Promotions"),
        (1_000 + 91 * number).alias("Pay"),
        (20 + number % 30).alias("Age"),
        pl.when(number < N_LEFT).then(pl.lit("Left")).otherwise(pl.lit("Stayed")).alias("Left"),
    )


def score(platform: Platform) -> dg.ExecuteInProcessResult:
    job = gather(platform).resolve_job_def("score_employees")
    return job.execute_in_process(run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}})


def scored(platform: Platform) -> pl.DataFrame:
    result = Pointers(platform.pointers_dir).read("scored_employees")
    return pl.read_parquet(platform.file(result.files["scored.parquet"]))


def make_scored(folder: Path) -> tuple[Platform, dg.ExecuteInProcessResult]:
    platform = make_platform(folder)
    platform.settings.inbox.mkdir(parents=True)
    people().write_csv(platform.settings.inbox / "people.csv")
    record(platform, V1)
    return platform, score(platform)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Platform, dg.ExecuteInProcessResult]:
    return make_scored(tmp_path_factory.mktemp("scored"))


@pytest.fixture
def platform(done: tuple[Platform, dg.ExecuteInProcessResult], monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setattr(scored_commands, "_platform", lambda: done[0])
    monkeypatch.setenv("COLUMNS", "100")
    return done[0]


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(scored_commands.scored, list(arguments))


pytestmark = pytest.mark.slow


def test_a_champion_in_the_ledger_is_enough(done: tuple[Platform, dg.ExecuteInProcessResult]) -> None:
    """Nothing of the training job has ever run here."""
    platform, run = done

    assert run.success
    assert not (platform.pointers_dir / "champion").exists()
    assert "champion" not in {event.step_key for event in run.all_events}


def test_whoever_has_left_is_not_scored(platform: Platform) -> None:
    told = scored(platform)
    of_id = pseudonymiser(platform.key)

    assert set(told["pseudonym"]) == {of_id(str(i)) for i in range(N_LEFT, N_EMPLOYEES)}


def test_each_row_says_what_the_predictor_says_and_by_which_model_and_data(platform: Platform) -> None:
    arm = champion_arm(platform)
    predictor = Predictor(platform.contract, platform.policy, platform.key, arm, None, 0.0, lambda: 0.0)
    answers = {}
    for row in people().with_columns(pl.all().cast(pl.String)).to_dicts():
        fields = {name: row[platform.contract.columns[name].source] for name in arm.spec.source_columns}
        answer = predictor.predict({**fields, "person": row["Person"]}, text=True)
        answers[answer.pseudonym] = answer

    for told in scored(platform).to_dicts():
        answer = answers[told["pseudonym"]]
        assert told["score"] == answer.score
        assert (told["tier"], told["flagged"], told["label"]) == (answer.tier, answer.flagged, answer.label)
        assert told["reason_1"] == answer.reasons[0].text
        assert told["model_version"] == V1
        assert len(told["data_version"]) == 16


def test_the_metadata_counts_and_holds_no_employee(done: tuple[Platform, dg.ExecuteInProcessResult]) -> None:
    platform, run = done
    metadata = run.asset_materializations_for_node("scored_employees")[0].metadata

    assert metadata["dagster/row_count"].value == N_EMPLOYEES - N_LEFT
    assert metadata["model_version"].value == V1
    tiers = [line.split(" | ")[0].strip("| ") for line in str(metadata["by_tier"].value).splitlines()[2:]]
    assert tiers == ["high", "medium", "low", "very low"]
    text = str({name: value.value for name, value in metadata.items()})
    assert not [one for one in scored(platform)["pseudonym"] if one in text]


def test_unchanged_data_and_champion_are_not_scored_again(platform: Platform) -> None:
    before = Pointers(platform.pointers_dir).read("scored_employees")
    score(platform)
    after = Pointers(platform.pointers_dir).read("scored_employees")

    assert after.reused
    assert (after.files, after.measured) == (before.files, before.measured)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_the_export_has_every_row_and_when_it_was_scored(
    platform: Platform, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"out{suffix}"
    assert invoke("export", "--out", str(out)).exit_code == 0

    told = pl.read_parquet(out) if suffix == ".parquet" else pl.read_csv(out)
    wanted = scored(platform)
    assert told.columns == [*wanted.columns, "scored_at"]
    assert told["pseudonym"].to_list() == wanted["pseudonym"].to_list()
    assert told["score"].to_list() == wanted["score"].to_list()
    assert told["scored_at"].n_unique() == 1
    assert invoke("export", "--out", str(out)).exit_code != 0  # it exists now


def test_a_label_of_the_contract_that_looks_like_a_formula_is_harmless(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = Pointers(platform.pointers_dir).read("scored_employees")
    frame = scored(platform).with_columns(pl.lit("=HYPERLINK(1) raises the risk").alias("reason_1"))
    with platform.steps.store.workspace() as folder:
        frame.write_parquet(folder / "scored.parquet")
        taken = platform.steps.store.take(folder / "scored.parquet")
    told = type(result)(**{**vars(result), "files": {"scored.parquet": taken}})
    monkeypatch.setattr(scored_commands, "_newest", lambda _: told)

    invoke("export", "--out", str(tmp_path / "out.csv"))

    assert set(pl.read_csv(tmp_path / "out.csv")["reason_1"]) == {"'=HYPERLINK(1) raises the risk"}


def test_show_counts_by_tier_and_says_when_another_champion_is_due(platform: Platform) -> None:
    told = json.loads(invoke("show", "--json").stdout)
    assert (told["n_employees"], told["n_known_to_have_left"]) == (N_EMPLOYEES - N_LEFT, N_LEFT)
    assert list(told["by_tier"]) == ["high", "medium", "low", "very low"]
    assert sum(told["by_tier"].values()) == told["n_employees"]
    assert told["is_champion"]
    assert "Note" not in invoke("show").output


def test_before_the_first_scoring_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = make_platform(tmp_path)
    monkeypatch.setattr(scored_commands, "_platform", lambda: empty)

    for arguments in (["show"], ["export", "--out", str(tmp_path / "out.csv")]):
        error = invoke(*arguments).exception
        assert isinstance(error, StoreError)
        assert "attrition score" in str(error)
    assert not (tmp_path / "out.csv").exists()


def test_another_champion_scores_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    platform, _ = make_scored(tmp_path)
    monkeypatch.setattr(scored_commands, "_platform", lambda: platform)
    before = scored(platform)
    record(platform, V2, seed=2)
    assert "another model is champion by now" in invoke("show").output
    score(platform)
    after = scored(platform)

    assert after["pseudonym"].to_list() == before["pseudonym"].to_list()
    assert set(after["model_version"]) == {V2}
    assert after["score"].to_list() != before["score"].to_list()
