"""The dashboard: three views, metrics, reports and runbooks, by GET alone and without a script."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from attrition_platform.dashboard.drawing import Draw, Drawer, in_a_process
from attrition_platform.dashboard.guard import REPORT_HEADERS, Guard
from attrition_platform.dashboard.metrics import pipeline_facts
from attrition_platform.dashboard.pages import VIEWS, Pages
from attrition_platform.errors import AttritionError
from attrition_platform.monitoring.exposition import CONTENT_TYPE, pipeline_metrics
from attrition_platform.stages.overview import RunHistory, overview
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.window_report import find_report
from attrition_platform.web.static_files import media_type, static_files

FRESH_SECONDS: Final = 1.0
LOOK_AGAIN_SECONDS: Final = 2

log = logging.getLogger(__name__)

Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(
    platform: Platform,
    history: RunHistory | None = None,
    runbooks: Mapping[str, str] | None = None,
    *,
    allowed_hosts: frozenset[bytes] = frozenset(),
    draw: Draw | None = None,
) -> ASGIApp:
    """Build the application.

    Parameters
    ----------
    platform : Platform
    history : callable or None
        As in `overview`.
    runbooks : mapping of str to str or None
        Markdown by name, such as ``drift``; shown under ``/runbooks/<name>``.
    allowed_hosts : frozenset of bytes
        Names that the Host header may have beside the loopback names.
    draw : callable or None
        Draws a report; by default a process of its own does.
    """
    pages = Pages(runbooks or {})
    source = Source(platform, history)
    drawer = Drawer(in_a_process(platform.settings) if draw is None else draw)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await drawer.stop()

    routes = [Route(view.path, _view(pages, source, view.name)) for view in VIEWS]
    routes += [
        Route("/metrics", _metrics(platform, source)),
        Route("/reports/{window}", _report(platform, pages, drawer)),
        Route("/runbooks/{name}", _runbook(pages)),
    ]
    routes += [
        Route(f"/static/{name}", _static(name, content))
        for name, content in static_files("attrition_platform.dashboard").items()
    ]
    handlers = {HTTPException: _http_error(pages), Exception: _fault(pages)}
    return Guard(Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers), allowed_hosts)


class Source:
    """The overview, read at most once a second however many ask; safe to use from several threads."""

    def __init__(self, platform: Platform, history: RunHistory | None) -> None:
        self._platform = platform
        self._history = history
        self._lock = threading.Lock()
        self._read_at = -FRESH_SECONDS
        self._found: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        """What is known now, or was a second ago."""
        with self._lock:
            if time.monotonic() - self._read_at >= FRESH_SECONDS:
                self._found = overview(self._platform, self._history)
                self._read_at = time.monotonic()
            return self._found


def _view(pages: Pages, source: Source, name: str) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        found = await asyncio.to_thread(source.read)
        return _html(pages.view(name, found, keeps_fresh="fresh" in request.query_params))

    return endpoint


def _metrics(platform: Platform, source: Source) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        found = await asyncio.to_thread(source.read)
        text = pipeline_metrics(pipeline_facts(found), platform.clock())
        return Response(text, headers={"content-type": CONTENT_TYPE})

    return endpoint


def _report(platform: Platform, pages: Pages, drawer: Drawer) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        window = request.path_params["window"]
        try:
            report = await asyncio.to_thread(find_report, platform, window)
        except AttritionError as error:
            return _html(pages.message("This report can't be looked for", str(error)), 503)
        if isinstance(report, str):
            return _html(pages.message("There is no such report", report), 404)
        if not report.is_drawn and request.method == "GET":
            problem = await drawer.wait_for(report)
            if problem is not None:
                return _html(pages.message("This report could not be drawn", problem), 503)
        if not report.is_drawn:
            page = pages.message(
                "This report is being written",
                f"Evidently draws window {window}. That takes about ten seconds, and more for a large file; "
                "this page then shows it by itself.",
            )
            return _html(page, 202, {"refresh": str(LOOK_AGAIN_SECONDS)})
        response = FileResponse(report.path, media_type="text/html; charset=utf-8")
        response.raw_headers.extend(REPORT_HEADERS)
        return response

    return endpoint


def _runbook(pages: Pages) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        page = pages.runbook(request.path_params["name"])
        if page is None:
            return _html(
                pages.message("There is no such runbook", "Those that exist are in docs/runbooks/."), 404
            )
        return _html(page)

    return endpoint


def _static(name: str, content: bytes) -> Endpoint:
    async def endpoint(_: Request) -> Response:
        return Response(content, headers={"content-type": media_type(name)})

    return endpoint


def _http_error(pages: Pages) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handler(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return _html(pages.message("There is no such page", "The three views are linked above."), status)

    return handler


def _fault(pages: Pages) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handler(_: Request, error: Exception) -> Response:
        text = "The dashboard made a mistake; its log names it. The platform itself goes on."
        return _html(pages.message("This page can't be shown", text), 500)

    return handler


def _html(page: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(page, status, {"content-type": "text/html; charset=utf-8", **(headers or {})})
