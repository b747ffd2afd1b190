"""`attrition serve`: start the HTTP service."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from attrition_platform.errors import SettingsError

if TYPE_CHECKING:
    from attrition_platform.stages.platform import Platform


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on."
)
@click.option(
    "--allow-host", "names", multiple=True, help="Name under which the service is reached; repeatable."
)
@click.option("--open-files", default=1_000, show_default=True, help="Most connections at a time.")
def serve(host: str, port: int, names: tuple[str, ...], open_files: int) -> None:
    """Serve the champion over HTTP (Ctrl-C ends it).

    On loopback, programs of this machine need no API key until the first is made with `attrition keys
    add`. On any other address a key is always needed; put a proxy with TLS in front.
    """
    from attrition_platform.adapters.api_keys import ApiKeys
    from attrition_platform.adapters.loopback import is_loopback
    from attrition_platform.cli.key_commands import API_KEYS_FILE
    from attrition_platform.cli.listening import log_warnings, refuse_taken_port, serve_until_ctrl_c
    from attrition_platform.serving.app import build_app
    from attrition_platform.serving.host import ModelHost
    from attrition_platform.serving.http_guard import ConnectionLimits, guarded
    from attrition_platform.serving.metrics import Metrics
    from attrition_platform.serving.service import PredictionService
    from attrition_platform.settings import Settings
    from attrition_platform.stages.platform import Platform

    log_warnings()
    platform = Platform(Settings.from_environment())
    keys = ApiKeys(platform.settings.data_dir / API_KEYS_FILE, platform.key)
    if keys.problem is not None:
        raise SettingsError(keys.problem)
    loopback = is_loopback(host)
    if not loopback and not keys.any():
        raise SettingsError(
            f"Listening on {host} needs an API key, since others can reach it. "
            "Make one with `attrition keys add NAME --role predict`, or leave --host out."
        )
    refuse_taken_port(host, port)

    model_host = ModelHost(platform, functools.partial(_alert, platform))
    service = PredictionService(model_host, platform.predictions, Metrics())
    allowed = frozenset(name.lower().encode() for name in names) if names else None
    app = build_app(platform, service, keys, loopback=loopback, allowed_hosts=allowed)
    serve_until_ctrl_c(
        app,
        host,
        port,
        f"Serving contract '{platform.contract.name}'",
        http=guarded(ConnectionLimits(max_connections=open_files)),
        loop="uvloop",
        timeout_graceful_shutdown=10,
    )


def _alert(platform: Platform, kind: str, text: str, evidence: Mapping[str, Any]) -> None:
    """Tell people that the champion does not serve; slow channels keep no request waiting."""
    from attrition_platform.adapters.notifications import Notification, build_notifier

    told = Notification(
        kind=f"service-{kind}",
        key=text,
        title="The service does not serve the champion as it should.",
        cause=text,
        version_before=None,
        version_after=evidence.get("serving"),
        evidence=evidence,
        run_url=None,
        at=platform.at(),
        severity="page",
        pipeline="service",
        runbook="outage",
    )
    build_notifier(platform.settings, platform.policy).send(told)
