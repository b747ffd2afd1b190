"""Contract files: read with every problem named, written so that a person can edit them."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from attrition_platform.contracts.model import Column, Contract, Derived, Kind, Normalise, Source
from attrition_platform.errors import ContractFileError

KINDS: tuple[str, ...] = get_args(Kind)
_TABLES = {"contract", "source", "normalise", "columns", "derived"}
_FORMS: dict[str, str] = {
    "extra_forbidden": "no such key",
    "missing": "must be given",
    "string_pattern_mismatch": "lower-case letters, digits and _, beginning with a letter",
    "bool_type": "true or false",
    "string_type": 'text in quotes: "..."',
    "tuple_type": "a list: [...]",
    "float_type": "a number",
    "int_type": "a whole number",
}


def shipped_contract() -> Contract:
    """Return the contract of the reference data."""
    text = files("attrition_platform.contracts").joinpath("reference.toml").read_text(encoding="utf-8")
    return parse_contract(text, "reference.toml")


def load_contract(path: Path) -> Contract:
    """Read a contract file.

    Raises
    ------
    ContractFileError
        When the file is missing, is no TOML or is no contract; every problem is listed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ContractFileError(str(path), (f"can't be read: {reason}",)) from None
    return parse_contract(text, str(path))


def parse_contract(text: str, file: str) -> Contract:
    r"""Read a contract from the text of a TOML file.

    Parameters
    ----------
    text : str
        The file's content: tables ``[contract]``, ``[source]``, ``[normalise]``, ``[columns.<name>]``
        and ``[derived.<name>]``.
    file : str
        Name for messages.

    Raises
    ------
    ContractFileError
        Lists every problem with its key, what is wrong and the accepted form.

    Examples
    --------
    >>> text = "[contract]\nname = 'x'\n[columns.left]\nsource = 'Left'\nkind = 'lable'"
    >>> parse_contract(text, "x.toml")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    attrition_platform.errors.ContractFileError: Contract file 'x.toml' is not valid (problems: 1).
      - columns.left.kind: 'lable' is not known; did you mean 'label'? One of id, ...
    Correct the file, then try `attrition contract check CONTRACT FILE`.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ContractFileError(file, (f"is no TOML: {error}",)) from None
    unknown = [f"{key}: no such table{_did_you_mean(key, _TABLES)}" for key in document if key not in _TABLES]
    head = document.get("contract", {})
    if not isinstance(head, dict):
        raise ContractFileError(file, ("contract: must be a table, [contract]",))
    parts = {key: document[key] for key in ("source", "normalise", "columns", "derived") if key in document}
    try:
        contract = Contract.model_validate({**head, **parts})
    except ValidationError as error:
        raise ContractFileError(file, (*unknown, *explain(error, _keys_at))) from None
    if unknown:
        raise ContractFileError(file, tuple(unknown))
    return contract


def contract_digest(contract: Contract) -> str:
    """sha256 of what a contract says; guesses and the spelling of the file do not count.

    The order of the columns does: it is the order of the validated rows and of the features.
    """
    meaning = contract.model_dump(mode="json", exclude={"columns": {"__all__": {"guess"}}})
    return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()


def dump_contract(contract: Contract) -> str:
    """Write a contract as TOML that `parse_contract` reads back; what is the default is left out.

    Examples
    --------
    >>> text = dump_contract(shipped_contract())
    >>> parse_contract(text, "again.toml") == shipped_contract()
    True
    """
    parts = contract.model_dump(mode="python", exclude_defaults=True)
    head = {key: value for key, value in parts.items() if key not in _TABLES} | {"version": contract.version}
    blocks = [_block("contract", head)]
    blocks += [_block(key, parts[key]) for key in ("source", "normalise") if key in parts]
    for key in ("columns", "derived"):
        blocks += [_block(f"{key}.{name}", fields) for name, fields in parts.get(key, {}).items()]
    return "\n".join(blocks)


def _block(name: str, fields: Mapping[str, Any]) -> str:
    """One table; a guess is a comment for the reader above what was guessed."""
    lines = [f"[{name}]"]
    if "guess" in fields:
        lines.append(f"# guess: {fields['guess']}")
    lines += [f"{key} = {_toml(value)}" for key, value in fields.items() if key != "guess"]
    return "\n".join((*lines, ""))


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(part) for part in value) + "]"
    if isinstance(value, float):
        return repr(value)
    # TOML reads what JSON writes, but for the delete character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def explain(error: ValidationError, keys_at: Any) -> tuple[str, ...]:
    """Turn pydantic's findings into lines: key, what is wrong, accepted form.

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    keys_at : callable
        From a location to the keys that are known there, for "did you mean".
    """
    return tuple(sorted(_line(found, keys_at) for found in error.errors()))


def _line(found: Mapping[str, Any], keys_at: Any) -> str:
    location = found["loc"]
    key = ".".join(str(part) for part in location) or "the file"
    kind = found["type"]
    if kind == "extra_forbidden":
        return f"{key}: no such key{_did_you_mean(str(location[-1]), keys_at(location))}"
    if kind == "literal_error":
        options = found["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        given = str(found["input"])
        hint = _did_you_mean(given, options)
        return f"{key}: '{given}' is not known{hint}{'?' if hint else '.'} One of {', '.join(options)}"
    if kind == "value_error":
        return f"{key}: {found['ctx']['error']}"
    return f"{key}: {_FORMS.get(kind, found['msg'])}"


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{close[0]}'" if close else ""


def _keys_at(location: tuple[Any, ...]) -> Iterable[str]:
    models: dict[str, type[BaseModel]] = {
        "columns": Column,
        "derived": Derived,
        "source": Source,
        "normalise": Normalise,
    }
    model = models.get(str(location[0]), Contract) if len(location) > 1 else Contract
    return model.model_fields
