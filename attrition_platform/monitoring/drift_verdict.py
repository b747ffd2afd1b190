"""What a drift decision says: of the window, of each column, and of each question about it, and in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

Outcome = Literal["drifted", "below-effect-floor", "stable", "cannot-test"]
Reason = Literal[
    "missing-column",
    "no-reference",
    "kind-changed",
    "empty",
    "empty-reference",
    "too-few-rows",
    "too-few-reference-rows",
    "constant",
    "not-finite",
]
Question = Literal["distribution", "missing-values", "new-category"]


REASONS: Final[dict[Reason, str]] = {
    "missing-column": "the window has not got it",
    "no-reference": "the champion's reference has not got it",
    "kind-changed": "it is a number on one side and a category on the other",
    "empty": "it has no value in the window",
    "empty-reference": "it has no value in the champion's reference",
    "too-few-rows": "the window has too few rows with a value",
    "too-few-reference-rows": "the champion's reference has too few rows with a value",
    "constant": "it has one and the same value everywhere",
    "not-finite": "its numbers are too large to compare",
}


@dataclass(frozen=True)
class Answer:
    """What one question about one column came to.

    Attributes
    ----------
    question : Question
    effect : float
        ``distribution``: normed Wasserstein distance of a number, Jensen-Shannon distance of a category;
        0 is no difference. ``missing-values``: Jensen-Shannon distance of the shares of cells with a value,
        missing and unreadable. ``new-category``: share of the window's values that the reference has not.
    limit : float
        The effect that counts.
    p_value : float
        In (0, 1]; it is exact or too large.
    outcome : {"drifted", "below-effect-floor", "stable"}
        ``below-effect-floor`` where the difference is certain and too small to matter.
    robust_effect : float
        ``distribution`` of a number: the same distance without the reference's outermost values, which a few
        typos can't stretch; otherwise 0.
    """

    question: Question
    effect: float
    limit: float
    p_value: float
    outcome: Outcome = "stable"
    robust_effect: float = 0.0

    @property
    def judged_effect(self) -> float:
        """What is held against the limit: the larger of both effects, NaN where the plain one is."""
        return max(self.effect, self.robust_effect)


@dataclass(frozen=True)
class NewCategory:
    """A category that the reference has not, and enough rows of the window have to be named."""

    name: str
    n_rows: int


@dataclass(frozen=True)
class ColumnVerdict:
    """What became of one column.

    Attributes
    ----------
    outcome : Outcome
        ``drifted`` if any answer is; ``cannot-test`` where the values can't be compared and nothing else
        drifted.
    reason : Reason or None
        Why the values can't be compared.
    answers : tuple of Answer
        The questions that could be asked.
    missing_share, reference_missing_share : float or None
        Cells without a readable value, in [0, 1]; None where there is no cell.
    new_categories : tuple of NewCategory
        Named ones, the most frequent first.
    n_new_category_rows : int
        Rows of all of them, named or not.
    """

    column: str
    outcome: Outcome
    reason: Reason | None
    answers: tuple[Answer, ...]
    missing_share: float | None
    reference_missing_share: float | None
    new_categories: tuple[NewCategory, ...]
    n_new_category_rows: int

    @property
    def score(self) -> float | None:
        """Effect of the distribution, which Evidently would give; None where values can't be compared."""
        return next((a.effect for a in self.answers if a.question == "distribution"), None)

    @property
    def p_value(self) -> float | None:
        """P-value of the distribution."""
        return next((a.p_value for a in self.answers if a.question == "distribution"), None)

    @property
    def findings(self) -> tuple[Question, ...]:
        """Questions whose answer is that it drifted."""
        return tuple(a.question for a in self.answers if a.outcome == "drifted")

    @property
    def text(self) -> str:
        """Say in plain words what was found."""
        if self.reason and not self.findings:
            return f"{self.column} can't be tested: {REASONS[self.reason]}."
        if not self.findings:
            score = "" if self.score is None else f" (score {self.score:.3f})"
            small = "differs a little" if self.outcome == "below-effect-floor" else "is stable"
            return f"{self.column} {small}{score}."
        return f"{self.column}: " + "; ".join(map(self._in_words, self.answers_that_drifted())) + "."

    def answers_that_drifted(self) -> tuple[Answer, ...]:
        """The answers behind `findings`."""
        return tuple(a for a in self.answers if a.outcome == "drifted")

    def _in_words(self, answer: Answer) -> str:
        if answer.question == "distribution":
            score = f"score {answer.effect:.3f}"
            if answer.effect < answer.limit:
                score += f", or {answer.robust_effect:.3f} without the outermost values"
            return f"its values are distributed otherwise ({score}, limit {answer.limit:g})"
        if answer.question == "missing-values":
            before, now = self.reference_missing_share or 0.0, self.missing_share or 0.0
            return f"cells without a readable value went from {before:.1%} to {now:.1%}"
        names = ", ".join(f"'{new.name}' ({new.n_rows} rows)" for new in self.new_categories)
        return (
            f"{answer.effect:.1%} of its values are in categories that training never saw"
            f"{f': {names}' if names else ''} ({answer.limit:.1%} is tolerated, whatever the score)"
        )

    def as_json(self) -> dict[str, Any]:
        """JSON values, without the column's name."""
        facts = asdict(self) | {
            "answers": [asdict(answer) for answer in self.answers],
            "new_categories": [asdict(new) for new in self.new_categories],
            "score": self.score,
            "p_value": self.p_value,
            "findings": list(self.findings),
            "text": self.text,
        }
        del facts["column"]
        return facts


@dataclass(frozen=True)
class DriftVerdict:
    """What became of a window.

    Attributes
    ----------
    n_rows, n_reference_rows : int
    level : float
        Chance of any false alarm in this window.
    by_column : dict of str to ColumnVerdict
        Every column that either side has, by name.
    """

    n_rows: int
    n_reference_rows: int
    level: float
    by_column: dict[str, ColumnVerdict]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that drifted."""
        return tuple(name for name, verdict in self.by_column.items() if verdict.outcome == "drifted")

    @property
    def drifted(self) -> bool:
        """Whether any column drifted."""
        return bool(self.columns)

    @property
    def untested(self) -> tuple[str, ...]:
        """Columns whose values could not be compared."""
        return tuple(name for name, verdict in self.by_column.items() if verdict.reason)

    @property
    def score(self) -> float | None:
        """Largest judged distance, of any column's values or missing cells; None if nothing was tested.

        A share of new categories is no distance and has a limit of its own, so a column that drifted in
        nothing else may come with a small score; its text says so.
        """
        effects = [
            answer.judged_effect
            for verdict in self.by_column.values()
            for answer in verdict.answers
            if answer.question != "new-category"
        ]
        return max(effects, default=None)

    def as_json(self) -> dict[str, Any]:
        """JSON values for an asset's facts; the only values among them are categories that may be named."""
        return {
            "n_rows": self.n_rows,
            "n_reference_rows": self.n_reference_rows,
            "level": self.level,
            "drifted": self.drifted,
            "score": self.score,
            "columns": list(self.columns),
            "untested": list(self.untested),
            "by_column": {name: verdict.as_json() for name, verdict in self.by_column.items()},
        }
