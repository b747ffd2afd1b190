"""Files that stand still in a folder where people and systems drop them, and what each is known by."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrition_platform.adapters.drop_folder import Look, is_being_written, is_old, look_at, standing
from attrition_platform.adapters.extract_streams import open_regular
from attrition_platform.errors import RefusedFileError

if TYPE_CHECKING:
    from attrition_platform.adapters.batches import Batch

KEY_DIGITS: Final = 32
# No tick reads more of a file than this; a sensor that takes longer than a minute is ended.
LARGE_BYTES: Final = 256 << 20
_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class StandingFiles:
    """What lies in a folder.

    Attributes
    ----------
    names : dict of str to str
        Names by content key; files of the same content once, in the order of their names.
    n_left_alone : int
        Files that are not finished or can't be read.
    n_folders : int
        Folders that hold anything: nobody looks into them.
    """

    names: dict[str, str]
    n_left_alone: int
    n_folders: int


def standing_files(folder: Path) -> StandingFiles:
    """Find what was last written a second ago or more.

    A time in the future was not written by a program at work: it was copied along, or a clock is wrong.
    """
    names: dict[str, str] = {}
    n_left_alone = n_folders = 0
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    for entry in entries:
        if standing(entry) == "hidden":
            continue
        if entry.is_dir() and not entry.is_symlink():
            n_folders += _holds_anything(entry)
            continue
        look = look_at(entry)
        if standing(entry) != "candidate" or look is None or not _stands_still(look):
            n_left_alone += 1
            continue
        try:
            names.setdefault(content_key(entry, look), entry.name)
        except (OSError, RefusedFileError):
            n_left_alone += 1
    return StandingFiles(names, n_left_alone, n_folders)


@lru_cache(maxsize=1_024)
def content_key(entry: Path, look: Look) -> str:
    """Name a file by its content, as it looked: the first digits of its sha256.

    A large one is named by its size, its time and its two ends, which a batch that was made of it keeps. A
    file is read once, but one that can't be read again and again.

    Raises
    ------
    OSError, RefusedFileError
        When it can't be read, or somebody still writes it.
    """
    hasher = hashlib.sha256()
    with open_regular(entry) as source:
        if is_being_written(source):
            raise BlockingIOError(entry.name)
        n_bytes = os.fstat(source.fileno()).st_size
        if n_bytes > LARGE_BYTES:
            hasher.update(f"{n_bytes}/{look[2]}/".encode())
            hasher.update(source.read(_BLOCK_BYTES))
            source.seek(n_bytes - _BLOCK_BYTES)
        n_left = LARGE_BYTES  # it may grow while it is read
        while n_left > 0 and (block := source.read(min(n_left, _BLOCK_BYTES))):
            hasher.update(block)
            n_left -= len(block)
    return hasher.hexdigest()[:KEY_DIGITS]


def batch_key(batch: Batch) -> str:
    """The content key of the file that a batch was made of."""
    look = look_at(batch.path) if batch.n_bytes > LARGE_BYTES else None
    return batch.sha256[:KEY_DIGITS] if look is None else content_key(batch.path, look)


def _stands_still(look: Look) -> bool:
    now = time.time()
    return is_old(look, now) or look[2] / 1e9 > now + 1.0


def _holds_anything(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(not entry.name.startswith(".") for entry in entries)
    except OSError:
        return True
