"""The pages that people open: HTML, scripts and styles from the package, without anything from elsewhere.

They hold no data, so they are open to everybody; what they show they ask the service for, which checks
each question as ever. Only the files that were there at start are served, each under its own name, from
memory: no path is ever built from a request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import PurePosixPath

from fastapi import FastAPI, Request, Response

PAGES = {"/": "index.html", "/docs": "docs.html"}
# Fixed here: the machine's own table of types may call a module plain text, which browsers then refuse.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def add_pages(api: FastAPI) -> None:
    """Serve the pages and what they are made of.

    Parameters
    ----------
    api : FastAPI
        The application; its description doesn't list them, since they are for people.
    """
    static = static_files()
    for path, name in PAGES.items():
        api.add_route(path, _serve(name, static[name]), include_in_schema=False)
    for name, content in static.items():
        if not name.endswith(".html"):
            api.add_route(f"/static/{name}", _serve(name, content), include_in_schema=False)


def static_files() -> dict[str, bytes]:
    """Content of each file by its name."""
    folder = files("attrition_platform.serving").joinpath("static")
    return {
        file.name: file.read_bytes()
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if PurePosixPath(file.name).suffix in _TYPES
    }


def _serve(name: str, content: bytes) -> Callable[[Request], Awaitable[Response]]:
    media = _TYPES[PurePosixPath(name).suffix]

    async def endpoint(_: Request) -> Response:
        return Response(content, media_type=media)

    return endpoint
