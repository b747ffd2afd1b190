"""One employee's data as a model reads it, from a JSON object or from typed text.

A reader is made once per model and asked once per employee. It looks at the columns that the model
reads and at no other: whoever sends a protected attribute that the model does not use gets it back
by name as ignored, and its value goes nowhere. All problems are found at once, and none of them
quotes a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from attrition_platform.contracts.model import CATEGORICAL_KINDS, Column, Contract, Kind
from attrition_platform.contracts.one_value import (
    LARGEST_COUNT,
    SMALLEST_COUNT,
    json_reader,
    limits,
    rule_of,
    text_reader,
    when_missing,
)
from attrition_platform.errors import FieldProblem, InvalidEmployeeError

MAX_PROBLEMS = 20
MAX_NAME_SHOWN = 64
_UNSAFE = re.compile(r"[^A-Za-z0-9_ .-]")


@dataclass(frozen=True, slots=True)
class Employee:
    """What a model may know of one employee.

    Attributes
    ----------
    values : dict of str to object
        By canonical name, in the contract's order, every column that the model reads: a category as
        the contract spells it, an int for a count, a float, a `datetime.date`, or None where the value
        is missing and the contract allows that.
    id : str or None
        The employee id without white space around it; None where none was given.
    ignored : tuple of str
        Fields that the contract knows and the model does not read, as they were sent.
    """

    values: dict[str, object]
    id: str | None
    ignored: tuple[str, ...]


class EmployeeReader:
    """Reads employees for one model.

    Parameters
    ----------
    contract : Contract
        What a good value is.
    reads : collection of str
        Contract columns that the model needs, such as `FeatureSpec.source_columns`.

    Raises
    ------
    ValueError
        If the contract has no such feature column.

    Examples
    --------
    >>> from attrition_platform.contracts.toml_file import shipped_contract
    >>> reader = EmployeeReader(shipped_contract(), ["overtime", "education_level"])
    >>> reader.read({"employee_id": 17, "overtime": True, "education_level": "Master's Degree", "age": 40})
    Employee(values={'overtime': 'Yes', 'education_level': 'Master’s Degree'}, id='17', ignored=('age',))
    >>> reader.read({"overtime": "sometimes"})
    Traceback (most recent call last):
        ...
    attrition_platform.errors.InvalidEmployeeError: This employee can't be scored: \
overtime: one of No, Yes (unseen-category); \
education_level: one of High School, Associate Degree, Bachelor’s Degree, Master’s Degree, PhD (missing). \
Correct the data, then ask again.
    """

    def __init__(self, contract: Contract, reads: Collection[str]) -> None:
        unknown = sorted(set(reads) - contract.features.keys())
        if unknown:
            raise ValueError(f"Contract '{contract.name}' has no feature columns {', '.join(unknown)}.")
        columns = {name: column for name, column in contract.features.items() if name in set(reads)}
        self._id_name = contract.id
        self._expected = frozenset(columns) | ({contract.id} if contract.id else frozenset())
        self._ignorable = frozenset(contract.columns) - self._expected - {contract.label}
        self._order = {name: position for position, name in enumerate(contract.columns)}
        self._json = tuple(
            (name, json_reader(name, column, contract), when_missing(name, column))
            for name, column in columns.items()
        )
        self._text = tuple((name, text_reader(name, column, contract)) for name, column in columns.items())

    def read(self, fields: Mapping[str, object]) -> Employee:
        """Read a JSON object.

        Parameters
        ----------
        fields : mapping of str to object
            JSON values by canonical name. A key that is absent is a missing value, like null.

        Raises
        ------
        InvalidEmployeeError
            Lists every field that breaks a rule; what is wrong with a value has the code that
            `check_rows` would give, and beside these there are ``not-text`` and ``unknown-field``.
        """
        get = fields.get
        values: dict[str, object] = {}
        problems: list[FieldProblem] = []
        for name, read, absent in self._json:
            raw = get(name)
            value = absent if raw is None else read(raw)
            if isinstance(value, FieldProblem):
                problems.append(value)
            else:
                values[name] = value
        return self._finish(fields, values, problems, _json_id)

    def read_text(self, fields: Mapping[str, str | None]) -> Employee:
        """Read text by canonical name, such as typed answers or the cells of a row.

        Text means what it means in an extract: white space, words for "no value", separators of
        numbers and other spellings as the contract declares them.

        Raises
        ------
        InvalidEmployeeError
            Lists every field that breaks a rule, with the codes of `check_rows`.
        """
        values: dict[str, object] = {}
        problems: list[FieldProblem] = []
        for name, read in self._text:
            value = read(fields.get(name))
            if isinstance(value, FieldProblem):
                problems.append(value)
            else:
                values[name] = value
        return self._finish(fields, values, problems, _text_id)

    def _finish(
        self,
        fields: Mapping[str, Any],
        values: dict[str, object],
        problems: list[FieldProblem],
        read_id: Callable[[Any], str | FieldProblem | None],
    ) -> Employee:
        expected = self._expected
        others = [name for name in fields if name not in expected]
        unknown = [name for name in others if name not in self._ignorable]
        raw_id = None if self._id_name is None else fields.get(self._id_name)
        employee_id = None if raw_id is None else read_id(raw_id)
        if isinstance(employee_id, FieldProblem):
            problems.append(FieldProblem(str(self._id_name), employee_id.code, employee_id.rule))
        elif not (problems or unknown):
            return Employee(values, employee_id, tuple(others))
        problems.sort(key=lambda problem: self._order[problem.field])
        raise InvalidEmployeeError(_shortened(problems, unknown))


def _shortened(problems: list[FieldProblem], unknown: list[str]) -> tuple[FieldProblem, ...]:
    """All problems up to a limit; a hostile object may have a million fields."""
    n_more = len(problems) + len(unknown) - MAX_PROBLEMS
    rule = "only fields of the contract, by their canonical names"
    shown = [
        *problems,
        *(FieldProblem(harmless_name(name), "unknown-field", rule) for name in unknown[:MAX_PROBLEMS]),
    ][:MAX_PROBLEMS]
    if n_more > 0:
        shown.append(FieldProblem("other fields", "more-problems", f"{n_more} more problems"))
    return tuple(shown)


def harmless_name(name: object) -> str:
    """Show an unknown field's name without what a page or a log might take for more than text."""
    return _UNSAFE.sub("?", str(name)[:MAX_NAME_SHOWN])


_NO_ID = FieldProblem("", "not-an-id", "a text or a whole number")


def _text_id(raw: str) -> str | FieldProblem | None:
    # `strip()` as in `identity.pseudonyms`: the same id must give the same pseudonym.
    text = raw.strip()
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can spell and no file can hold
        return _NO_ID
    return text or None


def _json_id(raw: object) -> str | FieldProblem | None:
    if isinstance(raw, str):
        return _text_id(raw)
    if isinstance(raw, float) and raw.is_integer():
        raw = int(raw)
    if isinstance(raw, bool) or not isinstance(raw, int) or not SMALLEST_COUNT <= raw <= LARGEST_COUNT:
        return _NO_ID
    return str(raw)


@dataclass(frozen=True)
class FieldHelp:
    """What a form, a prompt or a description of the interface says about a field.

    Attributes
    ----------
    name : str
        Canonical name.
    label : str
        The column in plain words.
    kind : Kind
        What the values are.
    values : tuple of str
        Allowed values of a category, in the contract's order; empty for the other kinds.
    min, max : float or None
        Inclusive range of a number as the contract states it.
    unit, description : str
        Empty where the contract states none.
    may_be_missing : bool
        Whether an employee without a value can be scored.
    rule : str
        What is allowed, in words; the same that a `FieldProblem` says.
    """

    name: str
    label: str
    kind: Kind
    values: tuple[str, ...]
    min: float | None
    max: float | None
    unit: str
    description: str
    may_be_missing: bool
    rule: str


def describe_field(name: str, contract: Contract) -> FieldHelp:
    """Say what a person needs to know to fill in a field.

    Raises
    ------
    KeyError
        If the contract has no column of that canonical name.

    Examples
    --------
    >>> from attrition_platform.contracts.toml_file import shipped_contract
    >>> told = describe_field("years_at_company", shipped_contract())
    >>> told.label, told.unit, told.rule, told.may_be_missing
    ('Years at the company', 'years', 'a whole number from 0 to 80', False)
    """
    column = contract.columns[name]
    return FieldHelp(
        name=name,
        label=column.label or name.replace("_", " ").capitalize(),
        kind=column.kind,
        values=column.values,
        min=column.min,
        max=column.max,
        unit=column.unit,
        description=column.description,
        may_be_missing=column.kind in ("id", "ignore") or column.missing == "allow",
        rule=rule_of(column),
    )


def json_schema(contract: Contract, reads: Collection[str]) -> dict[str, Any]:
    """Describe what `EmployeeReader.read` takes, as JSON Schema 2020-12 (OpenAPI 3.1).

    Other declared spellings of a category are accepted and not advertised. A column that the model
    does not read has no rule here, because its value is not looked at.

    Parameters
    ----------
    contract : Contract
        Declares the fields.
    reads : collection of str
        Contract columns that the model needs.

    Examples
    --------
    >>> from attrition_platform.contracts.toml_file import shipped_contract
    >>> schema = json_schema(shipped_contract(), ["years_at_company"])
    >>> schema["required"], schema["properties"]["years_at_company"]["maximum"]
    (['years_at_company'], 80)
    """
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, column in contract.columns.items():
        if column.kind == "label":
            continue
        is_read = name in reads
        help_ = describe_field(name, contract)
        words = [help_.description, f"In {help_.unit}." if help_.unit else ""]
        words.append("" if is_read or column.kind == "id" else "Not read by this model: ignored.")
        told = {"title": help_.label, "description": " ".join(word for word in words if word)}
        rule = _schema_of(column) if is_read or column.kind == "id" else {}
        properties[name] = {key: text for key, text in told.items() if text} | rule
        if is_read and not help_.may_be_missing:
            required.append(name)
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": required,
    }


def _schema_of(column: Column) -> dict[str, Any]:
    types: list[str]
    rule: dict[str, Any] = {}
    if column.kind == "id":
        types, rule = ["string", "integer", "null"], {"minimum": SMALLEST_COUNT, "maximum": LARGEST_COUNT}
    elif column.kind in CATEGORICAL_KINDS:
        types, rule = ["string"], {"enum": [*column.values]}
        if column.kind == "binary":
            types.append("boolean")
            rule["enum"] += [False, True]
    elif column.kind == "date":
        types, rule = ["string"], {"format": "date"}
    else:
        types = ["integer" if column.kind == "count" else "number"]
        low, high = limits(column)
        rule = {"minimum": _whole_if_whole(low), "maximum": _whole_if_whole(high)}
    if column.kind != "id" and column.missing == "allow":
        types.append("null")
        if "enum" in rule:
            rule["enum"].append(None)
    return {"type": types[0] if len(types) == 1 else types} | rule


def _whole_if_whole(number: float) -> int | float:
    """Write a limit without a needless ``.0``; the largest count, which no float holds, exactly."""
    if not number.is_integer():
        return number
    return max(SMALLEST_COUNT, min(LARGEST_COUNT, int(number)))
