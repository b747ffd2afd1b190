"""Files that a page is made of, read from a package once: no path is ever built from a request."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePosixPath
from typing import Final

# Fixed here: the machine's own table of types may call a module plain text, which browsers then refuse.
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
SHARED: Final = "attrition_platform.web"


def static_files(package: str) -> dict[str, bytes]:
    """Content of each file in a package's folder ``static`` by its name, and of those that all share."""
    found: dict[str, bytes] = {}
    for name in (SHARED, package):
        folder = files(name).joinpath("static")
        for file in sorted(folder.iterdir(), key=lambda file: file.name):
            if PurePosixPath(file.name).suffix in TYPES:
                found[file.name] = file.read_bytes()
    return found


def media_type(name: str) -> str:
    """What a file is, by its ending.

    >>> media_type("style.css")
    'text/css; charset=utf-8'
    """
    return TYPES[PurePosixPath(name).suffix]
