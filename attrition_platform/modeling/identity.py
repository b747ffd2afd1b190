"""A model's identity: what it learned and what it says, never the bytes it was stored as.

Serialised bytes differ each time the same model is written; what it learned does not. So the identity
is the sha256 of every learned number and of the predictions on a fixed set of made-up employees, and
it is the same in another process, on another day and under another number of threads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from attrition_platform.features.spec import FeatureSpec

FORMAT = "attrition-model-identity-1"
N_PROBE_ROWS = 256
SIGNIFICANT_DIGITS = 10
PREDICTION_STEP = 1e-9
# How a model was fitted, not what it learned: threads, talk, and the state of random generators.
NOT_LEARNED = frozenset(
    {"n_jobs", "n_threads", "verbose", "memory", "random_state", "_sklearn_version", "__sklearn_tags__"}
)


def make_probe(spec: FeatureSpec) -> np.ndarray:
    """Made-up employees that every model of a spec is asked about.

    They follow from the spec alone and not from data or a random generator. Numbers spread over many
    magnitudes, since the spec doesn't say in which unit a number is; some values are missing, and the
    last employee has none at all.

    Parameters
    ----------
    spec : FeatureSpec
        Kinds of the features and the number of each one's categories.

    Returns
    -------
    ndarray of float64 of shape (256, n_features)

    Examples
    --------
    >>> from attrition_platform.features.spec import FeatureSpec
    >>> make_probe(FeatureSpec(("level",), ("category",), (3,), ("level",)))[:4, 0].tolist()
    [1.0, 2.0, 0.0, 1.0]
    """
    rows = np.arange(1, N_PROBE_ROWS + 1, dtype=np.float64)
    probe = np.empty((N_PROBE_ROWS, len(spec.names)))
    for position, (kind, n_categories) in enumerate(zip(spec.kinds, spec.n_categories, strict=True)):
        share = (rows * np.sqrt(2.0) * (position + 1)) % 1.0
        if kind == "category":
            values = np.floor(share * n_categories)
        elif kind == "count":
            values = np.floor(np.power(10.0, 4.0 * share)) - 1.0
        else:
            values = (np.power(10.0, 5.0 * share) - 1.0) * np.where(rows % 11 == 0, -1.0, 1.0)
        values[(rows + position) % 17 == 0] = np.nan
        probe[:, position] = values
    probe[-1] = np.nan
    return probe


def model_identity(pipeline: Pipeline, spec: FeatureSpec, probe: np.ndarray) -> str:
    """Hash what a fitted pipeline learned and what it predicts.

    Learned numbers count to 10 significant digits and probabilities to 1e-9, so that the last bit of a
    sum does not make another model of the same one.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted; made of scikit-learn and NumPy objects only.
    spec : FeatureSpec
        What the pipeline reads: the same numbers under other names are another model.
    probe : ndarray of shape (n_rows, n_features)
        From `make_probe`.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    found = hashlib.sha256()
    walk = _Walk(found.update)
    walk.text(FORMAT)
    walk.text(spec.digest)
    walk.visit(pipeline)
    y_prob = np.asarray(pipeline.predict_proba(probe), dtype=np.float64)
    walk.visit(np.rint(y_prob / PREDICTION_STEP).astype(np.int64))
    return found.hexdigest()


class _Walk:
    """Feeds an object's learned content to a hash, each piece with its kind and its length."""

    def __init__(self, feed: Callable[[bytes], object]) -> None:
        self.feed = feed
        self.open: set[int] = set()

    def text(self, text: str) -> None:
        data = text.encode()
        self.feed(f"text {len(data)}:".encode() + data)

    def visit(self, value: Any) -> None:
        if isinstance(value, np.ndarray | np.generic | float):
            self._array(np.asarray(value))
        elif value is None or isinstance(value, bool | int | str | bytes | slice | range):
            self.text(f"{type(value).__name__} {value!r}")
        elif isinstance(value, np.random.RandomState | np.random.Generator):
            return
        elif isinstance(value, type | FunctionType | MethodType | ModuleType | np.dtype):
            self.text(getattr(value, "__qualname__", None) or getattr(value, "__name__", "") or str(value))
        elif id(value) in self.open:
            self.text("cycle")
        else:
            self.open.add(id(value))
            self._inside(value)
            self.open.remove(id(value))

    def _inside(self, value: Any) -> None:
        if isinstance(value, Mapping):
            self._named({str(key): item for key, item in value.items()}, "mapping")
        elif isinstance(value, set | frozenset):
            self._listed(sorted(value, key=repr), "set")
        elif isinstance(value, list | tuple):
            self._listed(value, "list")
        else:
            self._named(_content_of(value), f"{type(value).__module__}.{type(value).__qualname__}")

    def _named(self, items: Mapping[str, Any], kind: str) -> None:
        learned = sorted(name for name in items if name not in NOT_LEARNED)
        self.text(f"{kind} of {len(learned)}")
        for name in learned:
            self.text(name)
            self.visit(items[name])

    def _listed(self, items: list[Any] | tuple[Any, ...], kind: str) -> None:
        self.text(f"{kind} of {len(items)}")
        for item in items:
            self.visit(item)

    def _array(self, array: np.ndarray) -> None:
        if array.dtype.names is not None:
            self._named({name: array[name] for name in array.dtype.names}, "records")
        elif array.dtype.kind == "O":
            self._listed(array.ravel().tolist(), f"objects {array.shape}")
        elif array.dtype.kind == "f":
            self._bytes("float", array.shape, *_significant(array.astype(np.float64)))
        elif array.dtype.kind in "biu":
            self._bytes("int", array.shape, array.astype(np.int64))
        else:
            self._listed([str(item) for item in array.ravel().tolist()], f"{array.dtype.kind} {array.shape}")

    def _bytes(self, kind: str, shape: tuple[int, ...], *parts: np.ndarray) -> None:
        self.text(f"{kind} {shape}")
        for part in parts:
            self.feed(np.ascontiguousarray(part).astype("<i8", copy=False).tobytes())


def _content_of(value: Any) -> Mapping[str, Any]:
    """What an object holds; empty when it is of a compiled type that shows nothing of itself."""
    try:
        state = value.__getstate__()  # compiled trees keep their nodes here, not in __dict__
    except TypeError:
        state = None
    if isinstance(state, Mapping):
        return {str(name): item for name, item in state.items()}
    return {str(name): item for name, item in getattr(value, "__dict__", {}).items()}


def _significant(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mantissa of 10 digits and decimal exponent of each number; NaN and infinities get codes."""
    finite = np.isfinite(values) & (np.abs(values) > 1e-290)
    safe = np.where(finite, values, 1.0)
    exponent = np.floor(np.log10(np.abs(safe)))
    mantissa = np.rint(safe / np.power(10.0, exponent) * 10.0 ** (SIGNIFICANT_DIGITS - 1))
    # 9.99999999996 rounds up to ten: the same number must not have two spellings.
    carried = np.abs(mantissa) >= 10.0**SIGNIFICANT_DIGITS
    mantissa = np.where(carried, mantissa / 10.0, mantissa)
    exponent = np.where(carried, exponent + 1, exponent)
    code = np.where(
        np.isnan(values), 1, np.where(np.isposinf(values), 2, np.where(np.isneginf(values), 3, 0))
    )
    return (
        np.where(finite, mantissa, code).astype(np.int64),
        np.where(finite, exponent, 9_999).astype(np.int64),
    )
