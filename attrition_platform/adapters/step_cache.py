"""Unchanged work is not done again.

A step's fingerprint is the sha256 of (name, code version, data versions of its inputs, config). The
first run of a fingerprint computes; later runs point at the stored result. Two runs that need the
same step at once: one computes under a file lock, the other waits and reuses.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from attrition_platform.adapters.object_store import ObjectStore, write_atomically
from attrition_platform.errors import StoreError

PACKAGE = Path(__file__).resolve().parent.parent


def canonical_json(value: object) -> str:
    """One text for one value: sorted keys, no white space, no NaN.

    >>> canonical_json({"b": 1, "a": [True, None]})
    '{"a":[true,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: object) -> str:
    """Hash any JSON value; equal values have equal digests."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@cache
def code_version(*parts: str) -> str:
    """Hash the source of modules and packages below `attrition_platform`.

    Parameters
    ----------
    *parts : str
        Paths below the package: a folder (``"features"``) or a module (``"modeling/splits.py"``).
    """
    files = [
        file
        for part in parts
        for file in (
            sorted((PACKAGE / part).rglob("*.py")) if (PACKAGE / part).is_dir() else [PACKAGE / part]
        )
    ]
    hasher = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        hasher.update(f"{file.relative_to(PACKAGE)}:{len(content)}:".encode())
        hasher.update(content)
    return hasher.hexdigest()[:16]


@dataclass(frozen=True)
class StepResult:
    """What a step stored.

    Attributes
    ----------
    step, fingerprint : str
        Which step, and for which code, inputs and config.
    data_version : str
        sha256 over what the step found out: `facts` and the content of `files`. Equal for equal
        input, on any day and in any store with the same key.
    files : dict of str to str
        sha256 of each stored file by its name.
    facts : dict
        JSON values that repeat exactly when the step is computed again.
    measured : dict
        JSON values that do not (seconds, latencies, ids of runs); no part of `data_version`.
    reused : bool
        Whether this run found the result instead of computing it.
    """

    step: str
    fingerprint: str
    data_version: str
    files: dict[str, str]
    facts: dict[str, Any]
    measured: dict[str, Any]
    reused: bool = False


@dataclass
class StepOutput:
    """Where a step puts what it computes; `drifting` names files whose bytes never repeat."""

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)
    drifting: set[str] = field(default_factory=set)

    def file(self, name: str, *, repeats: bool = True) -> Path:
        """Where to write a file; `repeats` tells whether equal input gives equal bytes."""
        if not repeats:
            self.drifting.add(name)
        return self.folder / name


class StepCache:
    """Results of steps, by fingerprint.

    Parameters
    ----------
    store : ObjectStore
        Holds the files; the records lie beside its objects.
    """

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def run(
        self,
        step: str,
        compute: Callable[[StepOutput], None],
        *,
        code: str,
        inputs: Mapping[str, str],
        config: Mapping[str, Any],
    ) -> StepResult:
        """Return the stored result of this step, computing it when there is none.

        Parameters
        ----------
        step : str
            Name, such as ``"candidates/boosted_trees"``.
        compute : callable
            Writes files and facts; called at most once.
        code : str
            Version of the code that computes, see `code_version`.
        inputs : mapping
            Data version of each input.
        config : mapping
            JSON values that change the result.
        """
        fingerprint = digest({"step": step, "code": code, "inputs": dict(inputs), "config": dict(config)})
        found = self._find(step, fingerprint)
        if found is not None:
            return found
        lock = self.store.root / "locks" / f"{fingerprint}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock):
            return self._find(step, fingerprint) or self._compute(step, fingerprint, compute)

    def _compute(self, step: str, fingerprint: str, compute: Callable[[StepOutput], None]) -> StepResult:
        started, cpu_started = time.monotonic(), time.process_time()
        with self.store.workspace() as folder:
            output = StepOutput(folder)
            compute(output)
            files = {path.name: self.store.take(path) for path in sorted(folder.iterdir())}
        repeatable = {name: sha256 for name, sha256 in files.items() if name not in output.drifting}
        measured = output.measured | {
            "seconds": round(time.monotonic() - started, 3),
            "cpu_seconds": round(time.process_time() - cpu_started, 3),
        }
        facts = json.loads(canonical_json(output.facts))
        version = digest({"step": step, "files": repeatable, "facts": facts})
        result = StepResult(step, fingerprint, version, files, facts, json.loads(canonical_json(measured)))
        write_atomically(self._record(step, fingerprint), json.dumps(asdict(result), indent=1).encode())
        return result

    def _find(self, step: str, fingerprint: str) -> StepResult | None:
        record = self._record(step, fingerprint)
        if not record.is_file():
            return None
        result = read_result(record)
        if not all(self.store.has(sha256) for sha256 in result.files.values()):
            return None
        return replace(result, reused=True)

    def _record(self, step: str, fingerprint: str) -> Path:
        return self.store.root / "steps" / step / f"{fingerprint}.json"


def read_result(path: Path) -> StepResult:
    """Read a stored result.

    Raises
    ------
    StoreError
        When the file is not one.
    """
    try:
        return StepResult(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"'{path}' is no step record. Delete it, then run the job again.") from error
