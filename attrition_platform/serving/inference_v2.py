"""The Open Inference Protocol, version 2, over HTTP: tensors in, tensors out.

Each contract field is one input tensor of shape [n] or [n, 1]; the outputs are ``probability``,
``flagged``, ``label``, ``tier`` and ``id``. Source: the KServe project's description of the protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrition_platform.contracts.employee import describe_field
from attrition_platform.errors import InvalidEmployeeError
from attrition_platform.scoring.predictor import Predictor
from attrition_platform.serving.bodies import MAX_BATCH, decode_object, not_finite_places
from attrition_platform.serving.replies import PredictionBody, Reply, encode

_DATATYPES = {"count": "INT64", "continuous": "FP64"}
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "BOOL": (bool,),
    "BYTES": (str,),
    "FP32": (int, float),
    "FP64": (int, float),
}
_OUTPUTS = (
    ("probability", "FP64"),
    ("flagged", "BOOL"),
    ("label", "BYTES"),
    ("tier", "BYTES"),
    ("id", "BYTES"),
)


def error(status: int, text: str) -> Reply:
    """An error as the protocol wants it."""
    return Reply(status, encode({"error": text}))


def model_metadata(name: str, predictor: Predictor) -> Reply:
    """Describe the model's inputs and outputs."""
    contract = predictor.contract
    reads = predictor.stable.spec.source_columns
    fields = [field for field in contract.columns if field in reads or field == contract.id]
    inputs = [
        {"name": field, "datatype": datatype(describe_field(field, contract).kind), "shape": [-1]}
        for field in fields
    ]
    return Reply(
        200,
        encode(
            {
                "name": name,
                "versions": [predictor.stable.version],
                "platform": "attrition-compiled",
                "inputs": inputs,
                "outputs": [{"name": o, "datatype": d, "shape": [-1]} for o, d in _OUTPUTS],
            }
        ),
    )


def datatype(kind: str) -> str:
    """The protocol's datatype of a contract column.

    >>> datatype("count"), datatype("nominal")
    ('INT64', 'BYTES')
    """
    return _DATATYPES.get(kind, "BYTES")


def decode_tensors(body: bytes) -> tuple[list[dict[str, Any]], str | None] | Reply:
    """Turn input tensors into one object per employee, and the request's id.

    Returns
    -------
    tuple or Reply
        A reply where the request breaks the protocol; it names the tensor and the rule.
    """
    request = decode_object(body)
    if isinstance(request, Reply):
        places = ", ".join(not_finite_places(body))
        return error(400, f"No finite number: {places}." if places else "The body must be one JSON object.")
    request_id = request.get("id")
    if request_id is not None and not isinstance(request_id, str):
        return error(400, "'id' must be a string.")
    tensors = request.get("inputs")
    if not isinstance(tensors, list) or not tensors:
        return error(400, "'inputs' must be a list of tensors.")
    columns: dict[str, list[Any]] = {}
    for position, tensor in enumerate(tensors):
        read = _column(tensor, position)
        if isinstance(read, Reply):
            return read
        name, values = read
        if name in columns:
            return error(400, f"Input {position} has the name of another one.")
        columns[name] = values
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1 or not 1 <= max(lengths) <= MAX_BATCH:
        return error(400, f"All inputs must have the same first dimension, from 1 to {MAX_BATCH}.")
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)], request_id


def _column(tensor: Any, position: int) -> tuple[str, list[Any]] | Reply:
    where = f"Input {position}"
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        return error(400, f"{where} needs a name.")
    kind, shape, data = tensor.get("datatype"), tensor.get("shape"), tensor.get("data")
    if not isinstance(shape, list) or not isinstance(data, list):
        return error(400, f"{where} needs shape and data as lists; binary tensors are not supported.")
    if any(isinstance(size, bool) or not isinstance(size, int) for size in shape):
        return error(400, f"{where}: shape must hold whole numbers.")
    if len(shape) == 2 and shape[1] == 1 and data and all(isinstance(v, list) and len(v) == 1 for v in data):
        data = [value[0] for value in data]
    if shape not in ([len(data)], [len(data), 1]):
        return error(400, f"{where}: shape must be [n] or [n, 1] and fit the data.")
    if not isinstance(kind, str):
        return error(400, f"{where} needs a datatype.")
    types = (int,) if kind.startswith(("INT", "UINT")) else _PYTHON_TYPES.get(kind)
    if types is None:
        return error(400, f"{where}: this datatype is not supported; BOOL, BYTES, INT64 and FP64 are.")
    for value in data:
        if value is not None and (
            not isinstance(value, types) or (isinstance(value, bool) and kind != "BOOL")
        ):
            return error(400, f"{where}: an element is not of its datatype.")
    return tensor["name"], data


def encode_tensors(
    name: str, request_id: str | None, found: Sequence[PredictionBody | InvalidEmployeeError]
) -> Reply:
    """Lay predictions out as output tensors; the protocol has no place for one that is refused."""
    predictions: list[PredictionBody] = []
    for position, one in enumerate(found):
        if isinstance(one, InvalidEmployeeError):
            why = "; ".join(f"{p.field}: {p.rule} ({p.code})" for p in one.problems)
            return error(400, f"Element {position} can't be scored, so none was: {why}.")
        predictions.append(one)
    outputs = [
        {
            "name": output,
            "datatype": kind,
            "shape": [len(predictions)],
            "data": [getattr(prediction, output) for prediction in predictions],
        }
        for output, kind in _OUTPUTS
    ]
    versions = sorted({prediction.model_version for prediction in predictions})
    answer: dict[str, Any] = {"model_name": name, "model_version": ",".join(versions), "outputs": outputs}
    if request_id is not None:
        answer["id"] = request_id
    return Reply(200, encode(answer))
