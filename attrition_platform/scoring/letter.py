"""The letter to a person about an estimate that was made of them: plain words, no figures but one.

A pure function, so that the same logged prediction always gives the same letter.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from attrition_platform.modeling.policy import Advice
from attrition_platform.scoring.judgement import Reason

WIDTH = 78
_ONE_OF_TEN = 0.095  # from here to its mirror image whole tenths are honest
_MONTHS = [
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
]  # fmt: skip
_DIGITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@dataclass(frozen=True)
class Explained:
    """What a letter tells.

    Attributes
    ----------
    prediction_id, version : str
        Of the prediction, and of the model that made it.
    at : datetime
        When, in UTC.
    probability : float
        In [0, 1].
    flagged : bool
        Whether HR partners were pointed to it.
    reasons : tuple of Reason
        The strongest first; may be empty.
    read : tuple of str
        Labels of the columns that the model read.
    unread : tuple of str
        Labels of the protected columns that it did not read.
    """

    prediction_id: str
    version: str
    at: datetime
    probability: float
    flagged: bool
    reasons: tuple[Reason, ...]
    read: tuple[str, ...]
    unread: tuple[str, ...]


def write_letter(told: Explained, advice: Advice) -> str:
    """Write the letter.

    Parameters
    ----------
    told : Explained
        Of one prediction.
    advice : Advice
        The policy's words on who decides, how to contest, and what a score is not for.

    Returns
    -------
    str
        Paragraphs of at most `WIDTH` characters a line, without a line end at the end.
    """
    pointed = (
        "That is above the line from which it is pointed out to HR partners."
        if told.flagged
        else "That is below the line from which it is pointed out to HR partners."
    )
    paragraphs = [
        "Dear colleague,",
        f"on {_day(told.at)} a computer program estimated whether you might leave the company. It compared "
        f"some of what is on file about you with what was on file about others, of whom some left. "
        f"Its estimate: {in_people(told.probability)} {pointed}",
        "It is an estimate over many people. The program does not know your plans, and it can be wrong "
        "about you.",
        *_why(told.reasons),
        _what_was_read(told),
        "What you can contest. Whether the facts on file are right, whether the reasons fit you, and what "
        f"is made of the estimate. {advice.contest}",
        f"Who decides. {advice.who_decides}",
        f"What the estimate is not used for. {advice.not_for}",
        f"If you ask about this letter, please give the number {told.prediction_id}. The estimate was made "
        f"by model {told.version}.",
    ]
    return "\n\n".join(_wrapped(paragraph) for paragraph in paragraphs)


def in_people(probability: float) -> str:
    """Say a probability as a count of people, rounded no finer than it deserves.

    Examples
    --------
    >>> in_people(0.68)
    'of ten people with similar data, about seven leave.'
    >>> in_people(0.031)
    'of a hundred people with similar data, about 3 leave.'
    >>> in_people(0.0004)
    'of a hundred people with similar data, fewer than one leaves.'
    """
    if _ONE_OF_TEN <= probability <= 1 - _ONE_OF_TEN:
        n = min(9, max(1, round(10 * probability)))
        return f"of ten people with similar data, about {_DIGITS[n - 1]} {_leave(n)}."
    n = round(100 * probability)
    if n < 1:
        return "of a hundred people with similar data, fewer than one leaves."
    if n > 99:
        return "of a hundred people with similar data, more than 99 leave."
    return f"of a hundred people with similar data, about {n} {_leave(n)}."


def _leave(n: int) -> str:
    return "leaves" if n == 1 else "leave"


def _why(reasons: Sequence[Reason]) -> list[str]:
    if not reasons:
        return ["Nothing in your data moved the estimate away from what is usual."]
    way = {"raises": "made the estimate higher", "lowers": "made the estimate lower"}
    lines = [f"- {reason.label}: {way[reason.direction]}" for reason in reasons]
    what = "The main reasons, the strongest first:" if len(reasons) > 1 else "The main reason:"
    return [
        "\n".join([what, *lines]),
        "A reason says what was usual among people with similar data. It is not the cause of anything, and "
        "it is no judgement of your work.",
    ]


def _what_was_read(told: Explained) -> str:
    text = f"What the estimate was made from: {_listed(told.read)}."
    if told.unread:
        text += f" It was not told: {_listed(told.unread)}."
    return text


def _listed(labels: Sequence[str]) -> str:
    return "; ".join(labels)


def _day(at: datetime) -> str:
    # Not by strftime, whose month names hang on the machine's language.
    return f"{at.day} {_MONTHS[at.month - 1]} {at.year}"


def _wrapped(paragraph: str) -> str:
    """Break lines; a list keeps its own, and what comes after an entry's first line is indented."""
    return "\n".join(
        textwrap.fill(
            line,
            WIDTH,
            subsequent_indent="  " if line.startswith("- ") else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in paragraph.split("\n")
    )
