"""`attrition contract draft` and `attrition contract check`, as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from attrition_platform.cli.contract_commands import contract
from attrition_platform.contracts.toml_file import parse_contract

LINES = [f"{n},{2000 + 37 * n % 5000},{'Yes' if n % 4 == 0 else 'No'}" for n in range(1, 201)]


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(contract, [str(argument) for argument in arguments])


@pytest.fixture
def extract(tmp_path: Path) -> Path:
    path = tmp_path / "staff.csv"
    path.write_text("\n".join(["Employee ID,Pay,Attrition", *LINES]) + "\n")
    return path


@pytest.fixture
def drafted(tmp_path: Path, extract: Path) -> Path:
    path = tmp_path / "staff.toml"
    path.write_text(call("draft", extract).stdout)
    return path


def test_a_draft_is_a_contract_on_stdout_and_its_summary_on_stderr(extract: Path) -> None:
    done = call("draft", extract)

    assert done.exit_code == 0
    assert parse_contract(done.stdout, "x").name == "staff"
    assert "Read 200 rows, 3 columns." in done.stderr
    assert "label: Attrition" in done.stderr


def test_a_draft_of_another_encoding_can_be_used_as_it_is(tmp_path: Path) -> None:
    extract = tmp_path / "löhne.csv"
    extract.write_bytes(
        "\n".join(["Employee ID;Gehält;Attrition", *LINES]).replace(",", ";").encode("cp1252")
    )
    path = tmp_path / "x.toml"
    path.write_text(call("draft", extract, "--encoding", "cp1252", "--name", "pay").stdout)

    assert call("check", path, extract).exit_code == 0


def test_a_draft_with_a_named_label_and_id_and_grouped_numbers_can_be_used_as_it_is(tmp_path: Path) -> None:
    extract = tmp_path / "x.csv"
    cells = [line.split(",") for line in LINES]
    rows = [f"{n};{int(pay) / 100:.2f};{left}".replace(".", ",") for n, pay, left in cells]
    extract.write_text("\n".join(["Personal;Gehalt;Austritt", *rows]) + "\n")
    path = tmp_path / "x.toml"
    done = call("draft", extract, "--label", "Austritt", "--id", "Personal")
    path.write_text(done.stdout)

    assert "label: Austritt\n  id: Personal" in done.stderr
    assert 'decimal = ","' in done.stdout
    assert call("check", path, extract).exit_code == 0


def test_an_extract_is_accepted_under_its_own_draft_and_left_alone(extract: Path, drafted: Path) -> None:
    before = extract.read_bytes()

    done = call("check", drafted, extract)

    assert done.exit_code == 0, done.output
    assert "200 rows: 200 keep the contract, 0 (0.0%) would be quarantined." in done.stdout
    assert "would be accepted" in done.stdout
    assert extract.read_bytes() == before
    assert sorted(path.name for path in extract.parent.iterdir()) == ["staff.csv", "staff.toml"]


def test_too_many_bad_rows_are_refused_with_rule_and_rows_but_no_value(extract: Path, drafted: Path) -> None:
    lines = extract.read_text().splitlines()
    lines[3:33] = [line.replace(line.split(",")[1], "SECRET", 1) for line in lines[3:33]]
    extract.write_text("\n".join(lines) + "\n")

    done = call("check", drafted, extract)

    assert done.exit_code == 1
    assert "REFUSED" in done.stdout
    assert "pay:not-a-number" in done.stdout
    assert "3, 4, 5" in done.stdout
    assert "SECRET" not in done.output


def test_the_answer_is_also_one_json_document(extract: Path, drafted: Path) -> None:
    extract.write_text(extract.read_text().replace("\n7,", "\n7,x", 1))

    answer = json.loads(call("check", drafted, extract, "--json").stdout)

    assert answer["accepted"] is True
    assert (answer["n_rows"], answer["n_quarantined"]) == (200, 1)
    assert answer["reasons"] == [{"reason": "pay:not-a-number", "rows": 1, "examples": [7]}]


def test_rows_that_repeat_do_not_make_a_file_bad(extract: Path, drafted: Path) -> None:
    extract.write_text(extract.read_text() + "\n".join(LINES[:100]) + "\n")

    done = call("check", drafted, extract)

    assert done.exit_code == 0
    assert "row:exact-duplicate" in done.stdout
