"""What the service can be asked: each route with the role that it needs, its handler and its description."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from attrition_platform.adapters.api_keys import Role
from attrition_platform.contracts.employee import describe_field
from attrition_platform.errors import AttritionError, LateRunError, PredictionLogError, ReleaseError
from attrition_platform.serving import inference_v2
from attrition_platform.serving.access import Caller
from attrition_platform.serving.bodies import decode_batch, decode_csv, decode_fields
from attrition_platform.serving.description import Schema, operation, ref
from attrition_platform.serving.replies import Reply, as_time, encode, problem, unavailable
from attrition_platform.serving.service import PredictionService
from attrition_platform.stages.canary_watch import decide_by_hand
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release import registered_model
from attrition_platform.stages.views import record_view

ONE_BYTES = 64 * 1024
MANY_BYTES = 16 * 1024 * 1024
_MAX_REASON = 500
_ID = re.compile(r"[0-9a-f]{32}")


class Incoming(msgspec.Struct, frozen=True):
    """A request whose sender is known and whose body was read.

    Attributes
    ----------
    caller : Caller
    body : bytes
    media : str
        Content type without parameters, in lower case.
    path : mapping of str to str
        Parameters of the path.
    """

    caller: Caller
    body: bytes
    media: str
    path: Mapping[str, str]


Handler = Callable[[Incoming], Awaitable[Reply]]


@dataclass(frozen=True)
class Route:
    """One thing that can be asked.

    Attributes
    ----------
    method, path : str
    handler : Handler
    summary : str
    description : dict
        Of the operation, for OpenAPI.
    role : Role or None
        None: everyone whom the service knows.
    is_open : bool
        Whether strangers may ask, too.
    media : tuple of str
        Content types that it takes; empty where it takes no body.
    max_bytes : int
        Longest body.
    is_described : bool
        Whether our OpenAPI document has it.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    description: Schema
    role: Role | None = None
    is_open: bool = False
    media: tuple[str, ...] = ()
    max_bytes: int = ONE_BYTES
    is_described: bool = True


class Routes:
    """Handlers over one service.

    Parameters
    ----------
    platform : Platform
    service : PredictionService
    allow : callable
        The rate limit: seconds to wait, or None, for a client's name and a number of predictions.
    """

    def __init__(
        self,
        platform: Platform,
        service: PredictionService,
        allow: Callable[[str, int], float | None],
    ) -> None:
        self._platform = platform
        self._service = service
        self._allow = allow
        self.model_name = registered_model(platform)

    def table(self) -> Iterable[Route]:
        """All routes."""
        json, csv = "application/json", "text/csv"
        asking = (408, 413, 415, 422, 503)
        path_name = {"parameters": [_path_parameter("name", {"enum": [self.model_name]})]}
        yield Route(
            "POST",
            "/predict",
            self.predict,
            "Score one employee",
            operation(ref("Prediction"), body=ref("Employee"), statuses=asking),
            role="predict",
            media=(json,),
        )
        yield Route(
            "POST",
            "/predict/batch",
            self.predict_batch,
            "Score several employees",
            operation(ref("BatchResult"), body=ref("Batch"), statuses=asking)
            # No schema can say which texts are tables with these columns, so this form is told in words.
            | {
                "description": "With 'Content-Type: text/csv' it takes a table in UTF-8, whose first line "
                "has the columns' names as in the extract or as in 'Employee'."
            },
            role="predict",
            media=(json, csv),
            max_bytes=MANY_BYTES,
        )
        yield Route(
            "GET",
            "/predictions/{id}",
            self.prediction,
            "What the log keeps of one prediction",
            operation({"type": "object"}, statuses=(404, 503))
            | {"parameters": [_path_parameter("id", {"type": "string"})]},
            role="explain",
        )
        yield Route(
            "GET",
            "/champion",
            self.champion,
            "The model that serves",
            operation({"type": "object"}, statuses=(404,)),
        )
        yield Route(
            "GET",
            "/form",
            self.form,
            "What a form needs to know",
            operation({"type": "object"}, statuses=(503,)),
        )
        yield Route(
            "POST",
            "/canary/abort",
            self.abort_canary,
            "Give all traffic back to stable",
            operation({"type": "object"}, body=ref("Ending"), statuses=(408, 409, 413, 415, 422)),
            role="operate",
            media=(json,),
        )
        yield Route(
            "GET", "/metrics", self.metrics, "Metrics for Prometheus", operation(None, media="text/plain")
        )
        yield Route(
            "GET", "/v2", self.server, "The inference protocol: this server", operation({"type": "object"})
        )
        yield Route(
            "GET",
            "/v2/health/live",
            self.live,
            "Whether the process lives",
            operation({"type": "object"}),
            is_open=True,
        )
        yield Route(
            "GET",
            "/v2/health/ready",
            self.ready,
            "Whether a model can serve",
            operation({"type": "object"}, statuses=(503,)),
            is_open=True,
        )
        yield Route(
            "GET",
            "/v2/models/{name}",
            self.model,
            "The model's inputs and outputs",
            operation({"type": "object"}, statuses=(404, 503), v2=True) | path_name,
        )
        yield Route(
            "GET",
            "/v2/models/{name}/ready",
            self.model_ready,
            "Whether this model can serve",
            operation({"type": "object"}, statuses=(404, 503), v2=True) | path_name,
        )
        yield Route(
            "POST",
            "/v2/models/{name}/infer",
            self.infer,
            "Score employees as tensors",
            {},
            role="predict",
            media=(json,),
            max_bytes=MANY_BYTES,
            # The protocol has a description of its own, and no schema can say that a shape fits its data.
            is_described=False,
        )

    async def predict(self, asked: Incoming) -> Reply:
        """Score one employee."""
        wait = self._allow(asked.caller.name, 1)
        if wait is not None:
            return too_many(wait)
        return await self._service.predict(asked.body, asked.caller)

    async def predict_batch(self, asked: Incoming) -> Reply:
        """Score several employees."""
        predictor = self._service.host.predictor
        is_table = asked.media == "text/csv"
        if predictor is None:
            return self._service.not_ready()
        rows = decode_csv(asked.body, predictor.contract) if is_table else decode_batch(asked.body)
        if isinstance(rows, Reply):
            return rows
        wait = self._allow(asked.caller.name, len(rows))
        if wait is not None:
            return too_many(wait)
        return await self._service.predict_many(list(rows), asked.caller, text=is_table)

    async def prediction(self, asked: Incoming) -> Reply:
        """What the log keeps of one prediction, without the employee's data."""
        prediction_id = asked.path["id"]
        record = None
        if _ID.fullmatch(prediction_id):  # a database may choke on what is none, such as a NUL
            try:
                record = await asyncio.to_thread(self._service.log.get, prediction_id)
            except PredictionLogError as error:
                return unavailable(str(error))
        if record is None:
            return problem(404, "no-such-prediction", "The log has no prediction of that id.")
        told = asdict(record)
        del told["inputs"], told["pseudonym"], told["inputs_hash"]
        return Reply(200, encode(told | {"timestamp": as_time(record.at)}))

    async def champion(self, asked: Incoming) -> Reply:
        """Who serves, and how good it was on test."""
        host = self._service.host
        state, predictor = host.state, host.predictor
        if state.stable is None:
            return problem(404, "no-champion", host.problem or "There is no champion yet.")
        view = record_view(state.stable)
        names = (
            "version",
            "since",
            "became_by",
            "family",
            "threshold",
            "metrics",
            "reads",
            "policy",
            "ledger_seq",
        )
        told: dict[str, Any] = {name: view[name] for name in names}
        told["serving"] = None if predictor is None else predictor.stable.version
        told["problem"] = host.problem
        told["canary"] = None
        if state.canary is not None:
            canary = state.canary
            told["canary"] = {
                "version": canary.version,
                "since": canary.at,
                "mode": canary.payload["mode"],
                "share": canary.payload["share"],
            }
        return Reply(200, encode(told))

    async def form(self, asked: Incoming) -> Reply:
        """The fields that the model reads, and the words that go with a score."""
        predictor = self._service.host.predictor
        if predictor is None:
            return self._service.not_ready()
        contract, policy = predictor.contract, predictor.policy
        reads = [name for name in contract.columns if name in predictor.reads]
        told = {
            "contract": contract.name,
            "id": None if contract.id is None else asdict(describe_field(contract.id, contract)),
            "fields": [asdict(describe_field(name, contract)) for name in reads],
            "tiers": policy.tiers.model_dump(),
            "threshold": predictor.stable.threshold,
            "advice": policy.advice.model_dump(),
            "min_team_size": policy.serving.min_team_size,
            "model_version": predictor.stable.version,
            "protected": contract.protected,
            "sources": {contract.columns[name].source: name for name in contract.columns},
        }
        return Reply(200, encode(told))

    async def abort_canary(self, asked: Incoming) -> Reply:
        """Give all traffic back to stable."""
        document = decode_fields(asked.body)
        if isinstance(document, Reply):
            return document
        reason = document.get("reason")
        if (
            set(document) != {"reason"}
            or not isinstance(reason, str)
            or not 1 <= len(reason.strip()) <= _MAX_REASON
        ):
            return problem(422, "no-reason", 'Send one field, "reason": why, in 1 to 500 characters.')
        try:
            record = await asyncio.to_thread(
                decide_by_hand,
                self._platform,
                self._service.log,
                "abort",
                by=asked.caller.name,
                reason=reason.strip(),
                at=self._platform.at(),
            )
        except (ReleaseError, LateRunError) as error:
            return problem(409, "no-canary", str(error))
        except AttritionError as error:
            return unavailable(str(error))
        return Reply(200, encode({"ended": record.version, "ledger_seq": record.seq}))

    async def metrics(self, asked: Incoming) -> Reply:
        """Counters, for Prometheus."""
        host = self._service.host
        predictor = host.predictor
        models: dict[str, str] = {}
        if predictor is not None:
            models["stable"] = predictor.stable.version
            if predictor.canary is not None:
                models["canary"] = predictor.canary.version
        share = 0.0 if predictor is None else predictor.share
        text = self._service.metrics.render(models, share, predictor is not None, host.n_swaps)
        return Reply(200, text, ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),))

    async def server(self, asked: Incoming) -> Reply:
        """The protocol's server metadata."""
        return Reply(200, encode({"name": "attrition_platform", "version": "0.1.0", "extensions": []}))

    async def live(self, asked: Incoming) -> Reply:
        """The process answers, so it lives."""
        return Reply(200, encode({"live": True}))

    async def ready(self, asked: Incoming) -> Reply:
        """Whether a model can serve."""
        if self._service.host.predictor is None:
            return unavailable("No model can serve.")  # why is not for strangers
        return Reply(200, encode({"ready": True}))

    async def model(self, asked: Incoming) -> Reply:
        """The protocol's model metadata."""
        predictor = self._service.host.predictor
        if asked.path["name"] != self.model_name:
            return self._no_model()
        return (
            self._service.not_ready()
            if predictor is None
            else inference_v2.model_metadata(self.model_name, predictor)
        )

    async def model_ready(self, asked: Incoming) -> Reply:
        """Whether this model can serve."""
        return self._no_model() if asked.path["name"] != self.model_name else await self.ready(asked)

    async def infer(self, asked: Incoming) -> Reply:
        """Score employees as tensors, all or none."""
        if asked.path["name"] != self.model_name:
            return self._no_model()
        decoded = inference_v2.decode_tensors(asked.body)
        if isinstance(decoded, Reply):
            return decoded
        rows, request_id = decoded
        wait = self._allow(asked.caller.name, len(rows))
        if wait is not None:
            return too_many(wait)
        found = await self._service.score_many(rows, asked.caller, all_or_nothing=True)
        if isinstance(found, Reply):
            return found
        return inference_v2.encode_tensors(self.model_name, request_id, found)

    def _no_model(self) -> Reply:
        return inference_v2.error(404, f"There is no such model here; this service has '{self.model_name}'.")


def too_many(seconds: float) -> Reply:
    """429 with when to ask again."""
    from attrition_platform.serving.limits import retry_after

    wait = (b"retry-after", retry_after(seconds))
    return problem(429, "too-many", "Too many predictions at once. Ask again later.", headers=(wait,))


def _path_parameter(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}
