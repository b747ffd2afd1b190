"""The contract of a dataset: its columns, their kinds, and what a good value is.

A contract is a TOML file. Everything downstream (reading, validation, features, splits, audit,
model card) is derived from it; no other module names a column of any dataset. This module is the
typed form of the file and holds no I/O.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal["id", "nominal", "ordinal", "binary", "count", "continuous", "date", "label", "ignore"]
MissingRule = Literal["refuse", "allow"]

CATEGORICAL_KINDS: tuple[Kind, ...] = ("nominal", "ordinal", "binary")
NUMERIC_KINDS: tuple[Kind, ...] = ("count", "continuous")
FEATURE_KINDS: tuple[Kind, ...] = (*CATEGORICAL_KINDS, *NUMERIC_KINDS, "date")

CanonicalName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Normalise(_Strict):
    """Spellings that mean the same; each applied change is counted, none is silent.

    Attributes
    ----------
    trim : bool
        Drop white space around a value.
    case : bool
        Match categories without regard to upper and lower case.
    apostrophes : bool
        Match straight, curly and modifier apostrophes alike.
    yes, no : tuple of str
        Words (case-folded) that a binary column's second and first value may be written as.
    missing : tuple of str
        Words that mean "no value" beside the empty cell.
    """

    trim: bool = True
    case: bool = False
    apostrophes: bool = True
    yes: tuple[str, ...] = ("yes", "y", "true", "1")
    no: tuple[str, ...] = ("no", "n", "false", "0")
    missing: tuple[str, ...] = ("NA", "N/A", "null", "NULL", "None")


class Source(_Strict):
    """How files of this dataset are written.

    Attributes
    ----------
    delimiter : str or None
        One character; None means comma, semicolon or tab, whichever the header shows.
    encoding : str or None
        None means UTF-8 (with or without byte-order mark) and nothing else.
    decimal, thousands : str
        Number format; `thousands` empty means that separators are refused.
    max_bad_row_share : float
        Above this share of quarantined rows a batch is refused whole: then the file or a rule is
        wrong, not the people.
    allow_extra_columns : bool
        Whether a column that the contract does not know is ignored (and reported) or refuses the file.
    """

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: str | None = None
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""
    max_bad_row_share: float = Field(default=0.05, ge=0.0, le=1.0)
    allow_extra_columns: bool = True

    @model_validator(mode="after")
    def _separators_differ(self) -> Source:
        if self.thousands == self.decimal:
            raise ValueError(
                f"decimal and thousands are both '{self.decimal}'; a number could mean two things"
            )
        return self


class Column(_Strict):
    """One column of the extract.

    Attributes
    ----------
    source : str
        Name in the file's header.
    kind : Kind
        What the values are. `count` is a whole number, `continuous` any finite number.
    values : tuple of str
        Allowed values of a categorical column, in order for `ordinal`; for `binary` exactly two,
        the "no" value first; for `label` exactly two, the positive one named by `positive`.
    min, max : float or None
        Inclusive range of a numeric column.
    missing : MissingRule
        Whether a row without a value is quarantined or kept.
    group : str
        Feature group that reads the column.
    protected : bool
        Only the auditor may read it under a policy that excludes protected columns.
    proxy_of : tuple of str
        Protected columns (canonical names) that this column is known to stand in for.
    bands : tuple of float
        Cut points that turn a protected numeric column into audit groups.
    unit, label, description : str
        For people: unit of the values, the column in plain words, and what it says.
    positive : str or None
        Of a label: the value that means that the employee left.
    guess : str
        Written by `attrition contract draft`: why the column was read the way it was.
    """

    source: str = Field(min_length=1)
    kind: Kind
    values: tuple[str, ...] = ()
    min: float | None = None
    max: float | None = None
    missing: MissingRule = "refuse"
    group: CanonicalName = "other"
    protected: bool = False
    proxy_of: tuple[CanonicalName, ...] = ()
    bands: tuple[float, ...] = ()
    unit: str = ""
    label: str = ""
    description: str = ""
    positive: str | None = None
    guess: str = ""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Column:
        if self.kind in ("nominal", "ordinal") and len(self.values) < 1:
            raise ValueError(f"kind '{self.kind}' needs values = [\"...\", ...]")
        if self.kind in ("binary", "label") and len(self.values) != 2:
            raise ValueError(f"kind '{self.kind}' needs exactly two values")
        if len(set(self.values)) != len(self.values):
            raise ValueError("values repeat")
        if self.kind == "label" and self.positive not in self.values:
            raise ValueError("kind 'label' needs positive = one of its values")
        if self.kind != "label" and self.positive is not None:
            raise ValueError("only kind 'label' has positive")
        if self.kind not in NUMERIC_KINDS and (self.min is not None or self.max is not None):
            raise ValueError(f"kind '{self.kind}' has no min or max")
        if self.min is not None and self.max is not None and not self.min <= self.max:
            raise ValueError("min must be at most max")
        if list(self.bands) != sorted(set(self.bands)):
            raise ValueError("bands must rise")
        if self.bands and self.kind not in NUMERIC_KINDS:
            raise ValueError("only numeric columns have bands")
        return self


class Derived(_Strict):
    """A stateless engineered feature, computed from columns of the same row.

    Attributes
    ----------
    how : {"ratio", "difference", "sum"}
        ``ratio`` is the first over the second column (null where the second is 0), ``difference``
        the first minus the second, ``sum`` the total of all.
    of : tuple of str
        Numeric columns (canonical names) it is computed from.
    group : str
        Feature group that it belongs to.
    """

    how: Literal["ratio", "difference", "sum"]
    of: tuple[CanonicalName, ...] = Field(min_length=2)
    group: CanonicalName
    label: str = ""


class Contract(_Strict):
    """A dataset's contract; the module docstring says what follows from it.

    Attributes
    ----------
    name : str
        Batches belong to the contract of this name.
    columns : dict of str to Column
        By canonical name, in the order of the file.
    split_seed : str
        Key of the split hash. Changing it reshuffles who is tested on; never do so lightly.
    out_of_time : str or None
        A date column: the newest share of employees is then the test side.
    """

    name: CanonicalName
    version: int = Field(default=1, ge=1)
    description: str = ""
    split_seed: str = "attrition-split-1"
    out_of_time: CanonicalName | None = None
    source: Source = Source()
    normalise: Normalise = Normalise()
    columns: dict[CanonicalName, Column] = Field(min_length=2)
    derived: dict[CanonicalName, Derived] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_consistent(self) -> Contract:
        kinds = [column.kind for column in self.columns.values()]
        if kinds.count("label") != 1:
            raise ValueError("exactly one column must be of kind 'label'")
        if kinds.count("id") > 1:
            raise ValueError("at most one column may be of kind 'id'")
        sources = [column.source for column in self.columns.values()]
        if len(set(sources)) != len(sources):
            raise ValueError("two columns have the same source")
        if not any(kind in FEATURE_KINDS for kind in kinds):
            raise ValueError("at least one column must be a feature")
        for name, column in self.columns.items():
            for protected in column.proxy_of:
                if protected not in self.columns or not self.columns[protected].protected:
                    raise ValueError(
                        f"columns.{name}.proxy_of names '{protected}', which is no protected column"
                    )
        if self.out_of_time is not None and (
            self.out_of_time not in self.columns or self.columns[self.out_of_time].kind != "date"
        ):
            raise ValueError("out_of_time must name a column of kind 'date'")
        for name, derived in self.derived.items():
            if name in self.columns:
                raise ValueError(f"derived.{name} has the name of a column")
            for part in derived.of:
                if part not in self.columns or self.columns[part].kind not in NUMERIC_KINDS:
                    raise ValueError(f"derived.{name}.of names '{part}', which is no numeric column")
        return self

    @property
    def label(self) -> str:
        """Canonical name of the label."""
        return next(name for name, column in self.columns.items() if column.kind == "label")

    @property
    def id(self) -> str | None:
        """Canonical name of the employee id; None when rows are identified by their content."""
        return next((name for name, column in self.columns.items() if column.kind == "id"), None)

    @property
    def features(self) -> dict[str, Column]:
        """Columns that may become features, protected ones included, in the file's order."""
        return {n: c for n, c in self.columns.items() if c.kind in FEATURE_KINDS}

    @property
    def protected(self) -> tuple[str, ...]:
        """Canonical names of the protected columns."""
        return tuple(name for name, column in self.columns.items() if column.protected)

    @property
    def proxies(self) -> tuple[str, ...]:
        """Canonical names of the declared proxies of a protected column."""
        return tuple(name for name, column in self.columns.items() if column.proxy_of)

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """Columns that each feature group reads, derived features' parts included."""
        reads: dict[str, list[str]] = {}
        for name, column in self.features.items():
            reads.setdefault(column.group, []).append(name)
        for derived in self.derived.values():
            group = reads.setdefault(derived.group, [])
            group.extend(part for part in derived.of if part not in group)
        return {group: tuple(names) for group, names in sorted(reads.items())}
