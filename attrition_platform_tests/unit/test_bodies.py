"""What a request's body is taken for, and how little a hostile one costs."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from attrition_platform.contracts.toml_file import parse_contract
from attrition_platform.serving.bodies import MAX_BATCH, decode_batch, decode_csv, decode_fields
from attrition_platform.serving.inference_v2 import decode_tensors
from attrition_platform.serving.replies import Reply
from attrition_platform_tests.served_place import CONTRACT

TINY = parse_contract(CONTRACT, "tiny.toml")


def problem_of(reply: Any) -> dict[str, Any]:
    assert isinstance(reply, Reply)
    found: dict[str, Any] = json.loads(reply.body)
    return found


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
def test_a_number_that_is_none_is_refused_by_its_fields_name(number: str) -> None:
    """Python's own `json.dumps` writes NaN; "no JSON" would not tell which field to correct."""
    told = problem_of(decode_fields(f'{{"level": "Entry", "pay": {number}, "x": 31337}}'.encode()))

    assert told["status"] == 422
    assert [(error["field"], error["code"]) for error in told["errors"]] == [("pay", "not-finite")]
    assert "31337" not in json.dumps(told)


def test_in_a_batch_and_in_a_tensor_the_place_of_such_a_number_is_named() -> None:
    batch = problem_of(decode_batch(b'{"employees": [{"pay": 1}, {"pay": NaN}]}'))
    tensor = b'{"inputs": [{"name": "pay", "datatype": "FP64", "shape": [2], "data": [1.0, NaN]}]}'

    assert batch["errors"][0]["field"] == "employees.1.pay"
    assert "inputs.0.data.1" in problem_of(decode_tensors(tensor))["error"]


def test_the_name_of_a_field_that_holds_such_a_number_is_shown_harmlessly() -> None:
    told = problem_of(decode_fields(b'{"<script>alert(1)</script>": NaN}'))

    assert "<" not in told["errors"][0]["field"]


@pytest.mark.parametrize("body", [b"{", b'{"a": NaN', b"NaN,", b'{"a": NaN, "b": "\xff"}', b"[" * 20_000])
def test_what_is_no_json_at_all_stays_malformed(body: bytes) -> None:
    assert problem_of(decode_fields(body))["type"].endswith("malformed-json")


@pytest.mark.parametrize(
    "body",
    [
        b'{"pay": 1, "pay": 2}',
        rb'{"pay": 1, "p\u0061y": 2}',
        b'{"pay": 1, "level": "a:b", "pay": 1}',
    ],
)
def test_a_field_that_is_sent_twice_is_not_guessed_at(body: bytes) -> None:
    told = problem_of(decode_fields(body))

    assert told["status"] == 422
    assert [(error["field"], error["code"]) for error in told["errors"]] == [("pay", "repeated-field")]


def test_in_a_batch_a_field_that_is_sent_twice_is_not_guessed_at_either() -> None:
    told = problem_of(decode_batch(b'{"employees": [{"pay": 1}, {"pay": 1, "pay": 2}]}'))

    assert told["errors"][0]["code"] == "repeated-field"


@pytest.mark.parametrize("fields", [{}, {"id": "urn:hr:17"}, {"a": {"b": 1, "c": {"b": 2}}}])
def test_colons_elsewhere_are_no_repetition(fields: dict[str, Any]) -> None:
    assert decode_fields(json.dumps(fields).encode()) == fields
    assert decode_batch(json.dumps({"employees": [fields]}).encode()) == [fields]


@pytest.mark.parametrize(
    "table",
    [
        "a\n" + "1\n" * 3_000_000,
        "a\n" + "\n" * 6_000_000,
        ",".join(f"c{i}" for i in range(800_000)) + "\n",
    ],
    ids=["rows", "empty lines", "columns"],
)
def test_a_table_that_is_far_too_large_costs_next_to_nothing(table: str) -> None:
    """Reading eight million rows took 16 s, in which nobody else was answered, and gigabytes."""
    body = table.encode()
    started = time.process_time()

    assert problem_of(decode_csv(body, TINY))["status"] == 422
    assert time.process_time() - started < 0.5


def test_a_batch_of_millions_is_refused_before_it_is_built() -> None:
    body = b'{"employees": [' + b"{}," * 3_000_000 + b"{}]}"
    started = time.process_time()

    assert problem_of(decode_batch(body))["status"] == 422
    assert time.process_time() - started < 0.1


def test_a_field_of_many_that_is_sent_twice_is_found_quickly() -> None:
    fields = ",".join(f'"k{i}":1' for i in range(50_000))
    started = time.process_time()

    assert problem_of(decode_fields(f'{{{fields},"k0":2}}'.encode()))["errors"][0]["field"] == "k0"
    assert time.process_time() - started < 0.5


def test_a_table_of_as_many_rows_as_are_allowed_is_read_and_one_more_is_not() -> None:
    most = "Pay\n" + "1\n" * MAX_BATCH

    assert len(decode_csv(most.encode(), TINY)) == MAX_BATCH  # type: ignore[arg-type]
    assert problem_of(decode_csv((most + "1\n").encode(), TINY))["type"].endswith("not-a-batch")
