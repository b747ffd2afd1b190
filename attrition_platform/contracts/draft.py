"""A first contract from an extract: what each column probably is, with every guess marked.

The draft is meant to train without a hand edit where the extract is ordinary, and to be read by a
person all the same: each column says why it was read the way it was.
"""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from dataclasses import dataclass

import polars as pl
from pydantic import ValidationError

from attrition_platform.contracts.draft_numbers import NUMBER, find_number_format, numbers_with_a_sign
from attrition_platform.contracts.model import Column, Contract, Kind, MissingRule, Normalise
from attrition_platform.contracts.rows import LARGEST_NUMBER
from attrition_platform.contracts.toml_file import dump_contract, explain
from attrition_platform.errors import ContractFileError

MAX_CATEGORIES = 40
MAX_COUNT_DIGITS = 15
NEARLY_UNIQUE = 0.98
LEAK_PURITY = 0.995
LEAK_MIN_ROWS = 30
MISSING_WORDS = (*Normalise().missing, "nan", "NaN")

MIN_ROWS_TO_KNOW_AN_ID = 50
MAX_PROTECTED_CODES = 10

_LABEL_WORDS = (
    "attrition", "attrited", "churn", "churned", "left", "leaver", "resigned", "quit", "terminated", "termd",
    "turnover", "exit", "exited", "leave_or_not",
)  # fmt: skip
_WEAK_LABEL_WORDS = ("target", "label", "outcome")
_POSITIVE_WORDS = (
    "left", "yes", "y", "true", "1", "leaver", "resigned", "quit", "terminated", "churned", "inactive",
    "exited", "former", "gone",
)  # fmt: skip
_ID_WORDS = ("id", "number", "no", "nr", "code", "key", "pseudonym")
_ID_SUBJECTS = ("employee", "emp", "person", "staff", "worker", "personnel", "user", "member")
_LEAK_WORDS = ("termination", "leaving", "exit", "resignation", "separation", "quit", "severance")
_PROTECTED_WORDS = (
    "age", "birth", "gender", "sex", "marital", "married", "ethnic", "ethnicity", "race", "religion", "faith",
    "disability", "disabled", "nationality", "citizenship", "citizen", "pregnant", "pregnancy", "maternity",
    "orientation", "veteran", "dob", "birthday", "birthdate", "hispanic", "latino",
)  # fmt: skip
_AGE_WORDS = ("age", "birth", "dob", "birthday", "birthdate")
_YES_NO = ({"yes", "no"}, {"y", "n"}, {"true", "false"}, {"1", "0"}, {"t", "f"})
_SIDES = {"train", "training", "test", "testing", "val", "valid", "validation", "holdout"}
_YES = ("yes", "y", "true", "1", "t")
_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("compensation", ("income", "salary", "pay", "rate", "bonus", "stock", "hike", "wage", "compensation")),
    ("tenure", ("tenure", "years", "months", "since", "hire", "hired", "service", "seniority")),
    ("satisfaction", ("satisfaction", "engagement", "balance", "survey", "recognition", "involvement")),
    ("workload", ("overtime", "travel", "distance", "hours", "remote", "commute", "shift", "projects")),
    ("career", ("role", "level", "promotion", "promotions", "department", "education", "training",
                "performance", "title", "grade", "team", "position")),
)  # fmt: skip
_ORDERS = (
    ("very low", "low", "medium", "high", "very high"),
    ("poor", "fair", "good", "very good", "excellent"),
    ("low", "below average", "average", "above average", "high"),
    ("small", "medium", "large"),
    ("entry", "junior", "mid", "senior", "lead"),
    ("never", "rarely", "sometimes", "often", "always"),
)
_NAMED_PROTECTED = "; its name says that it is protected"
_WHY_ID = "nearly every row has its own value, and the name fits"
_WHOLE = re.compile(r"-?\d+", re.ASCII)


@dataclass(frozen=True)
class _Seen:
    """A column of the extract without its missing cells; `missing_words` are those that it wrote."""

    name: str
    header: str
    present: pl.Series
    n_missing: int
    distinct: list[str]
    missing_words: frozenset[str]

    @property
    def words(self) -> list[str]:
        """The header's words in lower case."""
        spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", self.header)
        return [word for word in re.split(r"[^a-z0-9]+", spaced.lower()) if word]

    @property
    def missing(self) -> MissingRule:
        return "allow" if self.n_missing else "refuse"

    @property
    def protected(self) -> bool:
        return bool(set(self.words) & set(_PROTECTED_WORDS))


def draft_contract(
    frame: pl.DataFrame, name: str, *, label: str | None = None, identifier: str | None = None
) -> Contract:
    """Guess a contract.

    Parameters
    ----------
    frame : DataFrame
        Text by the header's names, as received.
    name : str
        Name of the contract; brought to the accepted form.
    label, identifier : str, optional
        Headers of the label and the employee id, where they are known; None to find them by their
        English names and their values.

    Returns
    -------
    Contract
        Every column has `guess`: why it was read the way it was.

    Raises
    ------
    ContractFileError
        When no column can be the label, a named column is not there, or none can be a feature.

    Examples
    --------
    >>> frame = pl.DataFrame({"Emp ID": ["1", "2", "3", "4"], "Pay": ["10", "20", "30", "20"],
    ...                       "Left": ["Yes", "No", "No", "No"]})
    >>> {name: column.kind for name, column in draft_contract(frame, "HR 2026").columns.items()}
    {'emp_id': 'id', 'pay': 'count', 'left': 'label'}
    """
    source, plain = find_number_format({header: _text(frame[header]) for header in frame.columns})
    # A cell that means "no value" stays as it is written: the contract must know the word.
    frame = frame.with_columns(pl.coalesce(values, header).alias(header) for header, values in plain.items())
    seen = _look(frame)
    outcome, others = _choose_label(seen, label, name)
    positive, why = _positive(outcome)
    why = f"you named it; {why}" if label else f"its name fits a label; {why}"
    if others:
        why += f"; these fit too: {', '.join(others)}"
    left = _text(frame[outcome.header]) == positive
    person = _named(seen, identifier, name) if identifier else _find_id(seen, outcome, frame.height)
    if person is outcome:
        raise ContractFileError(name, (f"'{outcome.header}' can't be label and id",))
    columns: dict[str, Column] = {}
    for column in seen:
        if column is outcome:
            values = tuple(sorted(column.distinct, key=lambda value: value == positive))
            columns[column.name] = Column(
                source=column.header, kind="label", values=values, positive=positive, guess=why
            )
        elif column is person:
            columns[column.name] = Column(
                source=column.header, kind="id", guess="you named it" if identifier else _WHY_ID
            )
        else:
            repeats = _repeats_id(column, person)
            columns[column.name] = _ignored(column, repeats) if repeats else _guess(column, frame, left)
    try:
        return Contract(
            name=_canonical(name, set()),
            description=f"Drafted from an extract of {frame.height:,} rows; read every guess.",
            columns=columns,
            source=source,
            normalise=_normalise(seen),
        )
    except ValidationError as error:
        raise ContractFileError(name, explain(error, lambda _: ())) from None


def render_draft(contract: Contract) -> str:
    """Write a drafted contract as TOML with its guesses as comments."""
    lines = [
        "# A drafted contract: every line marked 'guess' is one. Read them, correct what is wrong, then",
        "# `attrition contract check THIS_FILE EXTRACT`, and ATTRITION_CONTRACT=THIS_FILE to train.",
    ]
    if contract.id is None:
        lines += [
            "# No employee id was found: rows are identified by their content. Equal rows then count as one",
            "# person, a changed row as a new one, and a person may stand on several sides of the split.",
        ]
    if not contract.protected:
        lines += [
            "# No protected column was found by an English name. Set protected = true where one says how",
            "# old people are, of what gender, and the like: otherwise it reaches the model and no audit.",
        ]
    if (contract.source.decimal, contract.source.thousands) != (".", ""):
        lines.append(
            "# Some columns are numbers only with the separators of [source]: a guess for the whole file."
        )
    return "\n".join((*lines, "", dump_contract(contract)))


def _look(frame: pl.DataFrame) -> list[_Seen]:
    taken: set[str] = set()
    seen = []
    for header in frame.columns:
        text = _text(frame[header])
        present = text.drop_nulls()
        name = _canonical(header, taken)
        taken.add(name)
        distinct = present.unique().sort().to_list()
        words = frozenset(frame[header].str.strip_chars().unique().to_list()) & set(MISSING_WORDS)
        seen.append(_Seen(name, header, present, text.null_count(), distinct, words))
    return seen


def _normalise(seen: list[_Seen]) -> Normalise:
    """Declare the missing words that the extract uses beyond the usual ones, so that it passes."""
    usual = Normalise().missing
    used = frozenset[str]().union(*(column.missing_words for column in seen))
    return Normalise(missing=(*usual, *(word for word in MISSING_WORDS if word in used - set(usual))))


def _text(values: pl.Series) -> pl.Series:
    trimmed = values.str.strip_chars()
    missing = (trimmed == "") | trimmed.is_in(list(MISSING_WORDS))
    return pl.select(pl.when(~missing).then(trimmed)).to_series()


def _canonical(header: str, taken: set[str]) -> str:
    """Bring a name to lower-case letters, digits and underscores.

    >>> _canonical("Jährliches Gehalt (€)", set()), _canonical("2nd", set()), _canonical("Pay", {"pay"})
    ('jahrliches_gehalt', 'c_2nd', 'pay_2')
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", header)
    plain = unicodedata.normalize("NFKD", spaced).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:50] or "column"
    name = name if name[0].isalpha() else f"c_{name}"
    number = 2
    candidate = name
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    return candidate


def _named(seen: list[_Seen], header: str, file: str) -> _Seen:
    for column in seen:
        if column.header == header:
            return column
    close = difflib.get_close_matches(header, [column.header for column in seen], n=1)
    hint = f"; did you mean '{close[0]}'" if close else ""
    raise ContractFileError(file, (f"the extract has no column '{header}'{hint}",))


def _choose_label(seen: list[_Seen], header: str | None, file: str) -> tuple[_Seen, list[str]]:
    """The label, and headers of other columns that could be it."""
    if header is not None:
        column = _named(seen, header, file)
        if len(column.distinct) != 2:
            problem = f"'{header}' has {len(column.distinct):,} values; a label has two"
            raise ContractFileError(file, (problem,))
        return column, []
    found = _find_labels(seen)
    if not found:
        raise ContractFileError(
            file,
            (
                "no column looks like the label: one with two values and a name like 'Attrition' or 'Left'. "
                "Say which one it is with --label, or add one",
            ),
        )
    return found[0], [column.header for column in found[1:]]


def _find_labels(seen: list[_Seen]) -> list[_Seen]:
    """Columns that could be the label, the likeliest first."""
    binary = [column for column in seen if len(column.distinct) == 2]
    exact = [column for column in binary if "_".join(column.words) in _LABEL_WORDS]
    named = [column for column in binary if set(column.words) & set(_LABEL_WORDS)]
    status = [column for column in binary if "status" in column.words and _has_leaver_word(column)]
    weak = [column for column in binary if "_".join(column.words) in _WEAK_LABEL_WORDS]
    return list({column.header: column for column in (*exact, *named, *status, *weak)}.values())


def _has_leaver_word(column: _Seen) -> bool:
    return any(value.casefold() in _POSITIVE_WORDS for value in column.distinct)


def _positive(label: _Seen) -> tuple[str, str]:
    words = [value for value in label.distinct if value.casefold() in _POSITIVE_WORDS]
    if len(words) == 1:
        return words[0], "one value is a word for having left"
    counts = label.present.value_counts().sort("count")
    rarer = str(counts[0, label.present.name])
    return rarer, "the rarer value is taken as 'left'"


def _find_id(seen: list[_Seen], label: _Seen, n_rows: int) -> _Seen | None:
    def fits(column: _Seen) -> bool:
        unique = column.n_missing == 0 and len(column.distinct) >= NEARLY_UNIQUE * n_rows
        words = column.words
        named = bool(set(words) & set(_ID_WORDS)) or "".join(words).endswith("id")
        return column is not label and unique and named

    candidates = [column for column in seen if fits(column)]
    about_people = [column for column in candidates if set(column.words) & set(_ID_SUBJECTS)]
    joined = [c for c in candidates if any("".join(c.words).startswith(s) for s in _ID_SUBJECTS)]
    return next(iter([*about_people, *joined, *candidates]), None)


def _repeats_id(column: _Seen, person: _Seen | None) -> str:
    """Say why a column tells nothing but who or which row it is; empty when it tells more."""
    n_rows = column.present.len()
    if column.n_missing or n_rows < MIN_ROWS_TO_KNOW_AN_ID or len(column.distinct) < NEARLY_UNIQUE * n_rows:
        return ""
    if person is not None and person.n_missing == 0:
        digits = _digits(column.present)
        if (digits != "").all() and (digits == _digits(person.present)).all():
            return f"it repeats '{person.header}'"
    if _numeric_kind(column)[0] == "count":
        numbers = column.present.cast(pl.Int64)
        if int(numbers.max()) - int(numbers.min()) < 1.5 * n_rows:  # type: ignore[arg-type]
            return "it only numbers the rows or people; if it is the employee's id, name it with --id"
    return ""


def _digits(values: pl.Series) -> pl.Series:
    return values.str.replace_all("[^0-9]", "").str.strip_chars_start("0")


def _guess(column: _Seen, frame: pl.DataFrame, left: pl.Series) -> Column:
    """Decide what a column is that is neither label nor id."""
    n_present, n_distinct = column.present.len(), len(column.distinct)
    if n_distinct <= 1:
        return _ignored(column, "it has at most one value")
    if {value.casefold() for value in column.distinct} <= _SIDES:
        return _ignored(column, "it names the sides of a split that somebody else made")
    leak = _leak(column, frame, left)
    if leak:
        return _ignored(column, leak)
    if all(_is_date(value) for value in column.distinct):
        if column.protected:
            return _ignored(column, "a date that is protected; an age with bands could be audited")
        return _feature(column, "date", "all values are ISO dates")
    if column.protected and len(column.distinct) <= MAX_PROTECTED_CODES and not _is_age(column):
        return _category(column)
    kind, why = _numeric_kind(column)
    if kind is not None and not _is_yes_no(column):
        if kind == "count" and n_distinct >= NEARLY_UNIQUE * n_present and _names_people(column):
            return _ignored(column, "nearly every row has its own value: it may identify people")
        return _numeric(column, kind, why)
    if n_distinct > MAX_CATEGORIES or n_distinct >= NEARLY_UNIQUE * n_present:
        if numbers_with_a_sign(column.distinct):
            return _ignored(
                column, "numbers with a sign or unit in the cell; export plain numbers to use them"
            )
        return _ignored(column, f"{n_distinct:,} different texts: free text or an identifier")
    return _category(column)


def _is_age(column: _Seen) -> bool:
    return bool(set(column.words) & set(_AGE_WORDS)) and _numeric_kind(column)[0] is not None


def _is_yes_no(column: _Seen) -> bool:
    return {value.casefold() for value in column.distinct} in _YES_NO


def _category(column: _Seen) -> Column:
    n_distinct = len(column.distinct)
    if _is_yes_no(column):
        values = tuple(sorted(column.distinct, key=lambda value: value.casefold() in _YES))
        return _feature(column, "binary", "two values that mean no and yes", values=values)
    order = _order(column.distinct)
    if order is not None:
        return _feature(column, "ordinal", "the values have a customary order", values=order)
    if n_distinct == 2:
        return _feature(
            column, "nominal", "two texts without a customary no and yes", values=tuple(column.distinct)
        )
    return _feature(column, "nominal", f"{n_distinct} different texts", values=tuple(column.distinct))


def _ignored(column: _Seen, why: str) -> Column:
    why += _NAMED_PROTECTED if column.protected else ""
    return Column(source=column.header, kind="ignore", guess=why)


def _feature(column: _Seen, kind: Kind, why: str, values: tuple[str, ...] = ()) -> Column:
    protected = column.protected
    return Column(
        source=column.header,
        kind=kind,
        values=values,
        missing=column.missing,
        group="demographics" if protected else _group(column.words),
        protected=protected,
        guess=why + (_NAMED_PROTECTED if protected else ""),
    )


def _numeric(column: _Seen, kind: Kind, why: str) -> Column:
    plain = _feature(column, kind, why)
    numbers = column.present.cast(pl.Float64)
    numbers = numbers.filter(numbers.abs() <= LARGEST_NUMBER)  # larger ones will be quarantined
    low, high = float(numbers.min() or 0), float(numbers.max() or 0)  # type: ignore[arg-type]
    slack = high - low or 1.0
    floor = 0.0 if low >= 0 else math.floor(low - slack)
    ceiling = math.ceil(high + slack)
    bands: tuple[float, ...] = ()
    if plain.protected:
        cuts = {float(round(numbers.quantile(q) or 0)) for q in (1 / 3, 2 / 3)}
        bands = tuple(sorted(cut for cut in cuts if low < cut <= high))
    return plain.model_copy(update={"min": floor, "max": float(ceiling), "bands": bands})


def _numeric_kind(column: _Seen) -> tuple[Kind | None, str]:
    if all(_WHOLE.fullmatch(value) and len(value) <= MAX_COUNT_DIGITS for value in column.distinct):
        return "count", "all values are whole numbers"
    if all(NUMBER.fullmatch(value) for value in column.distinct):
        return "continuous", "all values are numbers"
    return None, ""


def _names_people(column: _Seen) -> bool:
    return bool(set(column.words) & set(_ID_WORDS)) or "".join(column.words).endswith("id")


def _leak(column: _Seen, frame: pl.DataFrame, left: pl.Series) -> str:
    """Say why a column may be known only after the employee left; empty when it need not be."""
    if set(column.words) & set(_LEAK_WORDS):
        return "its name speaks of leaving: it may be known only afterwards"
    known = left.is_not_null()
    text = _text(frame[column.header]).filter(known)
    outcome = left.filter(known)
    if column.n_missing and _tells(text.is_not_null(), outcome):
        return "it is filled just where people left: it is known only afterwards"
    if len(column.distinct) <= MAX_CATEGORIES:
        table = pl.DataFrame({"value": text, "left": outcome})
        if _tells(table.select(pl.col("left").mean().over("value") > 0.5).to_series(), outcome):
            return "it alone tells who left"
    elif _numeric_kind(column)[0] is not None and _has_telling_cut(text.cast(pl.Float64), outcome):
        return "it alone tells who left: they lie on one side of a value, the others on the other"
    return ""


def _tells(guessed: pl.Series, outcome: pl.Series) -> bool:
    """Whether a guess is right for nearly all who left and nearly all who stayed.

    Both are asked for: where few leave, a guess that nobody does is nearly always right.
    """
    right = guessed == outcome
    shares = [right.filter(side) for side in (outcome, ~outcome)]
    return all(len(side) >= LEAK_MIN_ROWS and int(side.sum()) >= LEAK_PURITY * len(side) for side in shares)


def _has_telling_cut(numbers: pl.Series, outcome: pl.Series) -> bool:
    """Whether a single cut through the numbers parts those who left from those who stayed."""
    table = pl.DataFrame({"n": numbers, "left": outcome}).drop_nulls().group_by("n").agg(
        pl.col("left").sum().alias("left"), pl.len().alias("all")
    ).sort("n")  # fmt: skip
    below_left = table["left"].cum_sum()
    below_stayed = (table["all"] - table["left"]).cum_sum()
    balance = (below_left / max(below_left[-1], 1) - below_stayed / max(below_stayed[-1], 1)).abs()
    cut = table["n"][balance.arg_max() or 0]
    above = numbers > cut
    return any(_tells(side.fill_null(False), outcome) for side in (above, ~above))


def _is_date(value: str) -> bool:
    return re.fullmatch(r"\d{4}-\d{2}-\d{2}", value) is not None


def _order(values: list[str]) -> tuple[str, ...] | None:
    by_folded = {value.casefold(): value for value in values}
    for order in _ORDERS:
        if set(by_folded) <= set(order):
            return tuple(by_folded[word] for word in order if word in by_folded)
    return None


def _group(words: list[str]) -> str:
    for group, names in _GROUPS:
        if set(words) & set(names):
            return group
    return "other"
