"""Pseudonyms and split buckets: stable, keyed, and independent of one another."""

import hashlib
import hmac

import polars as pl
import pytest

from attrition_platform.contracts.identity import pseudonyms, split_buckets, with_identity
from attrition_platform.contracts.model import Contract

KEY = b"a secret of 24 bytes yes"


def make_contract(*, with_id: bool = True, trim: bool = True) -> Contract:
    columns = {
        "pay": {"source": "Pay", "kind": "continuous"},
        "team": {"source": "Team", "kind": "nominal", "values": ["A", "B"]},
        "left": {"source": "Left", "kind": "label", "values": ["No", "Yes"], "positive": "Yes"},
    }
    if with_id:
        columns["staff_no"] = {"source": "No", "kind": "id"}
    return Contract.model_validate({"name": "staff", "columns": columns, "normalise": {"trim": trim}})


@pytest.mark.parametrize("key", [KEY, b"k" * 64, b"k" * 65, b"k" * 200])
def test_a_pseudonym_is_the_standard_hmac(key: bytes) -> None:
    """The fast form must stay what any other tool would compute."""
    expected = hmac.digest(key, "é-17".encode(), hashlib.sha256).hex()[:32]

    assert pseudonyms(["é-17"], key) == [expected]


def test_a_pseudonym_changes_with_the_key_and_the_bucket_does_not() -> None:
    ids = [str(number) for number in range(50)]

    assert not set(pseudonyms(ids, KEY)) & set(pseudonyms(ids, KEY + b"!"))
    assert split_buckets(ids, "seed") == split_buckets(ids, "seed")
    assert split_buckets(ids, "seed") != split_buckets(ids, "another")


def test_a_short_key_is_no_secret() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        pseudonyms(["1"], b"short")


def test_blank_ids_have_neither_pseudonym_nor_bucket() -> None:
    assert pseudonyms(["  ", "", None], KEY) == [None, None, None]
    assert split_buckets(["  ", "", None], "seed") == [None, None, None]


def test_buckets_of_consecutive_ids_are_even() -> None:
    """Chi-square over 100 buckets of 100,000 consecutive ids stays below its 99.99 % point."""
    buckets = split_buckets([str(number) for number in range(100_000)], "attrition-split-1")
    counts = [buckets.count(bucket) for bucket in range(100)]

    assert sum((count - 1000) ** 2 / 1000 for count in counts) < 161


def test_the_raw_id_is_gone_once_rows_have_an_identity() -> None:
    raw = pl.DataFrame({"staff_no": ["planted-4711"], "pay": ["1"], "team": ["A"], "left": ["No"]})

    identified = with_identity(raw, make_contract(), KEY)

    assert "staff_no" not in identified.columns
    assert "planted-4711" not in str(identified.to_dicts())
    assert identified.schema["split_bucket"] == pl.UInt8


def test_without_an_id_the_content_but_not_the_label_tells_who_a_row_is() -> None:
    raw = pl.DataFrame(
        {"pay": ["1", " 1", "2", None], "team": ["A"] * 4, "left": ["No", None, "No", "No"]},
        schema_overrides={"pay": pl.String},
    )

    who = with_identity(raw, make_contract(with_id=False), KEY)["pseudonym"].to_list()

    assert who[0] == who[1]
    assert len(set(who)) == 3


def test_cells_can_not_run_into_one_another() -> None:
    contract = make_contract(with_id=False)
    raw = pl.DataFrame({"pay": ["1", "1A"], "team": ["AB", "B"], "left": [None, None]})

    assert with_identity(raw, contract, KEY)["pseudonym"].n_unique() == 2
