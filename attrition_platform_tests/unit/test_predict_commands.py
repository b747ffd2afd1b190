"""`attrition predict` as people and scripts call it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result

from attrition_platform.cli import predict_commands
from attrition_platform.errors import AttritionError, InvalidEmployeeError, NoChampionError, RefusedFileError
from attrition_platform.scoring.exports import ExportError
from attrition_platform.scoring.predictor import Predictor
from attrition_platform.stages.file_predictions import predict_file, reading_contract
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.predicting import champion_arm
from attrition_platform_tests.served_place import EMPLOYEE, make_platform, record, write_policy

V1 = "1" * 16
ANSWERS = "1\nNo\n1\n2500\n"  # level, remote, promotions, pay
ROWS = [
    {"Person": "17", "Level": "Entry", "Remote": "no", "Promotions": "1", "Pay": "2500", "Age": "30"},
    {"Person": "-18", "Level": "Boss", "Remote": "Yes", "Promotions": "1.5", "Pay": "=1+1", "Age": "31"},
    {"Person": "19", "Level": "Senior", "Remote": "", "Promotions": "3", "Pay": "8000.5", "Age": "x"},
]


def use(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setattr(predict_commands, "_platform", lambda: platform)
    return platform


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    found = use(make_platform(tmp_path), monkeypatch)
    record(found, V1)
    yield found
    found.predictions.close()


def predict(*arguments: str, typed: str | bytes = "") -> Result:
    return CliRunner().invoke(predict_commands.predict, list(arguments), input=typed)


def error_of(result: Result) -> AttritionError:
    assert isinstance(result.exception, AttritionError), result.output
    return result.exception


def write_rows(folder: Path, rows: list[dict[str, str]], name: str = "in.csv") -> Path:
    pl.DataFrame(rows).write_csv(folder / name)
    return folder / name


def expected(platform: Platform, fields: dict[str, Any]) -> float:
    arm = champion_arm(platform)
    predictor = Predictor(platform.contract, platform.policy, platform.key, arm, None, 0.0, lambda: 0.0)
    return predictor.predict(fields).probability


# --- questions -----------------------------------------------------------------------------------------


def test_it_asks_for_what_the_model_reads_and_for_nothing_else(platform: Platform) -> None:
    done = predict(typed=ANSWERS)

    assert done.exit_code == 0, done.output
    asked = [line for line in done.stderr.splitlines() if line[:2] in ("1/", "2/", "3/", "4/")]
    assert [line.split("  ")[1].split(" (")[0] for line in asked] == [
        "Level",
        "Remote work",
        "Promotions",
        "Monthly pay",
    ]
    assert "Age" not in done.output


def test_the_answer_names_decision_probability_tier_reasons_model_and_limits(platform: Platform) -> None:
    done = predict(typed=ANSWERS)
    probability = expected(platform, dict(EMPLOYEE))
    (logged,) = platform.predictions.since(0)

    lines = done.stdout.splitlines()
    assert lines[0].startswith("Decision     flagged: 'Left' ('Left' from 50.0% on)")
    assert lines[1] == f"Probability  {probability:.1%}"
    assert f"Risk tier    {logged.tier}" in lines
    assert any("raises the risk" in line and ("█" in line or "#" in line) for line in lines)
    for text in (V1, logged.id, platform.policy.advice.not_for, platform.policy.advice.who_decides):
        assert text in done.stdout


def test_numbers_and_words_choose_the_same_answer(platform: Platform) -> None:
    for typed in ("1", "Entry"):
        predict(typed=f"{typed}\nNo\n1\n2500\n")

    first, second = platform.predictions.since(0)
    assert first.inputs_hash == second.inputs_hash


def test_a_number_that_may_be_an_answer_by_itself_is_no_choice(platform: Platform) -> None:
    """In an extract 1 means yes; as the first of "No, Yes" it would mean no."""
    predict(typed="1\n1\n1\n2500\n")
    done = predict(typed="1\nyes\n1\n2500\n")

    first, second = platform.predictions.since(0)
    assert first.inputs_hash == second.inputs_hash
    assert "1  No" not in done.stderr


def test_wrong_input_is_asked_again_with_what_is_allowed(platform: Platform) -> None:
    done = predict(typed="Boss\n9\n1\nNo\n1.5\n99\n1\nmuch\n2500\n")

    assert done.exit_code == 0
    assert (
        done.stderr.count("Not taken: that is none of the answers. Allowed: one of these, or its number") == 2
    )
    assert "Not taken: that is no whole number. Allowed: a whole number from 0 to 50." in done.stderr
    assert "Not taken: that is out of range. Allowed: a whole number from 0 to 50." in done.stderr
    assert "Not taken: that is no number. Allowed: a number from 0 to 100000." in done.stderr


def test_enter_means_unknown_only_where_the_contract_allows_it(platform: Platform) -> None:
    done = predict(typed="\n1\n\n1\n2500\n")  # level is asked twice, remote is left open

    assert done.exit_code == 0
    assert done.stderr.count("an answer is needed") == 1
    assert done.stderr.count("Enter if unknown") == 1
    (logged,) = platform.predictions.since(0)
    assert logged.probability == expected(platform, dict(EMPLOYEE) | {"remote": None})


def test_an_end_of_input_answers_nobody(platform: Platform) -> None:
    done = predict(typed="1\nNo\n")

    assert done.exit_code == 1
    assert done.stdout == ""
    assert platform.predictions.count() == 0


def test_the_id_gives_the_pseudonym_and_is_kept_nowhere(platform: Platform) -> None:
    predict("--id", " 17 ", typed=ANSWERS)
    predict("--json", "--data", json.dumps(dict(EMPLOYEE)))

    first, second = platform.predictions.since(0)
    assert first.pseudonym == second.pseudonym != first.inputs_hash


def test_an_id_that_is_none_is_refused_before_the_first_question(platform: Platform) -> None:
    done = predict("--id", "\udcff", typed=ANSWERS)

    assert isinstance(done.exception, InvalidEmployeeError)
    assert "1/4" not in done.stderr


# --- JSON ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["stdin", "data"])
def test_json_in_json_out_and_on_record(platform: Platform, way: str) -> None:
    text = json.dumps(dict(EMPLOYEE) | {"age": 44})
    done = predict("--json", typed=text) if way == "stdin" else predict("--data", text)

    told = json.loads(done.stdout)
    (logged,) = platform.predictions.since(0)
    assert told["id"] == logged.id
    assert told["probability"] == logged.probability == expected(platform, dict(EMPLOYEE))
    assert told["model_version"] == logged.version == V1
    assert told["ignored"] == ["age"]
    assert (logged.client, logged.variant, logged.inputs) == ("cli", "stable", None)


def test_json_that_can_not_be_scored_names_every_field_and_no_value(platform: Platform) -> None:
    done = predict("--json", typed='{"level": "Kaiser", "remote": "No", "pay": 5, "shoe": 47}')

    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert [(e["field"], e["code"]) for e in told["errors"]] == [
        ("level", "unseen-category"),
        ("promotions", "missing"),
        ("shoe", "unknown-field"),
    ]
    assert "Kaiser" not in done.output
    assert platform.predictions.count() == 0


@pytest.mark.parametrize(
    "typed", ["", "[1]", "17", "{", '{"a": NaN}', b"\xff\xfe", "[" * 100_000, "{" + " " * (1 << 20) + "}"]
)
def test_what_is_no_json_object_is_a_wrong_command(platform: Platform, typed: str | bytes) -> None:
    done = predict("--json", typed=typed)

    assert done.exit_code == 2
    assert "JSON object" in done.stderr or "at most" in done.stderr


def test_the_policy_decides_whether_inputs_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = write_policy(tmp_path, "\n[serving]\nlog_inputs = true\n")
    platform = use(make_platform(tmp_path, policy), monkeypatch)
    record(platform, V1)
    predict("--data", json.dumps(dict(EMPLOYEE) | {"age": 44}))

    (logged,) = platform.predictions.since(0)
    assert json.loads(logged.inputs or "") == {k: v for k, v in EMPLOYEE.items() if k != "person"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--out", "x.csv"),
        ("--force",),
        ("--file", __file__),
        ("--file", __file__, "--out", "x.csv", "--json"),
        ("--file", __file__, "--out", "x.csv", "--id", "17"),
        ("--json", "--id", "17"),
    ],
)
def test_options_that_do_not_go_together_are_a_wrong_command(platform: Platform, arguments: Any) -> None:
    assert predict(*arguments).exit_code == 2


def test_without_a_champion_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(make_platform(tmp_path), monkeypatch)

    for arguments in ([], ["--data", "{}"]):
        error = error_of(predict(*arguments))
        assert isinstance(error, NoChampionError)
        assert "make train" in str(error)


# --- files ---------------------------------------------------------------------------------------------


def test_each_row_of_a_file_is_scored_or_refused_with_its_reasons(platform: Platform, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    done = predict("--file", str(write_rows(tmp_path, ROWS)), "--out", str(out))

    assert done.exit_code == 1
    assert done.stdout == ""
    told = pl.read_csv(out, schema_overrides={"employee": pl.String}).to_dicts()
    assert [row["row_number"] for row in told] == [1, 2, 3]
    assert [row["employee"] for row in told] == ["17", "'-18", "19"]
    assert told[0]["probability"] == expected(platform, dict(EMPLOYEE))
    assert told[2]["probability"] == expected(
        platform, {"level": "Senior", "remote": None, "promotions": 3, "pay": 8000.5}
    )
    assert told[1]["probability"] is None
    assert told[1]["problems"].split("; ") == [
        "level: allowed is one of Entry, Mid, Senior (unseen-category)",
        "promotions: allowed is a whole number from 0 to 50 (not-whole)",
        "pay: allowed is a number from 0 to 100000 (not-a-number)",
    ]
    assert "Scored 2 of 3 rows" in done.stderr
    assert "REFUSED 1 rows" in done.stderr
    assert "not read by the model: age" in done.stderr
    for value in ("Boss", "=1+1", "8000.5"):
        assert value not in done.output


def test_every_answer_of_a_file_is_on_record(platform: Platform, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    predict("--file", str(write_rows(tmp_path, ROWS)), "--out", str(out))

    logged = platform.predictions.since(0)
    told = pl.read_parquet(out).drop_nulls("prediction_id")
    assert told["prediction_id"].to_list() == [one.id for one in logged]
    assert told["probability"].to_list() == [one.probability for one in logged]
    assert {one.client for one in logged} == {"cli"}


def test_a_file_without_a_bad_row_exits_0(platform: Platform, tmp_path: Path) -> None:
    done = predict("--file", str(write_rows(tmp_path, [ROWS[0]])), "--out", str(tmp_path / "out.csv.gz"))

    assert done.exit_code == 0, done.output
    assert pl.read_csv(tmp_path / "out.csv.gz")["problems"].to_list() == [None]


@pytest.mark.parametrize("kind", ["canonical", "mixed", "parquet"])
def test_columns_may_have_either_name_and_any_order(platform: Platform, tmp_path: Path, kind: str) -> None:
    names = {"Level": "level", "Remote": "remote", "Promotions": "promotions", "Pay": "pay"}
    frame = pl.DataFrame([ROWS[0]]).rename({k: v for k, v in names.items() if kind != "mixed" or k != "Pay"})
    frame = frame.select(reversed(frame.columns)).drop("Age", "Person")
    source = tmp_path / ("in.parquet" if kind == "parquet" else "in.csv")
    if kind == "parquet":
        frame.with_columns(pl.col("promotions").cast(pl.Int32), pl.col("pay").cast(pl.Float32)).write_parquet(
            source
        )
    else:
        frame.write_csv(source)

    counts = predict_file(platform, source, tmp_path / "out.csv")

    told = pl.read_csv(tmp_path / "out.csv")
    assert counts.n_refused == 0
    assert told["probability"].to_list() == [expected(platform, dict(EMPLOYEE))]
    assert "employee" not in told.columns


def test_a_missing_column_is_refused_with_both_its_names(platform: Platform, tmp_path: Path) -> None:
    source = write_rows(tmp_path, [{k: v for k, v in ROWS[0].items() if k not in ("Pay", "Age")}])

    error = error_of(predict("--file", str(source), "--out", str(tmp_path / "out.csv")))

    assert isinstance(error, RefusedFileError)
    assert "'Pay' or 'pay'" in str(error)
    assert "Age" not in str(error)
    assert sorted(p.name for p in tmp_path.glob("*.csv")) == ["in.csv"]
    assert platform.predictions.count() == 0


def test_a_column_under_both_names_is_refused(platform: Platform, tmp_path: Path) -> None:
    source = write_rows(tmp_path, [ROWS[0] | {"pay": "9000"}])

    with pytest.raises(RefusedFileError, match="Keep one of them"):
        predict_file(platform, source, tmp_path / "out.csv")


def test_a_source_name_goes_before_a_canonical_one(platform: Platform) -> None:
    """A column called "pay" in the extracts may be the contract's column "level"."""
    contract = platform.contract
    swapped = contract.columns | {
        "level": contract.columns["level"].model_copy(update={"source": "pay"}),
        "pay": contract.columns["pay"].model_copy(update={"source": "Salary"}),
    }
    found = reading_contract(
        contract.model_copy(update={"columns": swapped}), ["Salary", "pay"], ["level", "pay"], "x.csv"
    )

    assert (found.columns["pay"].source, found.columns["level"].source) == ("Salary", "pay")


def test_an_existing_answer_is_kept_and_nothing_is_scored(platform: Platform, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("mine")

    error = error_of(predict("--file", str(write_rows(tmp_path, ROWS)), "--out", str(out)))

    assert isinstance(error, ExportError)
    assert out.read_text() == "mine"
    assert platform.predictions.count() == 0
    assert predict("--file", str(tmp_path / "in.csv"), "--out", str(out), "--force").exit_code == 1
    assert out.read_text() != "mine"


def test_a_ragged_row_refuses_the_file_whole(platform: Platform, tmp_path: Path) -> None:
    source = write_rows(tmp_path, [ROWS[0]])
    source.write_text(source.read_text() + "17,Entry\n")

    error = error_of(predict("--file", str(source), "--out", str(tmp_path / "out.csv")))

    assert isinstance(error, RefusedFileError)
    assert not (tmp_path / "out.csv").exists()
    assert platform.predictions.count() == 0
