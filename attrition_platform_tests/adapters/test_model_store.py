"""A stored model comes back as it was, or not at all."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline

from attrition_platform.adapters import model_store
from attrition_platform.adapters.model_store import TRUSTED_TYPES, load_model, load_scorer, save_model
from attrition_platform.errors import UntrustedArtefactError
from attrition_platform.features.spec import FeatureSpec
from attrition_platform.modeling.families import FAMILIES
from attrition_platform.modeling.identity import make_probe, model_identity
from attrition_platform_tests.fitted_models import SPEC, compile_family, fit_family, make_employees

KEY = b"k" * 32
ABOUT = {"version": "0123456789abcdef", "family": "logistic_regression"}
FILES = ("model.skops", "model.json", "compiled.json", "manifest.json")


class Foreign(ClassifierMixin, BaseEstimator):
    """A model type that nobody has vetted."""

    loaded = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        type(self).loaded = True
        self.__dict__.update(state)


def save(folder: Path, family: str = "logistic_regression", **changes: Any) -> Path:
    given: dict[str, Any] = {"threshold": 0.37, "about": ABOUT, "key": KEY} | changes
    save_model(
        folder,
        fit_family(family),
        compile_family(family),
        SPEC,
        given["threshold"],
        given["about"],
        given["key"],
    )
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_of_each_family_comes_back_as_it_was(tmp_path: Path, family: str) -> None:
    X, _ = make_employees()
    probe = make_probe(SPEC)

    stored = load_model(save(tmp_path / "model", family), KEY)

    np.testing.assert_array_equal(stored.pipeline.predict_proba(X), fit_family(family).predict_proba(X))
    assert model_identity(stored.pipeline, SPEC, probe) == model_identity(fit_family(family), SPEC, probe)
    assert (stored.spec, stored.threshold, stored.about) == (SPEC, 0.37, ABOUT)


def test_no_type_is_trusted_without_need() -> None:
    needed = {
        name
        for family in FAMILIES
        for name in skops.io.get_untrusted_types(data=skops.io.dumps(fit_family(family)))
    }

    assert set(TRUSTED_TYPES) == needed


def test_the_description_repeats_byte_by_byte_and_leaves_no_other_file(tmp_path: Path) -> None:
    first = save(tmp_path / "a")
    second = save(tmp_path / "b", about=dict(reversed(ABOUT.items())))

    assert (first / "model.json").read_bytes() == (second / "model.json").read_bytes()
    assert sorted(path.name for path in first.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_anywhere_is_refused(tmp_path: Path, name: str) -> None:
    folder = save(tmp_path / "model")
    good = (folder / name).read_bytes()
    for position in {*np.linspace(0, len(good) - 1, 60).astype(int).tolist(), len(good) - 1}:
        for bit in (0, 6):
            bad = bytearray(good)
            bad[position] ^= 1 << bit
            (folder / name).write_bytes(bad)
            with pytest.raises(UntrustedArtefactError, match="is not loaded"):
                load_model(folder, KEY)
    (folder / name).write_bytes(good)
    assert load_model(folder, KEY).threshold == 0.37


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["missing", "empty", "cut", "longer", "symlink", "folder"])
def test_a_file_that_is_not_what_was_written_is_refused(tmp_path: Path, name: str, harm: str) -> None:
    folder = save(tmp_path / "model")
    file = folder / name
    good = file.read_bytes()
    file.unlink()
    if harm == "symlink":
        (tmp_path / "elsewhere").write_bytes(good)
        file.symlink_to(tmp_path / "elsewhere")
    elif harm == "folder":
        file.mkdir()
    elif harm != "missing":
        file.write_bytes({"empty": b"", "cut": good[:-9], "longer": good + b"\n"}[harm])

    with pytest.raises(UntrustedArtefactError, match=name):
        load_model(folder, KEY)


@pytest.mark.parametrize("name", ["model.skops", "model.json"])
def test_a_file_of_another_signed_model_is_refused(tmp_path: Path, name: str) -> None:
    folder, other = save(tmp_path / "a"), save(tmp_path / "b", "random_forest", threshold=0.9)
    shutil.copyfile(other / name, folder / name)

    with pytest.raises(UntrustedArtefactError, match=f"{name} is not the file that was signed"):
        load_model(folder, KEY)


def test_another_key_is_refused_before_the_model_is_read(tmp_path: Path) -> None:
    folder = save(tmp_path / "model", key=b"x" * 32)
    (folder / "model.skops").unlink()

    with pytest.raises(UntrustedArtefactError, match="not signed with this platform's key"):
        load_model(folder, KEY)


def test_a_manifest_rewritten_without_the_key_is_refused(tmp_path: Path) -> None:
    folder, other = save(tmp_path / "a"), save(tmp_path / "b", threshold=0.9)
    shutil.copyfile(other / "model.json", folder / "model.json")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = json.loads((other / "manifest.json").read_text())["files"]
    (folder / "manifest.json").write_text(json.dumps(manifest))

    with pytest.raises(UntrustedArtefactError, match="not signed"):
        load_model(folder, KEY)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"hmac": 3, "files": {}}', "[" * 60_000, "é" * 9])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    folder = save(tmp_path / "model")
    (folder / "manifest.json").write_text(text)

    with pytest.raises(UntrustedArtefactError, match=r"manifest\.json"):
        load_model(folder, KEY)


def test_a_foreign_type_is_not_stored(tmp_path: Path) -> None:
    with pytest.raises(UntrustedArtefactError, match="Foreign"):
        save_model(
            tmp_path / "model",
            Pipeline([("model", Foreign())]),
            compile_family("baseline"),
            SPEC,
            0.5,
            {},
            KEY,
        )

    assert not (tmp_path / "model").exists()


def test_a_foreign_type_is_not_loaded_even_when_it_is_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting = (*TRUSTED_TYPES, f"{Foreign.__module__}.Foreign")
    with monkeypatch.context() as patched:
        patched.setattr(model_store, "TRUSTED_TYPES", trusting)
        save_model(
            tmp_path / "model",
            Pipeline([("model", Foreign())]),
            compile_family("baseline"),
            SPEC,
            0.5,
            {},
            KEY,
        )

    with pytest.raises(UntrustedArtefactError, match="a type that is not trusted"):
        load_model(tmp_path / "model", KEY)
    assert not Foreign.loaded


def test_a_signed_object_that_is_no_pipeline_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "model", {"not": "a model"}, compile_family("baseline"), SPEC, 0.5, {}, KEY)  # type: ignore[arg-type]

    with pytest.raises(UntrustedArtefactError, match="no pipeline"):
        load_model(tmp_path / "model", KEY)


def test_a_missing_folder_is_refused_and_no_message_shows_the_key(tmp_path: Path) -> None:
    with pytest.raises(UntrustedArtefactError, match=r"manifest\.json is missing") as caught:
        load_model(tmp_path / "nowhere", KEY)

    assert KEY.decode() not in str(caught.value)


def test_saving_again_replaces_the_model(tmp_path: Path) -> None:
    save(tmp_path / "model")
    save(tmp_path / "model", "random_forest", threshold=0.9)

    assert load_model(tmp_path / "model", KEY).threshold == 0.9


def test_the_compiled_form_loads_without_scikit_learn(tmp_path: Path) -> None:
    folder = save(tmp_path / "model")
    code = (
        "import sys; from pathlib import Path\n"
        "from attrition_platform.adapters.model_store import load_scorer\n"
        f"stored = load_scorer(Path({str(folder)!r}), b'k' * 32)\n"
        "assert stored.compiled.explain_one([3.0, 2.0, 9.0])[0] < 0\n"
        "assert not {'sklearn', 'skops', 'pandas', 'scipy'} & set(sys.modules), sys.modules.keys()\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_a_compiled_form_of_other_features_is_refused(tmp_path: Path) -> None:
    spec = FeatureSpec(("pay",), ("number",), (0,), ("pay",))
    save_model(tmp_path / "model", fit_family("baseline"), compile_family("baseline"), spec, 0.5, {}, KEY)

    with pytest.raises(UntrustedArtefactError, match=r"compiled\.json is signed but describes no model"):
        load_scorer(tmp_path / "model", KEY)
