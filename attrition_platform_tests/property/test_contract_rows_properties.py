"""What is true of every table of texts."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from attrition_platform.contracts.pandera_schema import find_schema_problems
from attrition_platform.contracts.rows import check_rows
from attrition_platform_tests.unit.test_contract_rows import GOOD, make_contract

CONTRACT = make_contract(columns={"pay": {"missing": "allow"}})
cell = (
    st.none()
    | st.text(max_size=12)
    | st.sampled_from([*GOOD.values(), "3.0", "1e3", "nan", "PLANTED", " Mid"])
)
rows = st.lists(st.fixed_dictionaries(dict.fromkeys(GOOD, cell)), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(rows)
def test_every_row_is_in_exactly_one_frame_and_valid_ones_keep_the_schema(table) -> None:  # type: ignore[no-untyped-def]
    raw = pl.DataFrame(table, schema=dict.fromkeys(GOOD, pl.String)).with_columns(
        pl.int_range(1, len(table) + 1, dtype=pl.UInt32).alias("row_number"),
        pl.int_range(len(table)).cast(pl.String).str.zfill(32).alias("pseudonym"),
        pl.lit(5).alias("split_bucket"),
        pl.lit("ab12").alias("batch"),
    )

    found = check_rows(raw, CONTRACT)

    assert found.valid.height + found.quarantined.height == len(table)
    broken = {f"{number - 1:032d}" for number in found.quarantined["row_number"]}
    assert broken.isdisjoint(found.valid["pseudonym"].to_list())
    assert all(found.quarantined["reasons"].list.len() > 0)
    assert find_schema_problems(found.valid, CONTRACT) == ()
    reasons = [reason for reasons in found.quarantined["reasons"] for reason in reasons]
    allowed = {f"{name}:" for name in CONTRACT.columns}
    assert all("PLANTED" not in reason and any(reason.startswith(a) for a in allowed) for reason in reasons)
