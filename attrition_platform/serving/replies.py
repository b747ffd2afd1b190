"""Bodies of answers: predictions, and problem documents (RFC 9457) that name fields and never values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus

import msgspec

from attrition_platform.errors import FieldProblem
from attrition_platform.scoring.predictor import Answer

Headers = tuple[tuple[bytes, bytes], ...]
JSON = (b"content-type", b"application/json")
PROBLEM_JSON = (b"content-type", b"application/problem+json")


class Reply(msgspec.Struct, frozen=True):
    """A whole HTTP answer.

    Attributes
    ----------
    status : int
    body : bytes
    headers : tuple of (bytes, bytes)
        Content type included.
    """

    status: int
    body: bytes
    headers: Headers = (JSON,)


class ReasonBody(msgspec.Struct):
    """One reason as it is sent."""

    feature: str
    label: str
    contribution: float
    direction: str
    text: str


class PredictionBody(msgspec.Struct):
    """One prediction as it is sent."""

    id: str
    label: str
    flagged: bool
    probability: float
    threshold: float
    tier: str
    score: float
    reasons: list[ReasonBody]
    recommendation: str
    model_version: str
    variant: str
    timestamp: str
    ignored: list[str]


_encoder = msgspec.json.Encoder()
encode = _encoder.encode


def prediction_body(answer: Answer, prediction_id: str, at: int) -> PredictionBody:
    """Lay an answer out for sending.

    Parameters
    ----------
    at : int
        Microseconds since 1970-01-01 UTC.
    """
    return PredictionBody(
        prediction_id,
        answer.label,
        answer.flagged,
        answer.probability,
        answer.threshold,
        answer.tier,
        answer.score,
        [ReasonBody(r.feature, r.label, r.contribution, r.direction, r.text) for r in answer.reasons],
        answer.recommendation,
        answer.version,
        # A canary that failed did not answer, so it is not named.
        "stable" if answer.failed else answer.variant,
        as_time(at),
        list(answer.ignored),
    )


def as_time(at: int) -> str:
    """Write a time.

    >>> as_time(1_000_000)
    '1970-01-01T00:00:01.000+00:00'
    """
    return datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="milliseconds")


def problem(
    status: int,
    code: str,
    detail: str,
    fields: Sequence[FieldProblem] = (),
    headers: Headers = (),
) -> Reply:
    """Build a problem document.

    Parameters
    ----------
    code : str
        Short and stable; the document's type is ``urn:attrition:problem:CODE``.
    detail : str
        What is wrong and what to do.
    fields : sequence of FieldProblem
        What is wrong with which field.
    """
    return Reply(status, encode(problem_document(status, code, detail, fields)), (PROBLEM_JSON, *headers))


def problem_document(
    status: int, code: str, detail: str, fields: Sequence[FieldProblem] = ()
) -> dict[str, object]:
    """What `problem` encodes."""
    document: dict[str, object] = {
        "type": f"urn:attrition:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if fields:
        document["errors"] = [{"field": f.field, "code": f.code, "rule": f.rule} for f in fields]
    return document


def unavailable(detail: str, seconds: int = 5) -> Reply:
    """503: nothing can answer now."""
    return problem(503, "unavailable", detail, headers=((b"retry-after", b"%d" % seconds),))
