"""Accepted extracts as immutable batches, each in a folder named by the sha256 of its bytes.

```text
<data>/batches/<contract>/<sha256>/source.csv      the file exactly as received
                                  /manifest.json   where it came from, its size, its place in the sequence
<data>/refused/<sha256>/file                       a file that was refused whole
                       /reason.json                why
```

A folder is prepared under a temporary name, flushed and renamed, so a batch is there as a whole or
not at all. Whoever adds one holds `batch_lock`.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from attrition_platform.adapters.extract_files import ExtractFacts, inspect_extract
from attrition_platform.adapters.extract_streams import ExtractKind
from attrition_platform.adapters.object_store import sha256_of_file, sync_folder, write_atomically
from attrition_platform.contracts.model import Contract
from attrition_platform.errors import RefusedFileError, StoreError

Origin = Literal["inbox", "generated"]

_STAGING = ".incoming-"
_LOCK_SECONDS = 900


@dataclass(frozen=True)
class Batch:
    """One accepted file.

    Attributes
    ----------
    sha256 : str
        Of the file's bytes; the batch's identity.
    name : str
        What the file was called when it was dropped.
    kind : {"csv", "csv.gz", "parquet"}
        What it is.
    n_rows, n_bytes : int
        Data rows and size of the file.
    sequence : int
        1 for the first accepted batch of the contract; a later batch wins over an earlier one.
    origin : {"inbox", "generated"}
        Whether somebody dropped it or the platform drew it from the reference population.
    folder : Path
        Where it lies.
    """

    sha256: str
    name: str
    kind: ExtractKind
    n_rows: int
    n_bytes: int
    sequence: int
    origin: Origin
    folder: Path

    @property
    def path(self) -> Path:
        """The file as received."""
        return self.folder / f"source.{self.kind}"


def list_batches(data_dir: Path, contract_name: str) -> tuple[Batch, ...]:
    """Batches of a contract in the order of acceptance.

    Generated batches stand in only until somebody drops an extract; then they are left out.
    """
    batches = _all_batches(data_dir, contract_name)
    dropped = tuple(batch for batch in batches if batch.origin == "inbox")
    return dropped or batches


def accept_generated(file: Path, data_dir: Path, contract: Contract) -> Batch:
    """Take a generated population as a batch; the file itself is left where it is.

    Raises
    ------
    RefusedFileError
        When it does not fit the contract.
    """
    with batch_lock(data_dir), staging(data_dir, contract.name) as folder:
        staged = folder / file.name
        shutil.copyfile(file, staged)
        batch, _ = accept_staged(staged, data_dir, contract, "generated")
    return batch


def accept_staged(staged: Path, data_dir: Path, contract: Contract, origin: Origin) -> tuple[Batch, bool]:
    """Turn a file in a staging folder into a batch; needs `batch_lock`.

    Returns
    -------
    batch : Batch
        The new batch, or the one that has the same bytes.
    is_new : bool
        False when the same bytes were known already.

    Raises
    ------
    RefusedFileError
        When the file can't be read for what it is.
    """
    facts = inspect_extract(staged, contract)
    known = _all_batches(data_dir, contract.name)
    same = next((batch for batch in known if batch.sha256 == facts.sha256), None)
    if same is not None and (same.origin == origin or origin == "generated") and _is_whole(same):
        return same, False
    sequence = 1 + max((batch.sequence for batch in known), default=0)
    place = batch_folder(data_dir, contract.name) / facts.sha256
    batch = _batch(facts, staged.name, sequence, origin, place)
    staged.rename(staged.with_name(f"source.{facts.kind}"))
    _commit(staged.parent, batch)
    return batch, True


def keep_refused(staged: Path, data_dir: Path, error: RefusedFileError, contract_name: str) -> Path:
    """Keep a refused file with its reason; the same bytes are kept once."""
    folder = data_dir / "refused" / sha256_of_file(staged)
    folder.mkdir(parents=True, exist_ok=True)
    staged.chmod(0o440)
    _sync_file(staged)
    staged.replace(folder / "file")
    reason = {
        "contract": contract_name,
        "detail": error.detail,
        "line": error.line,
        "name": error.file,
        "reason": error.reason,
    }
    write_atomically(folder / "reason.json", _as_json(reason))
    return folder


def batch_folder(data_dir: Path, contract_name: str) -> Path:
    """Folder of a contract's batches."""
    return data_dir / "batches" / contract_name


@contextmanager
def batch_lock(data_dir: Path) -> Iterator[None]:
    """Let one process at a time add batches; the system frees the lock of a process that dies."""
    from filelock import FileLock

    folder = data_dir / "batches"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock", timeout=_LOCK_SECONDS):
        yield


@contextmanager
def staging(data_dir: Path, contract_name: str) -> Iterator[Path]:
    """Give a temporary folder beside the batches, after removing those of killed processes.

    Only the holder of `batch_lock` has one, so whatever is found was left behind.
    """
    parent = batch_folder(data_dir, contract_name)
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{_STAGING}*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = parent / f"{_STAGING}{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _all_batches(data_dir: Path, contract_name: str) -> tuple[Batch, ...]:
    manifests = batch_folder(data_dir, contract_name).glob("*/manifest.json")
    found = [_read(path) for path in manifests if not path.parent.name.startswith(".")]
    return tuple(sorted(found, key=lambda batch: batch.sequence))


def _read(manifest: Path) -> Batch:
    try:
        fields = json.loads(manifest.read_text(encoding="utf-8"))
        batch = Batch(**fields, folder=manifest.parent)
    except (ValueError, TypeError):
        raise StoreError(
            f"The manifest '{manifest}' can't be read. Move its folder away and drop the extract again."
        ) from None
    if batch.sha256 != manifest.parent.name or not batch.path.is_file():
        raise StoreError(
            f"Batch '{manifest.parent}' is not what its name says. Move it away and drop the extract again."
        )
    return batch


def _batch(facts: ExtractFacts, name: str, sequence: int, origin: Origin, folder: Path) -> Batch:
    return Batch(
        sha256=facts.sha256,
        name=name,
        kind=facts.kind,
        n_rows=facts.n_rows,
        n_bytes=facts.n_bytes,
        sequence=sequence,
        origin=origin,
        folder=folder,
    )


def _is_whole(batch: Batch) -> bool:
    return sha256_of_file(batch.path) == batch.sha256


def _commit(staged: Path, batch: Batch) -> None:
    """Rename a staged folder to its batch; a damaged batch of the same name makes room."""
    fields = {key: value for key, value in asdict(batch).items() if key != "folder"}
    source = staged / f"source.{batch.kind}"
    source.chmod(0o440)
    _sync_file(source)
    write_atomically(staged / "manifest.json", _as_json(fields))
    if batch.folder.exists():
        batch.folder.rename(staged.with_name(f"{_STAGING}replaced-{uuid.uuid4().hex}"))
    staged.rename(batch.folder)
    sync_folder(batch.folder.parent)


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _as_json(fields: Mapping[str, object]) -> bytes:
    return (json.dumps(fields, indent=1, sort_keys=True) + "\n").encode()
