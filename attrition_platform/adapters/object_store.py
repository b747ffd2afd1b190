"""Files under the sha256 of their content: nothing half-written, nothing overwritten.

A file is written to a temporary name on the same disk, flushed, hashed and renamed. Two processes
that store the same content end with one file. Reading can verify the content against its name.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrition_platform.errors import StoreError

_CHUNK = 1 << 20


def sha256_of_file(path: Path) -> str:
    """Hash a file without reading it whole into memory."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class ObjectStore:
    """A folder of immutable files.

    Parameters
    ----------
    root : Path
        Folder of the store; created when missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        """Where the object lies.

        Raises
        ------
        StoreError
            When there is no such object.
        """
        path = self._place(sha256)
        if not path.is_file():
            raise StoreError(
                f"Object {sha256[:12]} is not in the store '{self.root}'. "
                "Run the job again: it computes what is missing."
            )
        return path

    def has(self, sha256: str) -> bool:
        """Whether the object is stored."""
        return self._place(sha256).is_file()

    def verify(self, sha256: str) -> Path:
        """Return the object's path after its content was checked against its name.

        Raises
        ------
        StoreError
            When it is missing or its content has changed.
        """
        path = self.path(sha256)
        if sha256_of_file(path) != sha256:
            raise StoreError(
                f"Object {sha256[:12]} in '{self.root}' is damaged: its content is not what its name says. "
                "Delete that file, then run the job again to compute it anew."
            )
        return path

    def take(self, file: Path) -> str:
        """Move a finished file into the store and return its sha256."""
        with file.open("rb+") as handle:
            os.fsync(handle.fileno())
        sha256 = sha256_of_file(file)
        place = self._place(sha256)
        if place.is_file():
            file.unlink()
            return sha256
        place.parent.mkdir(parents=True, exist_ok=True)
        file.chmod(0o440)
        file.replace(place)
        sync_folder(place.parent)
        return sha256

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Give a temporary folder on the store's disk, removed at the end."""
        (self.root / "tmp").mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self.root / "tmp"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _place(self, sha256: str) -> Path:
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise StoreError("An object's name is 64 hexadecimal digits.")
        return self.root / "objects" / sha256[:2] / sha256
