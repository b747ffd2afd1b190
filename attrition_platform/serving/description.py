"""The interface's description: OpenAPI fragments for the routes, the employee's schema from the contract."""

from __future__ import annotations

from typing import Any

from attrition_platform.contracts.employee import json_schema
from attrition_platform.contracts.model import Contract
from attrition_platform.serving.bodies import MAX_BATCH

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_WHOLE: Schema = {"type": "integer"}
_RATE: Schema = {"type": "number", "minimum": 0, "maximum": 1}


def ref(name: str) -> Schema:
    """Reference to a schema of `schemas`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Schema, optional: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def schemas(contract: Contract, reads: tuple[str, ...]) -> dict[str, Schema]:
    """All schemas by name.

    Parameters
    ----------
    contract : Contract
    reads : tuple of str
        Contract columns that the serving model reads.
    """
    reason = _object(
        {
            "feature": _TEXT,
            "label": _TEXT,
            "contribution": _NUMBER,
            "direction": {"enum": ["raises", "lowers"]},
            "text": _TEXT,
        }
    )
    prediction = _object(
        {
            "id": _TEXT,
            "label": _TEXT,
            "flagged": {"type": "boolean"},
            "probability": _RATE,
            "threshold": _RATE,
            "tier": {"enum": ["high", "medium", "low", "very low"]},
            "score": _NUMBER,
            "reasons": _list(ref("Reason")),
            "recommendation": _TEXT,
            "model_version": _TEXT,
            "variant": {"enum": ["stable", "canary"]},
            "timestamp": {"type": "string", "format": "date-time"},
            "ignored": _list(_TEXT),
        }
    )
    field_problem = _object({"field": _TEXT, "code": _TEXT, "rule": _TEXT})
    problem = _object(
        {
            "type": _TEXT,
            "title": _TEXT,
            "status": _WHOLE,
            "detail": _TEXT,
            "errors": _list(ref("FieldProblem")),
        },
        optional=("errors",),
    )
    result = _object(
        {
            "prediction": {"oneOf": [ref("Prediction"), {"type": "null"}]},
            "problem": {"oneOf": [ref("Problem"), {"type": "null"}]},
        }
    )
    # Any object is taken: one that is no 'Employee' has its problem in its place in the answer.
    one = {
        "type": "object",
        "description": "An 'Employee'; one that breaks a rule is answered by its problem.",
    }
    employees = {**_list(one), "minItems": 1, "maxItems": MAX_BATCH}
    return {
        "Employee": json_schema(contract, reads),
        "Batch": _object({"employees": employees}) | {"additionalProperties": False},
        "Reason": reason,
        "Prediction": prediction,
        "FieldProblem": field_problem,
        "Problem": problem,
        "BatchResult": _object({"n_scored": _WHOLE, "n_refused": _WHOLE, "results": _list(result)}),
        "InferError": _object({"error": _TEXT}),
        "Ending": _object({"reason": {"type": "string", "minLength": 1, "maxLength": 500}})
        | {"additionalProperties": False},
    }


def operation(
    ok: Schema | None,
    *,
    body: Schema | None = None,
    media: str = "application/json",
    statuses: tuple[int, ...] = (),
    v2: bool = False,
) -> Schema:
    """One operation's request body and answers.

    Parameters
    ----------
    ok : dict or None
        Schema of the answer with status 200; None for text.
    body : dict or None
        Schema of the request's JSON body.
    statuses : tuple of int
        Refusals beside those that every route has.
    v2 : bool
        Whether refusals have the inference protocol's form.
    """
    answers: Schema = {"200": {"description": "OK", "content": {media: {"schema": ok or _TEXT}}}}
    refusal = {"application/problem+json": {"schema": ref("Problem")}}
    own = {"application/json": {"schema": ref("InferError")}}
    for status in sorted({*statuses, 400, 401, 403, 421, 429}):
        content = refusal | own if v2 else refusal
        answers[str(status)] = {"description": _WORDS[status], "content": content}
    described: Schema = {"responses": answers}
    if body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return described


_WORDS = {
    400: "The request is malformed.",
    401: "A valid API key is needed.",
    403: "The key lacks the role, or a foreign page asks.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    409: "The state does not allow it.",
    413: "The body is too large.",
    415: "The body is of another kind.",
    421: "The Host is not served here.",
    422: "A field breaks its rule; 'errors' names each.",
    429: "Too many predictions; Retry-After says when to ask again.",
    503: "Nothing can answer now; Retry-After says when to ask again.",
}
