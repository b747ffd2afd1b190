"""One employee read in plain Python is what the columns of training are, byte for byte."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from attrition_platform.contracts.employee import EmployeeReader, json_schema
from attrition_platform.contracts.model import CATEGORICAL_KINDS, Column, Contract, Derived
from attrition_platform.contracts.one_value import limits, text_reader
from attrition_platform.contracts.rows import CheckedRows, check_rows
from attrition_platform.contracts.toml_file import shipped_contract
from attrition_platform.errors import FieldProblem, InvalidEmployeeError
from attrition_platform.features.groups import compute_group
from attrition_platform.features.matrix import to_matrix
from attrition_platform.features.one_row import RowMaker
from attrition_platform.features.spec import FeatureSpec, feature_spec

EVERY_KIND = Contract(
    name="every_kind",
    columns={
        "badge": Column(source="Badge", kind="id"),
        "site": Column(source="Site", kind="nominal", values=("Land’s End", "Köln", "None"), missing="allow"),
        "level": Column(source="Level", kind="ordinal", values=("Low", "Mid", "High"), group="career"),
        "remote": Column(source="Remote", kind="binary", values=("Office", "Home"), missing="allow"),
        "trips": Column(source="Trips", kind="count", missing="allow", group="pay"),
        "hours": Column(source="Hours", kind="count", min=0, max=2**53, group="pay"),
        "pay": Column(source="Pay", kind="continuous", missing="allow", group="pay"),
        "bonus": Column(source="Bonus", kind="continuous", min=-0.5, max=1e6, group="pay"),
        "hired": Column(source="Hired", kind="date", missing="allow", group="career"),
        "left": Column(source="Left", kind="label", values=("no", "yes"), positive="yes"),
    },
    derived={
        "hourly": Derived(how="ratio", of=("pay", "hours"), group="pay"),
        "share": Derived(how="ratio", of=("bonus", "pay"), group="career"),
        "gap": Derived(how="difference", of=("pay", "bonus"), group="pay"),
        "total": Derived(how="sum", of=("pay", "bonus", "trips", "hours"), group="pay"),
    },
)
_EVERY_SPEC = feature_spec(EVERY_KIND)
# A model that was trained when the contract listed other values, in another order.
OLDER_SPEC = FeatureSpec(
    names=_EVERY_SPEC.names[::-1],
    kinds=_EVERY_SPEC.kinds[::-1],
    n_categories=tuple(2 if kind == "category" else 0 for kind in _EVERY_SPEC.kinds[::-1]),
    source_columns=_EVERY_SPEC.source_columns,
    categories=tuple(("High", "Köln") if kind == "category" else () for kind in _EVERY_SPEC.kinds[::-1]),
)
Fields = dict[str, tuple[object, str | None]]  # by canonical name, the JSON value and the same as text


def numbers_of(column: Column) -> st.SearchStrategy[tuple[object, str | None]]:
    low, high = limits(column)
    if column.kind == "count":
        whole = st.integers(int(low), min(int(high), 2**63 - 1))
        return whole.map(lambda n: (n, str(n))) | whole.filter(lambda n: abs(n) <= 2**53).map(
            lambda n: (float(n), f"{n:+d}")
        )
    return st.floats(low, high, allow_nan=False).map(lambda x: (x, repr(x)))


def values_of(column: Column) -> st.SearchStrategy[tuple[object, str | None]]:
    allowed: st.SearchStrategy[tuple[object, str | None]]
    if column.kind in CATEGORICAL_KINDS:
        spelled = [*column.values, *(value.replace("’", "'") for value in column.values)]
        options: list[tuple[object, str | None]] = [(text, f" {text}\t") for text in spelled]
        if column.kind == "binary":
            options += [(True, "TRUE"), (False, "n"), ("1", "1")]
        allowed = st.sampled_from(options)
    elif column.kind == "date":
        allowed = st.dates().map(lambda day: (day.isoformat(), day.isoformat()))
    else:
        allowed = numbers_of(column)
    absent: list[tuple[object, str | None]] = [(None, None), (None, ""), (None, " N/A ")]
    return st.sampled_from(absent) | allowed if column.missing == "allow" else allowed


def employees_of(contract: Contract) -> st.SearchStrategy[list[Fields]]:
    one = st.fixed_dictionaries({name: values_of(column) for name, column in contract.features.items()})
    return st.lists(one, min_size=1, max_size=6)


def check(cells: dict[str, Sequence[str | None]], contract: Contract) -> CheckedRows:
    n_rows = len(next(iter(cells.values())))
    label = contract.columns[contract.label].values[0]
    raw = pl.DataFrame(cells, schema=dict.fromkeys(cells, pl.String)).with_columns(
        pl.lit(label).alias(contract.label),
        pl.int_range(1, n_rows + 1, dtype=pl.UInt32).alias("row_number"),
        pl.int_range(n_rows).cast(pl.String).str.zfill(32).alias("pseudonym"),
        pl.lit(5).alias("split_bucket"),
        pl.lit("ab12").alias("batch"),
    )
    return check_rows(raw, contract)


def matrix_of(employees: list[Fields], contract: Contract, spec: FeatureSpec) -> np.ndarray:
    """The way of training: text cells, validated columns, groups of features, matrix."""
    checked = check({name: [e[name][1] for e in employees] for name in contract.features}, contract)
    assert checked.n_rule_failures == {}
    groups = [
        compute_group(checked.valid, contract, group).drop("pseudonym")
        for group in {*contract.groups, *(d.group for d in contract.derived.values())}
    ]
    return to_matrix(pl.concat(groups, how="horizontal"), spec)


def assert_same_bytes(employees: list[Fields], contract: Contract, spec: FeatureSpec) -> None:
    reader, maker = EmployeeReader(contract, spec.source_columns), RowMaker(contract, spec)
    trained = matrix_of(employees, contract, spec)
    from_json = [reader.read({name: cell[0] for name, cell in e.items()}) for e in employees]
    from_text = [reader.read_text({name: cell[1] for name, cell in e.items()}) for e in employees]

    assert from_json == from_text
    for row, employee in zip(trained, from_json, strict=True):
        served = np.array(maker.vector(employee.values))
        assert served.tobytes() == row.tobytes(), (served, row)


@settings(max_examples=15, deadline=None)
@given(employees_of(shipped_contract()))
def test_an_employee_of_the_reference_data_is_the_row_that_training_made(employees: list[Fields]) -> None:
    contract = shipped_contract()

    assert_same_bytes(employees, contract, feature_spec(contract, frozenset(contract.protected)))


@settings(max_examples=30, deadline=None)
@given(employees_of(EVERY_KIND), st.sampled_from([_EVERY_SPEC, OLDER_SPEC]))
def test_an_employee_of_any_kind_of_column_is_the_row_that_training_made(
    employees: list[Fields], spec: FeatureSpec
) -> None:
    assert_same_bytes(employees, EVERY_KIND, spec)


DIALECTS: dict[str, dict[str, Any]] = {
    "usual": {},
    "german": {"source": {"decimal": ",", "thousands": "."}, "normalise": {"case": True}},
    "swiss": {"source": {"thousands": "'"}, "normalise": {"apostrophes": False}},
    "french": {"source": {"decimal": ",", "thousands": " "}, "normalise": {"trim": False}},
    "english": {"source": {"thousands": ","}, "normalise": {"missing": ["Low", "-", "Köln", "7"]}},
}
odd_numbers = st.builds(
    lambda sign, head, separator, groups, tail: sign + head + "".join(separator + g for g in groups) + tail,
    st.sampled_from(["", "+", "-", "--", " ", "$"]),
    st.sampled_from(["", "0", "1", "12", "123", "0007", "999999999999999", "9" * 19, "1" * 5000]),
    st.sampled_from([",", ".", "'", " ", "_", "’"]),
    st.lists(st.sampled_from(["000", "5", "123", ""]), max_size=3),
    st.sampled_from(["", ".0", ",5", ".25", "e3", "E-400", "e400", "e15", " ", "\n", "\x1f", "%", "x"]),
)
ODD_CHARACTERS = "\x00\x1c\x1f\x7f\x85\u00a0\u200b\ufeff'’=+-@.,0159eE"
ODD_WORDS = [
    *("nan", "-NaN", "inf", "+Infinity", "Land's End", "LAND`S END", "köln", "KÖLN ", "None", "NA", "low"),
    *("home", "TRUE", "y", "No", "ſ", "ﬁ", "=1+1", "@x", "2026-03-01", "2024-02-30", "0000-01-01"),
    *("2026-3-1", "٢٠٢٦-٠٣-٠١", "2026-03-01\n", "2026-W10-7", "١٢", "½", "\x1c7", "\x1fMid", "7\x1e"),
    *("9007199254740993", "-9223372036854775808", "9223372036854775808", "1e15", "1000000000000000.1"),
]
odd_texts = st.text(st.characters(codec="utf-8") | st.sampled_from(ODD_CHARACTERS), max_size=10)
odd_cells = st.none() | odd_texts | odd_numbers | st.sampled_from(ODD_WORDS)
cells = st.lists(odd_cells, min_size=1, max_size=25)


def judged_by_columns(texts: list[str | None], name: str, contract: Contract) -> list[object]:
    """What `check_rows` makes of each text: its value, or its reason."""
    column = contract.columns[name]
    alone = contract.model_copy(update={"columns": {name: column, "left": contract.columns["left"]}})
    found = check({name: texts}, alone)
    judged: dict[int, object] = {
        int(p): v for p, v in zip(found.valid["pseudonym"], found.valid[name], strict=True)
    }
    for number, (reason,) in found.quarantined.select("row_number", "reasons").iter_rows():
        judged[number - 1] = reason.partition(":")[2]
    return [judged[position] for position in range(len(texts))]


def judged_alone(
    texts: list[str | None], read: Callable[[str | None], object]
) -> tuple[list[object], list[object]]:
    results = [read(text) for text in texts]
    return [r.code if isinstance(r, FieldProblem) else r for r in results], results


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", EVERY_KIND.features)
@settings(max_examples=15, deadline=None)
@example(texts=["7", "1.000", "1,000", "1'000", "1 000", "\x1c7", "\u20037", "9007199254740993", "-0"])
@example(texts=["1" * 5000, "-" + "0" * 5000 + "7", "+0", "-00", "1" * 19, "-" + "9" * 19, "1e" + "9" * 5000])
@example(texts=["Köln", "köln", "Land's End", "Land’s End", "None", "Low", "low", "-", "", "Home", "YES"])
@given(texts=cells)
def test_a_text_cell_means_the_same_alone_as_in_a_column(
    dialect: str, name: str, texts: list[str | None]
) -> None:
    contract = Contract.model_validate(EVERY_KIND.model_dump() | DIALECTS[dialect])

    alone, values = judged_alone(texts, text_reader(name, contract.columns[name], contract))
    in_column = judged_by_columns(texts, name, contract)

    assert [repr(value) for value in alone] == [repr(value) for value in in_column]
    types = {type(value) for value in values} - {FieldProblem, type(None)}
    assert types <= {str, int, float, dt.date}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(st.sampled_from([*EVERY_KIND.columns, "salary"]) | st.text(max_size=5), json_values))
def test_any_json_object_is_read_or_refused_and_what_is_read_makes_a_vector(fields: dict[str, Any]) -> None:
    reader = EmployeeReader(EVERY_KIND, _EVERY_SPEC.source_columns)
    maker = RowMaker(EVERY_KIND, _EVERY_SPEC)

    for sent in (fields, {"level": "Mid", "hours": 40, "bonus": 1.5} | fields):
        try:
            employee = reader.read(sent)
        except InvalidEmployeeError:
            continue
        vector = np.array(maker.vector(employee.values))
        assert not np.isinf(vector).any()
        assert vector.shape == (len(_EVERY_SPEC.names),)


sendable = st.one_of(
    st.sampled_from([None, True, False, 1, 1.0, 40.5, -0.5, -0.51, 2**63, 10**15, 1e15 + 1, [], {}]),
    st.sampled_from(["Köln", "Mid", "Home", "1", "2026-03-01", "2024-02-30", "2026-3-1", "17"]),
    st.integers(-(2**64), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
)


@settings(max_examples=100, deadline=None)
@example(changed={"site": None, "remote": True})
@example(changed={"site": "Köln", "remote": False})
@given(st.dictionaries(st.sampled_from([*EVERY_KIND.columns, "salary"]), sendable, max_size=2))
def test_the_schema_and_the_reader_agree_on_what_is_good(changed: dict[str, Any]) -> None:
    """A number in quotes is another spelling of "yes" only for a binary column, and is not advertised."""
    jsonschema_rs = pytest.importorskip("jsonschema_rs")  # comes with schemathesis
    reads = _EVERY_SPEC.source_columns
    validator = jsonschema_rs.Draft202012Validator(json_schema(EVERY_KIND, reads), validate_formats=True)
    sent = {"level": "Mid", "hours": 40, "bonus": 1.5} | changed
    try:
        EmployeeReader(EVERY_KIND, reads).read(sent)
        is_read = True
    except InvalidEmployeeError:
        is_read = False

    assert validator.is_valid(sent) == is_read or sent.get("remote") == "1"
