"""The letter: plain words, the directions right, and no figure beyond the one."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attrition_platform.modeling.policy import Advice
from attrition_platform.scoring.judgement import Direction, Reason
from attrition_platform.scoring.letter import WIDTH, Explained, in_people, write_letter

ADVICE = Advice(
    who_decides="Your manager decides.", contest="Ask the works council.", not_for="Not for dismissal."
)
TOLD = Explained(
    prediction_id="0199c82cc00070008000000000000001",
    version="769f7be6fb99a2b4",
    at=datetime(2026, 3, 9, 23, 59, tzinfo=UTC),
    probability=0.68,
    flagged=True,
    reasons=(
        Reason("overtime", "Overtime", 0.4123, "raises"),
        Reason("pay", "Monthly income", -0.2, "lowers"),
    ),
    read=("Overtime", "Monthly income", "Job level"),
    unread=("Age", "Gender"),
)


def flat(told: Explained = TOLD, advice: Advice = ADVICE) -> str:
    """The letter without its line breaks."""
    return " ".join(write_letter(told, advice).split())


def test_it_says_what_when_and_by_which_model() -> None:
    letter = flat()

    assert "on 9 March 2026 a computer program estimated whether you might leave" in letter
    assert "of ten people with similar data, about seven leave." in letter
    assert "made by model 769f7be6fb99a2b4." in letter
    assert TOLD.prediction_id in letter


def test_each_reason_has_its_direction_the_strongest_first() -> None:
    lines = write_letter(TOLD, ADVICE).splitlines()

    first = lines.index("- Overtime: made the estimate higher")
    assert lines[first + 1] == "- Monthly income: made the estimate lower"


def test_without_reasons_it_says_that_nothing_moved_the_estimate() -> None:
    letter = flat(replace(TOLD, reasons=()))

    assert "Nothing in your data moved the estimate" in letter
    assert "main reason" not in letter


def test_the_policy_says_who_decides_what_can_be_contested_and_what_it_is_not_for() -> None:
    letter = flat()

    for words in (ADVICE.who_decides, ADVICE.contest, ADVICE.not_for):
        assert words in letter


def test_it_names_what_was_read_and_which_protected_data_was_not() -> None:
    assert "made from: Overtime; Monthly income; Job level. It was not told: Age; Gender." in flat()
    assert "not told" not in flat(replace(TOLD, unread=()))


@pytest.mark.parametrize(("flagged", "where"), [(True, "above"), (False, "below")])
def test_it_says_on_which_side_of_the_line_the_estimate_is(flagged: bool, where: str) -> None:
    assert f"That is {where} the line" in flat(replace(TOLD, flagged=flagged))


def test_it_uses_no_jargon() -> None:
    letter = flat(advice=Advice()).lower()

    for word in (
        "probabilit",
        "threshold",
        "log-odds",
        "feature",
        "tier",
        "coefficient",
        "contribution",
        "%",
    ):
        assert word not in letter, word


probabilities = st.floats(min_value=0, max_value=1)
directions: st.SearchStrategy[Direction] = st.sampled_from(("raises", "lowers"))


@given(probabilities, st.floats(-5, 5), directions)
def test_beyond_the_estimate_the_date_and_two_references_there_is_no_figure(
    probability: float, size: float, direction: Direction
) -> None:
    told = replace(TOLD, probability=probability, reasons=(Reason("a", "Overtime", size, direction),))
    letter = flat(told).replace(told.prediction_id, "").replace(told.version, "").replace("9 March 2026", "")

    assert len(re.findall(r"\d+", letter)) <= 1  # the number of people of a hundred


@given(probabilities)
def test_the_number_of_people_is_the_rounded_probability(probability: float) -> None:
    said = in_people(probability)
    words = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

    if "fewer than one" in said:
        assert probability < 0.0051
    elif "more than 99" in said:
        assert probability > 0.9949
    elif said.startswith("of ten"):
        (n,) = (n for n, word in enumerate(words, 1) if f"about {word} " in said)
        assert abs(n / 10 - probability) <= 0.0501
    else:
        assert abs(int(re.findall(r"\d+", said)[0]) / 100 - probability) <= 0.0051


@given(st.lists(st.text("abc def-", min_size=1, max_size=40), min_size=1, max_size=30))
def test_no_line_is_too_long_for_a_page(labels: list[str]) -> None:
    reasons = tuple(Reason("x", label, 1.0, "raises") for label in labels)
    letter = write_letter(replace(TOLD, read=tuple(labels), reasons=reasons), ADVICE)

    assert max(map(len, letter.splitlines())) <= WIDTH


def test_equal_facts_give_an_equal_letter() -> None:
    assert write_letter(TOLD, ADVICE) == write_letter(replace(TOLD), ADVICE)
