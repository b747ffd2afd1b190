"""Every exception that the platform raises on purpose, as one tree.

A message says what is wrong (the rule and the facts that broke it) and what to do next. It quotes
names, keys and counts; it never quotes an employee's value. The facts are attributes too, so that
code never parses a message.

```
AttritionError
├── SettingsError           an environment variable is not usable
├── ContractFileError       a contract file is not a contract
├── PolicyFileError         a policy file is not a policy
├── RefusedFileError        an extract is refused whole
├── PopulationFileError     a generated population can't be written to that name
├── NoDataError             there is nothing to work on
├── SimulationError         a simulated year can't go on
├── NotEnoughRowsError      there are rows, but too few for what was asked
├── StoreError              a stored object is missing or is not what its name says
├── UntrustedArtefactError  a model's files are not the ones that were signed
├── TestSideReadTwiceError  a second read of the test side for the same decision
├── EvaluationMismatchError two evaluations come from different rows
├── LedgerError             the ledger refuses a record, or does not verify
├── LateRunError            a newer run has taken over; this one must not commit
├── InvalidEmployeeError    an employee's data can't be scored: which field, which rule
├── NoChampionError         no model can serve
├── ReleaseError            a release can't be approved, ramped or aborted
├── PredictionLogError      a prediction can't be put on record, so it is not answered
├── CauseStoreError         what calls for runs can't be read or recorded
└── ApiKeyError             an API key can't be made or revoked
```
"""

from __future__ import annotations

from dataclasses import dataclass


class AttritionError(Exception):
    """Base of every error below; the CLI prints its message and exits with `exit_code`."""

    exit_code = 1


def safe_words(error: Exception) -> str:
    """What may be shown of an error: our own messages name no values, others might.

    >>> safe_words(AttritionError("Column 'age' is missing.")), safe_words(ValueError("Ana is 41"))
    ("Column 'age' is missing.", 'ValueError.')
    """
    return str(error) if isinstance(error, AttritionError) else f"{type(error).__name__}."


class SettingsError(AttritionError):
    """An environment variable holds something that cannot be used."""

    exit_code = 2


class ContractFileError(AttritionError):
    """A contract file is not a contract.

    Attributes
    ----------
    file : str
        The file as the user named it.
    problems : tuple of str
        One line per problem: the key, what is wrong, the accepted form.
    """

    exit_code = 2

    def __init__(self, file: str, problems: tuple[str, ...]) -> None:
        self.file = file
        self.problems = problems
        lines = "".join(f"\n  - {problem}" for problem in problems)
        super().__init__(
            f"Contract file '{file}' is not valid (problems: {len(problems)}).{lines}\n"
            "Correct the file, then try `attrition contract check CONTRACT FILE`."
        )


class PolicyFileError(AttritionError):
    """A policy file is not a policy; attributes as in `ContractFileError`."""

    exit_code = 2

    def __init__(self, file: str, problems: tuple[str, ...]) -> None:
        self.file = file
        self.problems = problems
        lines = "".join(f"\n  - {problem}" for problem in problems)
        super().__init__(
            f"Policy file '{file}' is not valid (problems: {len(problems)}).{lines}\n"
            "Correct the file; the shipped ones are 'responsible' and 'unrestricted'."
        )


class RefusedFileError(AttritionError):
    """An extract can't be read for what it is, so none of it is taken.

    Attributes
    ----------
    reason : str
        A short stable code such as ``"encoding"`` or ``"header"``.
    line : int or None
        1-based line of the file where reading stopped making sense, if known.
    """

    def __init__(self, file: str, reason: str, detail: str, *, line: int | None = None) -> None:
        self.file = file
        self.reason = reason
        self.detail = detail
        self.line = line
        where = "" if line is None else f" (line {line})"
        super().__init__(f"File '{file}' is refused: {reason}{where}. {detail}")


class CauseStoreError(AttritionError):
    """What calls for runs can't be read or recorded."""


class PopulationFileError(AttritionError):
    """A generated population can't be written to that name."""

    exit_code = 2

    def __init__(self, file: str, rule: str) -> None:
        self.file = file
        self.rule = rule
        super().__init__(f"No population is written to '{file}': {rule}.")


class NoDataError(AttritionError):
    """There is nothing to work on; the message says where to put it."""


class SimulationError(AttritionError):
    """A simulated year can't go on; the message says in which month and why."""


class NotEnoughRowsError(AttritionError):
    """There are rows, but fewer than the step can work with.

    Attributes
    ----------
    n_rows, n_needed : int
        What there is, and the least that the step works with.
    """

    def __init__(self, what: str, n_rows: int, n_needed: int) -> None:
        self.what = what
        self.n_rows = n_rows
        self.n_needed = n_needed
        super().__init__(
            f"Not enough rows: {what} has {n_rows}, and at least {n_needed} are needed. "
            "Add an extract with more labelled employees to the inbox, then run the job again."
        )


class StoreError(AttritionError):
    """A stored object is missing, or its content is not what its name says."""


class UntrustedArtefactError(AttritionError):
    """A model's files are not the ones that were signed, so they are not loaded."""


class TestSideReadTwiceError(AttritionError):
    """The test side was asked for a second time for the same decision."""

    __test__ = False  # the name begins with "Test", which pytest would collect


class EvaluationMismatchError(AttritionError):
    """Two evaluations that are to be compared come from different rows."""

    def __init__(self, left_split: str, right_split: str) -> None:
        self.left_split = left_split
        self.right_split = right_split
        super().__init__(
            f"Evaluations of splits '{left_split[:12]}' and '{right_split[:12]}' can't be compared. "
            "Score both models on the same test rows, then decide again."
        )


class LedgerError(AttritionError):
    """The ledger refuses a record, or its chain does not verify."""


class LateRunError(AttritionError):
    """Another run moved the champion while this one was working; nothing was changed."""


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one field of an employee's data; never its value.

    Attributes
    ----------
    field : str
        Canonical name, or the name as it was sent where the contract does not know it.
    code : str
        Short and stable, such as ``missing``, ``unknown-field`` or ``unseen-category``.
    rule : str
        What is allowed, in words.
    """

    field: str
    code: str
    rule: str


class InvalidEmployeeError(AttritionError):
    """An employee's data can't be scored.

    Attributes
    ----------
    problems : tuple of FieldProblem
        All of them, in the contract's order.
    """

    def __init__(self, problems: tuple[FieldProblem, ...]) -> None:
        self.problems = problems
        lines = "; ".join(f"{p.field}: {p.rule} ({p.code})" for p in problems)
        super().__init__(f"This employee can't be scored: {lines}. Correct the data, then ask again.")


class NoChampionError(AttritionError):
    """No model can serve; the message says why and what to do."""


class ReleaseError(AttritionError):
    """A release can't be approved, ramped or aborted; the message says why."""


class PredictionLogError(AttritionError):
    """A prediction can't be put on record, so it is not answered."""


class ApiKeyError(AttritionError):
    """An API key can't be made or revoked; the message says why."""

    exit_code = 2
