"""The HTTP application: a gate in front (who asks, how much), FastAPI behind it for all but the hot route."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from attrition_platform.serving.access import Caller, Keys, Refusal, check_role, identify
from attrition_platform.serving.description import schemas
from attrition_platform.serving.http_guard import SECURITY_HEADERS
from attrition_platform.serving.limits import BodyError, RateLimit, read_body
from attrition_platform.serving.pages import add_pages
from attrition_platform.serving.replies import Reply, problem
from attrition_platform.serving.routes import Incoming, Route, Routes
from attrition_platform.serving.service import PredictionService
from attrition_platform.stages.platform import Platform

BODY_SECONDS = 10.0
HOT = ("POST", "/predict")
_API_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
_STRANGER = Caller("stranger", frozenset())

log = logging.getLogger(__name__)


def build_app(
    platform: Platform,
    service: PredictionService,
    keys: Keys,
    *,
    loopback: bool,
    allowed_hosts: frozenset[bytes] | None = None,
) -> ASGIApp:
    """Build the application.

    Parameters
    ----------
    platform : Platform
    service : PredictionService
        Its host is started with the application, and both are closed with it.
    keys : Keys
        Who may ask.
    loopback : bool
        Whether it listens on loopback only.
    allowed_hosts : frozenset of bytes or None
        Names that the Host header may have; see `access.identify`.
    """
    limit = RateLimit(platform.settings.rate_limit)
    table = list(Routes(platform, service, limit.allow).table())
    gate = Gate(service, keys, loopback, allowed_hosts)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.host.start)
        gc.collect()
        gc.freeze()  # what was loaded stays: no request should wait while it is looked through again
        yield
        await asyncio.to_thread(service.host.stop)
        await asyncio.to_thread(service.close)

    api = FastAPI(
        title="Attrition predictions", version="0.1.0", docs_url=None, redoc_url=None, lifespan=lifespan
    )
    for route in table:
        api.add_api_route(
            route.path,
            _endpoint(gate, route),
            methods=[route.method],
            summary=route.summary,
            response_class=Response,
            openapi_extra=route.description,
            include_in_schema=route.is_described,
            operation_id=f"{route.method.lower()}{route.path.translate(_TO_NAME)}",
        )
    add_pages(api)
    api.add_exception_handler(HTTPException, _http_problem)
    api.openapi = lambda: _describe(api, platform, service)  # type: ignore[method-assign]
    gate.api = api
    gate.hot = next(route for route in table if (route.method, route.path) == HOT)
    return gate


_TO_NAME = str.maketrans({"/": "_", "{": None, "}": None})


class Gate:
    """The outermost layer: lets nobody through whom it does not know, and no error out unworded.

    Attributes
    ----------
    api : ASGIApp
        What is behind it.
    hot : Route
        The one that goes past the framework, whose routing would cost more than the prediction.
    """

    api: ASGIApp
    hot: Route

    def __init__(
        self,
        service: PredictionService,
        keys: Keys,
        loopback: bool,
        allowed_hosts: frozenset[bytes] | None,
    ) -> None:
        self._responses = service.metrics.responses
        self._keys = keys
        self._loopback = loopback
        self._allowed_hosts = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self.api(scope, receive, send)
            return
        if scope["method"] == HOT[0] and scope["path"] == HOT[1]:
            reply = await self.serve(self.hot, scope, receive, {})
            await _send(reply, send, _API_HEADERS)
            self._responses[reply.status // 100].inc()
            return

        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._responses[message["status"] // 100].inc()
                message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS]
            await send(message)

        try:
            await self.api(scope, receive, send_guarded)
        except Exception as error:  # said and counted already where a handler raised; never a trace
            log.error("Request to %s failed: %s", scope["path"][:100], type(error).__name__)
            raise

    async def serve(self, route: Route, scope: Scope, receive: Receive, path: Mapping[str, str]) -> Reply:
        """Check who asks and what is sent, then let the route's handler answer."""
        headers = scope["headers"]
        caller: Caller | Refusal = _STRANGER
        if not route.is_open:
            client = scope.get("client")
            caller = identify(
                headers, client[0] if client else None, self._keys, self._loopback, self._allowed_hosts
            )
            if isinstance(caller, Caller) and route.role is not None:
                caller = check_role(caller, route.role) or caller
        if isinstance(caller, Refusal):
            return problem(caller.status, caller.code, caller.detail, headers=caller.headers)
        body, media = b"", ""
        if route.media:
            media = _media(headers)
            if media not in route.media:
                wanted = " or ".join(route.media)
                return problem(415, "wrong-media-type", f"Send the header 'Content-Type: {wanted}'.")
            try:
                body = await read_body(receive, headers, route.max_bytes, BODY_SECONDS)
            except BodyError as error:
                closing = ((b"connection", b"close"),)
                return problem(
                    error.status if error.status in _KNOWN else 400, error.code, error.detail, headers=closing
                )
        try:
            return await route.handler(Incoming(caller, body, media, path))
        except Exception as error:  # a fault of ours: told without a trace, which may hold a person's data
            where = _where(error)
            log.error("%s %s failed: %s at %s", route.method, route.path, type(error).__name__, where)
            return problem(500, "fault", "The service made a mistake; it is in its log. Ask its operator.")


_KNOWN = {status.value for status in HTTPStatus}


def _where(error: Exception) -> str:
    """Module and line where it was raised; never the message, which may quote a value."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "an unknown place"
    return f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"


def _media(headers: list[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"content-type":
            return value.split(b";", 1)[0].strip().lower().decode("latin-1")
    return ""


def _endpoint(gate: Gate, route: Route) -> Any:
    async def endpoint(request: Request) -> Response:
        reply = await gate.serve(route, request.scope, request.receive, request.path_params)
        response = Response(reply.body, reply.status)
        response.raw_headers.extend(reply.headers)
        return response

    return endpoint


async def _send(reply: Reply, send: Send, more: tuple[tuple[bytes, bytes], ...]) -> None:
    length = (b"content-length", b"%d" % len(reply.body))
    await send(
        {"type": "http.response.start", "status": reply.status, "headers": [length, *reply.headers, *more]}
    )
    await send({"type": "http.response.body", "body": reply.body})


async def _http_problem(_: Request, error: Exception) -> Response:
    """404 and 405 of the framework, as problem documents."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "no-such-path", 405: "wrong-method"}.get(status, "refused")
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    reply = problem(status, code, "See /openapi.json for what this service can be asked.")
    response = Response(reply.body, reply.status, headers)
    response.raw_headers.extend(reply.headers)
    return response


def _describe(api: FastAPI, platform: Platform, service: PredictionService) -> dict[str, Any]:
    """The OpenAPI description; the employee's schema is that of the model that serves now."""
    predictor = service.host.predictor
    contract = platform.contract
    reads = tuple(contract.features) if predictor is None else predictor.stable.spec.source_columns
    document = get_openapi(title=api.title, version=api.version, openapi_version="3.1.0", routes=api.routes)
    document.setdefault("components", {})["schemas"] = schemas(contract, reads)
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    document["security"] = [{}, {"bearer": []}, {"key": []}]
    return document
