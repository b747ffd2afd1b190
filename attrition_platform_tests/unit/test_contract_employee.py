"""One employee's data, from JSON or text: taken as the contract says, refused with every reason."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from attrition_platform.contracts.employee import (
    MAX_PROBLEMS,
    Employee,
    EmployeeReader,
    describe_field,
    json_schema,
)
from attrition_platform.contracts.model import Contract
from attrition_platform.contracts.rows import LARGEST_NUMBER
from attrition_platform.errors import FieldProblem, InvalidEmployeeError

COLUMNS: dict[str, dict[str, Any]] = {
    "staff_no": {"source": "Staff no", "kind": "id"},
    "site": {"source": "Site", "kind": "nominal", "values": ["Köln", "Land’s End"]},
    "level": {"source": "Level", "kind": "ordinal", "values": ["Low", "Medium", "High"], "missing": "allow"},
    "remote": {"source": "Remote", "kind": "binary", "values": ["No", "Yes"], "label": "Works remotely"},
    "years": {"source": "Years", "kind": "count", "min": 0, "max": 80, "unit": "years"},
    "pay": {"source": "Pay", "kind": "continuous", "min": 0, "max": 1e6, "description": "Before tax."},
    "trend": {"source": "Trend", "kind": "continuous", "missing": "allow"},
    "hired": {"source": "Hired", "kind": "date", "missing": "allow"},
    "age": {"source": "Age", "kind": "count", "protected": True},
    "left": {"source": "Left", "kind": "label", "values": ["No", "Yes"], "positive": "Yes"},
    "note": {"source": "Note", "kind": "ignore"},
}
READS = ("site", "level", "remote", "years", "pay", "trend", "hired")
JSON_ROW: dict[str, object] = {"site": "Köln", "level": "High", "remote": "Yes", "years": 3, "pay": 4000.5}
JSON_ROW |= {"trend": -1, "hired": "2026-03-01"}
TEXT_ROW = {name: str(value) for name, value in JSON_ROW.items()}


def make_contract(columns: dict[str, dict[str, Any]] | None = None, **rest: Any) -> Contract:
    changed = {name: column | (columns or {}).get(name, {}) for name, column in COLUMNS.items()}
    return Contract.model_validate({"name": "plant", "columns": changed} | rest)


def read(reader: EmployeeReader | None = None, **fields: object) -> Employee:
    return (reader or EmployeeReader(make_contract(), READS)).read(JSON_ROW | fields)


def read_text(contract: Contract | None = None, **fields: str | None) -> Employee:
    return EmployeeReader(contract or make_contract(), READS).read_text(TEXT_ROW | fields)


def problems_of(**fields: object) -> tuple[FieldProblem, ...]:
    with pytest.raises(InvalidEmployeeError) as raised:
        read(**fields)
    return raised.value.problems


def codes_of_text(contract: Contract | None = None, **fields: str | None) -> list[tuple[str, str]]:
    with pytest.raises(InvalidEmployeeError) as raised:
        read_text(contract, **fields)
    return [(problem.field, problem.code) for problem in raised.value.problems]


def test_a_good_object_becomes_typed_values_in_the_contracts_order() -> None:
    employee = read(staff_no=17)

    assert employee.values == JSON_ROW | {"hired": dt.date(2026, 3, 1)}
    assert list(employee.values) == list(READS)
    assert (employee.id, employee.ignored) == ("17", ())
    assert type(employee.values["trend"]) is float


def test_text_means_the_same_as_json() -> None:
    assert read_text(staff_no=" 17 ") == read(staff_no="17\n")


@pytest.mark.parametrize(
    ("field", "given", "taken"),
    [
        ("site", "Land's End", "Land’s End"),
        ("site", "  Köln ", "Köln"),
        ("remote", True, "Yes"),
        ("remote", False, "No"),
        ("remote", "y", "Yes"),
        ("years", 3.0, 3),
        ("years", -0.0, 0),
        ("years", 80, 80),
        ("pay", 0, 0.0),
        ("pay", 1_000_000, 1e6),
        ("trend", LARGEST_NUMBER, LARGEST_NUMBER),
        ("trend", None, None),
        ("level", None, None),
        ("hired", None, None),
    ],
)
def test_what_a_json_field_takes(field: str, given: object, taken: object) -> None:
    value = read(**{field: given}).values[field]

    assert value == taken
    assert type(value) is type(taken)


@pytest.mark.parametrize(
    ("field", "given", "code"),
    [
        ("site", "Bonn", "unseen-category"),
        ("site", "köln", "unseen-category"),
        ("site", "", "unseen-category"),
        ("site", "=Köln", "formula-cell"),
        ("site", "Köln\x00", "control-character"),
        ("site", True, "not-text"),
        ("site", 1, "not-text"),
        ("site", ["Köln"], "not-text"),
        ("site", {}, "not-text"),
        ("level", "NA", "unseen-category"),
        ("remote", 1, "not-text"),
        ("remote", 1.0, "not-text"),
        ("years", True, "not-a-number"),
        ("years", "3", "not-a-number"),
        ("years", [3], "not-a-number"),
        ("years", 3.5, "not-whole"),
        ("years", float("nan"), "not-finite"),
        ("years", float("inf"), "not-finite"),
        ("years", -1, "out-of-range"),
        ("years", 81, "out-of-range"),
        ("years", 1e300, "out-of-range"),
        ("years", 10**4000, "out-of-range"),
        ("pay", "4000", "not-a-number"),
        ("pay", False, "not-a-number"),
        ("pay", float("-inf"), "not-finite"),
        ("pay", float("nan"), "not-finite"),
        ("pay", 1_000_000.01, "out-of-range"),
        ("trend", 1.1 * LARGEST_NUMBER, "out-of-range"),
        ("trend", -(10**4000), "out-of-range"),
        ("hired", "2026-3-1", "not-a-date"),
        ("hired", "2026-02-30", "not-a-date"),
        ("hired", "0000-01-01", "not-a-date"),
        ("hired", "20260301", "not-a-date"),
        ("hired", "٢٠٢٦-03-01", "not-a-date"),
        ("hired", 20260301, "not-a-date"),
        ("hired", True, "not-a-date"),
        ("site", None, "missing"),
        ("pay", None, "missing"),
    ],
)
def test_what_a_json_field_refuses(field: str, given: object, code: str) -> None:
    assert [(p.field, p.code) for p in problems_of(**{field: given})] == [(field, code)]


@pytest.mark.parametrize("field", ["remote", "years", "pay", "hired"])
def test_an_absent_field_is_a_missing_value(field: str) -> None:
    reader = EmployeeReader(make_contract({"hired": {"missing": "refuse"}}), READS)

    with pytest.raises(InvalidEmployeeError, match=f"{field}: .* \\(missing\\)"):
        reader.read({name: value for name, value in JSON_ROW.items() if name != field})


def test_a_rule_says_what_is_allowed_in_plain_words() -> None:
    given = dict.fromkeys(READS, object())

    assert {p.field: p.rule for p in problems_of(**given)} == {
        "site": "one of Köln, Land’s End",
        "level": "one of Low, Medium, High",
        "remote": "one of No, Yes",
        "years": "a whole number from 0 to 80",
        "pay": "a number from 0 to 1000000",
        "trend": "a number from -1e15 to 1e15",
        "hired": "a date like 2026-03-01",
    }


def test_a_rule_of_many_values_names_some_and_counts_the_rest() -> None:
    contract = make_contract({"site": {"values": [f"S{number}" for number in range(500)]}})

    assert describe_field("site", contract).rule.endswith("S28, S29 and 470 more")


def test_all_problems_come_at_once_in_the_contracts_order_and_unknown_fields_last() -> None:
    found = problems_of(salary=1, hired="soon", site="Bonn", years=None, staff_no=[])

    assert [(p.field, p.code) for p in found] == [
        ("staff_no", "not-an-id"),
        ("site", "unseen-category"),
        ("years", "missing"),
        ("hired", "not-a-date"),
        ("salary", "unknown-field"),
    ]


@pytest.mark.parametrize("name", ["left", "Left", "Site", "salary", ""])
def test_the_label_and_names_that_are_not_canonical_are_unknown(name: str) -> None:
    assert [p.code for p in problems_of(**{name: "Yes"})] == ["unknown-field"]


def test_what_the_model_does_not_read_is_named_and_never_looked_at() -> None:
    class Untouchable:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError("somebody looked")

    employee = read(note=Untouchable(), age=Untouchable())

    assert employee.ignored == ("note", "age")
    assert {"note", "age"}.isdisjoint(employee.values)


def test_an_unknown_fields_name_is_shown_short_and_harmless() -> None:
    (found,) = problems_of(**{"<b>Ana Müller</b>\n" + "x" * 100_000: 1})

    assert found.field.startswith("?b?Ana M?ller??b??xxx")
    assert len(found.field) == 64
    assert "?" in problems_of(**{"\ud800": 1})[0].field


def test_a_flood_of_problems_is_cut_and_counted() -> None:
    found = problems_of(site="Bonn", **{f"field_{number}": 1 for number in range(1000)})

    assert len(found) == MAX_PROBLEMS + 1
    assert found[0].field == "site"
    assert found[-1].code == "more-problems"
    assert found[-1].rule == "981 more problems"


def test_as_many_problems_as_are_shown_need_no_count() -> None:
    found = problems_of(**{f"field_{number}": 1 for number in range(MAX_PROBLEMS)})

    assert [p.code for p in found] == ["unknown-field"] * MAX_PROBLEMS


def test_no_problem_quotes_a_value() -> None:
    given: dict[str, object] = dict.fromkeys((*READS, "salary"), "PLANTED-4711")

    with pytest.raises(InvalidEmployeeError) as raised:
        read(staff_no={"PLANTED-4712": 1}, **given)

    assert len(raised.value.problems) == len(READS) + 2
    assert "PLANTED" not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "taken"), [("", None), ("  ", None), (None, None), (17.0, "17"), (-3, "-3"), ("a b", "a b")]
)
def test_an_id_is_trimmed_text(given: object, taken: str | None) -> None:
    assert read(staff_no=given).id == taken


@pytest.mark.parametrize("given", [True, 1.5, float("nan"), 10**4000, [], "\ud800"])
def test_what_is_no_id_is_refused(given: object) -> None:
    assert [(p.field, p.code) for p in problems_of(staff_no=given)] == [("staff_no", "not-an-id")]


def test_a_contract_without_an_id_knows_no_id_field() -> None:
    columns = {name: column for name, column in COLUMNS.items() if name != "staff_no"}
    reader = EmployeeReader(Contract.model_validate({"name": "plant", "columns": columns}), READS)

    assert reader.read(JSON_ROW).id is None
    with pytest.raises(InvalidEmployeeError, match=r"staff_no.*unknown-field"):
        reader.read(JSON_ROW | {"staff_no": 1})


def test_a_reader_of_columns_that_the_contract_has_not_is_refused() -> None:
    with pytest.raises(ValueError, match="no feature columns left, salary"):
        EmployeeReader(make_contract(), ["site", "salary", "left"])


def test_words_for_no_value_are_for_text_only() -> None:
    assert read_text(level="NA", trend=" N/A ", hired="").values["level"] is None
    assert codes_of_text(pay="null", site=None) == [("site", "missing"), ("pay", "missing")]


def test_text_numbers_follow_the_contracts_separators() -> None:
    contract = make_contract(source={"decimal": ",", "thousands": "."})

    assert read_text(contract, pay="4.000,5", trend="-1").values["pay"] == 4000.5
    assert codes_of_text(contract, pay="4.00,5") == [("pay", "not-a-number")]
    assert codes_of_text(contract, pay="1", years="3.0") == [("years", "not-a-number")]


def test_folding_case_prefers_the_exact_value() -> None:
    contract = make_contract({"site": {"values": ["Bonn", "bonn"]}}, normalise={"case": True})

    assert read_text(contract, site="bonn").values["site"] == "bonn"
    assert read_text(contract, site="BONN").values["site"] == "Bonn"


def test_space_around_a_value_stays_where_the_contract_does_not_trim() -> None:
    contract = make_contract(normalise={"trim": False})

    assert codes_of_text(contract, site="Köln ") == [("site", "unseen-category")]
    with pytest.raises(InvalidEmployeeError, match="unseen-category"):
        read(EmployeeReader(contract, READS), site="Köln ")


def test_ids_in_text_are_optional_and_checked() -> None:
    assert read_text(staff_no="   ").id is None
    assert codes_of_text(staff_no="\udfff") == [("staff_no", "not-an-id")]


def test_a_field_is_described_for_people() -> None:
    level = describe_field("level", make_contract())

    assert (level.label, level.kind, level.may_be_missing) == ("Level", "ordinal", True)
    assert level.values == ("Low", "Medium", "High")
    years = describe_field("years", make_contract())
    assert (years.min, years.max, years.unit, years.may_be_missing) == (0, 80, "years", False)
    assert describe_field("remote", make_contract()).label == "Works remotely"
    assert describe_field("pay", make_contract()).description == "Before tax."
    assert describe_field("staff_no", make_contract()).may_be_missing


def test_the_schema_says_what_the_reader_takes() -> None:
    schema = json_schema(make_contract(), READS)
    properties = schema["properties"]

    assert set(properties) == set(COLUMNS) - {"left"}
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["site", "remote", "years", "pay"]
    assert properties["site"]["enum"] == ["Köln", "Land’s End"]
    assert properties["level"]["enum"] == ["Low", "Medium", "High", None]
    assert properties["remote"]["type"] == ["string", "boolean"]
    assert properties["remote"]["enum"] == ["No", "Yes", False, True]
    assert (properties["years"]["type"], properties["years"]["maximum"]) == ("integer", 80)
    assert properties["trend"]["type"] == ["number", "null"]
    assert properties["trend"]["maximum"] == LARGEST_NUMBER
    assert properties["hired"] == {"title": "Hired", "type": ["string", "null"], "format": "date"}
    assert properties["staff_no"]["type"] == ["string", "integer", "null"]
    assert properties["pay"]["description"] == "Before tax."
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema


@pytest.mark.parametrize("name", ["age", "note"])
def test_the_schema_has_no_rule_for_what_is_not_read(name: str) -> None:
    told = json_schema(make_contract(), READS)["properties"][name]

    assert set(told) == {"title", "description"}
    assert told["description"] == "Not read by this model: ignored."


def test_the_limits_of_the_schema_are_taken_and_what_is_beyond_is_refused() -> None:
    contract = make_contract()
    reader = EmployeeReader(contract, (*READS, "age"))
    properties = json_schema(contract, (*READS, "age"))["properties"]

    for name in ("years", "pay", "trend", "age"):
        low, high = properties[name]["minimum"], properties[name]["maximum"]
        assert reader.read(JSON_ROW | {"age": 1, name: low}).values[name] == low
        assert reader.read(JSON_ROW | {"age": 1, name: high}).values[name] == high
        for beyond in (low - 1, high + 1):
            with pytest.raises(InvalidEmployeeError, match=f"{name}: .*out-of-range"):
                reader.read(JSON_ROW | {"age": 1, name: beyond})
