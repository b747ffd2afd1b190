"""Models on disk: stored with skops, and loaded only after our own signature was verified.

The manifest lists the sha256 of every file and carries an HMAC over that list, so whoever can write the
folder but does not hold the key can't make us load anything. skops then admits only the types that we
list here; the artefact has no say in it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from attrition_platform.errors import UntrustedArtefactError

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from attrition_platform.features.spec import FeatureSpec
    from attrition_platform.scoring.compiled import CompiledModel

FORMAT = 2
MODEL_FILE = "model.skops"
COMPILED_FILE = "compiled.json"
ABOUT_FILE = "model.json"
MANIFEST_FILE = "manifest.json"
SIGNED_FILES = (ABOUT_FILE, COMPILED_FILE, MODEL_FILE)
_MAX_MANIFEST_BYTES = 65_536
# Keeps a signature of this purpose from serving for another thing signed with the same key.
_PURPOSE = b"attrition-platform/model/1\n"

# Beyond what skops trusts by itself: parts of fitted trees and splines, and two functions that check or
# convert an array. `partial` can only bind a function that is trusted as well, so it adds none.
TRUSTED_TYPES: tuple[str, ...] = (
    "functools.partial",
    "numpy.dtype",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "sklearn.utils.validation.check_array",
)


# Where a model's files lie: a folder that has them under their names, or each name's own path.
Place = Path | Mapping[str, Path]


@dataclass(frozen=True)
class StoredScorer:
    """A model as those need it who only score: the compiled form, without scikit-learn.

    Attributes
    ----------
    compiled : CompiledModel
        What the pipeline learned, as plain numbers.
    spec : FeatureSpec
        What the pipeline reads.
    threshold : float
        Probability from which an employee is flagged.
    about : dict
        What `save_model` was told of the model, such as its version.
    """

    compiled: CompiledModel
    spec: FeatureSpec
    threshold: float
    about: dict[str, Any]


@dataclass(frozen=True)
class StoredModel(StoredScorer):
    """A model as it was stored, the fitted pipeline included."""

    pipeline: Pipeline


def save_model(
    folder: Path,
    pipeline: Pipeline,
    compiled: CompiledModel,
    spec: FeatureSpec,
    threshold: float,
    about: Mapping[str, Any],
    key: bytes,
) -> None:
    """Write a model's four files; the manifest last, so that a torn write can't be loaded.

    Parameters
    ----------
    folder : Path
        Made when missing.
    pipeline : Pipeline
        Fitted; it may hold no type that skops or `TRUSTED_TYPES` does not know.
    compiled : CompiledModel
        Of this pipeline; ``compiled.json``, whose bytes repeat.
    spec, threshold
        Stored beside it, in ``model.json``, whose bytes repeat.
    about : mapping
        Plain values that JSON can hold.
    key : bytes
        Signs the manifest.

    Raises
    ------
    UntrustedArtefactError
        If the pipeline holds a foreign type: it could be written but never loaded.
    """
    import skops.io

    from attrition_platform.scoring.compiled import to_bytes

    data = skops.io.dumps(pipeline)
    foreign = set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED_TYPES)
    if foreign:
        raise UntrustedArtefactError(
            f"The model is not stored in '{folder.name}': its pipeline holds types that could not be "
            f"loaded again ({', '.join(sorted(foreign))}). Build it from trusted types, or add them to "
            "TRUSTED_TYPES after reading what they do."
        )
    described = {
        "format": FORMAT,
        "spec": spec.as_json(),
        "threshold": float(threshold),
        "about": dict(about),
    }
    files = {MODEL_FILE: data, COMPILED_FILE: to_bytes(compiled), ABOUT_FILE: _canonical(described)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        _write(folder / name, content)
    signed = {
        "format": FORMAT,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    _write(folder / MANIFEST_FILE, _canonical(signed | {"hmac": _sign(signed, key)}))


def load_model(place: Place, key: bytes) -> StoredModel:
    """Verify a model's files and load it.

    Each file is read once, and what was verified is what is loaded.

    Parameters
    ----------
    place : Path or mapping of str to Path
        The folder, or each file by its name.
    key : bytes
        The one that signed the manifest.

    Raises
    ------
    UntrustedArtefactError
        If a file is missing, damaged or not the one that was signed, if the manifest was signed with
        another key, or if the model holds a type that we do not trust.
    """
    files = _verified_files(place, key)
    described = _described(place, files)
    pipeline = _unpack(place, files[MODEL_FILE])
    return StoredModel(
        described.compiled, described.spec, described.threshold, described.about, pipeline=pipeline
    )


def load_scorer(place: Place, key: bytes) -> StoredScorer:
    """Verify a model's files and load its compiled form only; errors as in `load_model`."""
    return _described(place, _verified_files(place, key))


def _described(place: Place, files: Mapping[str, bytes]) -> StoredScorer:
    from attrition_platform.features.spec import FeatureSpec
    from attrition_platform.scoring.compiled import from_bytes

    try:
        described = json.loads(files[ABOUT_FILE])
        spec = FeatureSpec.from_json(described["spec"])
        threshold, about = float(described["threshold"]), dict(described["about"])
        compiled = from_bytes(files[COMPILED_FILE])
        if compiled.n_features != len(spec.names):
            raise ValueError("the compiled model takes other features")
    except (ValueError, KeyError, TypeError) as error:
        raise _refusal(place, f"{ABOUT_FILE} or {COMPILED_FILE} is signed but describes no model") from error
    return StoredScorer(compiled, spec, threshold, about)


def _unpack(place: Place, data: bytes) -> Pipeline:
    import skops.io
    from sklearn.pipeline import Pipeline
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        pipeline = skops.io.loads(data, trusted=list(TRUSTED_TYPES))
    except (UntrustedTypesFoundException, TypeError) as error:
        raise _refusal(place, f"{MODEL_FILE} holds a type that is not trusted") from error
    except Exception as error:  # a signed file that skops can't read: whatever it raises, no model
        raise _refusal(place, f"{MODEL_FILE} is signed but can't be read") from error
    if not isinstance(pipeline, Pipeline):
        _refuse(place, f"{MODEL_FILE} holds no pipeline")
    return pipeline


def _verified_files(place: Place, key: bytes) -> dict[str, bytes]:
    try:
        text = _read(place, MANIFEST_FILE, _MAX_MANIFEST_BYTES)
        manifest = json.loads(text)
        signature = manifest.pop("hmac")
        digests = dict(manifest["files"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _refusal(place, f"{MANIFEST_FILE} is not a manifest") from error
    expected = _sign(manifest, key)
    if not isinstance(signature, str) or not hmac.compare_digest(signature.encode(), expected.encode()):
        _refuse(place, f"{MANIFEST_FILE} is not signed with this platform's key")
    if text != _canonical(manifest | {"hmac": signature}):
        _refuse(place, f"{MANIFEST_FILE} is not written the way it was signed")
    if manifest.get("format") != FORMAT or set(digests) != set(SIGNED_FILES):
        _refuse(place, f"{MANIFEST_FILE} is of another format")
    files = {}
    for name in SIGNED_FILES:
        files[name] = _read(place, name)
        if hashlib.sha256(files[name]).hexdigest() != digests[name]:
            _refuse(place, f"{name} is not the file that was signed")
    return files


def _read(place: Place, name: str, max_bytes: int | None = None) -> bytes:
    path = place / name if isinstance(place, Path) else place.get(name)
    if path is None:
        _refuse(place, f"{name} is missing or no plain file")
    try:
        if path.is_symlink() or not path.is_file():
            _refuse(place, f"{name} is missing or no plain file")
        if max_bytes is not None and path.stat().st_size > max_bytes:
            _refuse(place, f"{name} is larger than any manifest")
        return path.read_bytes()
    except OSError as error:
        raise _refusal(place, f"{name} can't be read") from error


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, indent=1, allow_nan=False).encode() + b"\n"


def _sign(signed: Mapping[str, Any], key: bytes) -> str:
    return hmac.digest(key, _PURPOSE + _canonical(signed), "sha256").hex()


def _refusal(place: Place, rule: str) -> UntrustedArtefactError:
    where = f"'{place.name}'" if isinstance(place, Path) else "the store"
    return UntrustedArtefactError(
        f"The model in {where} is not loaded: {rule}. "
        "Materialize 'challenger' again, or restore it from a backup."
    )


def _refuse(place: Place, rule: str) -> NoReturn:
    raise _refusal(place, rule)
