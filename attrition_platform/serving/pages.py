"""The pages that people open: HTML, scripts and styles from the package, without anything from elsewhere.

They hold no data, so they are open to everybody; what they show they ask the service for, which checks
each question as ever. Only the files that were there at start are served, each under its own name, from
memory: no path is ever built from a request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response

from attrition_platform.web import static_files as shared

PAGES = {"/": "index.html", "/docs": "docs.html"}


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
    return shared.static_files("attrition_platform.serving")


def _serve(name: str, content: bytes) -> Callable[[Request], Awaitable[Response]]:
    media = shared.media_type(name)

    async def endpoint(_: Request) -> Response:
        return Response(content, media_type=media)

    return endpoint
