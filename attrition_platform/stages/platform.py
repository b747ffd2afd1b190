"""One place's contract, policy, key and stores, opened when they are first needed."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from attrition_platform.contracts.toml_file import contract_digest, load_contract, shipped_contract
from attrition_platform.errors import SettingsError
from attrition_platform.modeling.policy import load_policy, policy_digest
from attrition_platform.settings import Settings

if TYPE_CHECKING:
    from attrition_platform.adapters.cause_store import CauseStore
    from attrition_platform.adapters.mlflow_registry import MlflowRegistry
    from attrition_platform.adapters.prediction_log import SqlPredictionLog
    from attrition_platform.adapters.step_cache import StepCache
    from attrition_platform.contracts.model import Contract
    from attrition_platform.modeling.policy import Policy
    from attrition_platform.ports import Ledger

KEY_FINGERPRINT = "key.fingerprint"


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _keep_to_one_key(settings: Settings, key: bytes) -> None:
    """Note in the data folder which key it is used with, or refuse another one.

    With another key the same employee has another pseudonym: outcomes would be stored that no row matches.
    """
    from attrition_platform.adapters.object_store import write_atomically

    file = settings.data_dir / KEY_FINGERPRINT
    own = hmac.new(key, b"the key of this data folder", hashlib.sha256).hexdigest()
    try:
        known = file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        with suppress(OSError):  # who may only read the folder leaves no note
            write_atomically(file, f"{own}\n".encode())
            file.chmod(0o644)  # another user with a copy of the key compares it too
        return
    except UnicodeDecodeError:
        known = ""
    except OSError:
        return
    if not hmac.compare_digest(known, own):
        raise SettingsError(
            f"The data folder '{settings.data_dir}' was made with another key than '{settings.key_file}', so "
            "its employees would not be found again. Set ATTRITION_KEY_FILE to the key file of whoever made "
            f"this place, or ATTRITION_DATA to a folder of your own. ('{file}' holds the fingerprint.)"
        )


@dataclass(frozen=True)
class Platform:
    """Everything that the stages share; each part is built at first use and then kept.

    Parameters
    ----------
    settings : Settings
        Where things lie and which rules apply.
    clock : callable
        The time in UTC; a simulated year brings its own.
    """

    settings: Settings
    clock: Callable[[], datetime] = _utc_now

    def at(self) -> str:
        """The time now, in UTC, as records have it: ISO 8601 to the millisecond."""
        return self.clock().isoformat(timespec="milliseconds")

    def today(self) -> date:
        """The date where the policy's clock hangs: outcomes carry local dates."""
        return self.clock().astimezone(ZoneInfo(self.policy.triggers.time_zone)).date()

    @cached_property
    def contract(self) -> Contract:
        """The dataset's contract."""
        file = self.settings.contract_file
        return shipped_contract() if file is None else load_contract(file)

    @cached_property
    def contract_digest(self) -> str:
        """sha256 of the contract's meaning."""
        return contract_digest(self.contract)

    @cached_property
    def policy(self) -> Policy:
        """The promotion policy."""
        return load_policy(self.settings.policy)

    @cached_property
    def policy_digest(self) -> str:
        """sha256 of the policy's meaning."""
        return policy_digest(self.policy)

    @cached_property
    def key(self) -> bytes:
        """Secret of pseudonyms and manifests.

        Raises
        ------
        SettingsError
            When it can't be read, or the data folder was made with another one.
        """
        key = self.settings.secret_key()
        _keep_to_one_key(self.settings, key)
        return key

    @cached_property
    def steps(self) -> StepCache:
        """Stored results of steps."""
        from attrition_platform.adapters.object_store import ObjectStore
        from attrition_platform.adapters.step_cache import StepCache

        return StepCache(ObjectStore(self.settings.data_dir / "store"))

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger of this contract's champions; one SQLite file per contract by default."""
        from attrition_platform.adapters.ledger import SqlLedger

        url = self.settings.ledger_url
        if url is None:
            file = self.settings.data_dir / "ledger" / f"{self.contract.name}.sqlite"
            file.parent.mkdir(parents=True, exist_ok=True)
            url = f"sqlite:///{file}"
        return SqlLedger(url)

    @cached_property
    def causes(self) -> CauseStore:
        """What called for runs: beside the ledger in PostgreSQL, else in an SQLite file of its own."""
        from attrition_platform.adapters.cause_store import CauseStore

        url = self.settings.ledger_url
        if url is None or url.startswith("sqlite"):
            file = self.settings.data_dir / "causes" / f"{self.contract.name}.sqlite"
            file.parent.mkdir(parents=True, exist_ok=True)
            url = f"sqlite:///{file}"
        return CauseStore(url)

    @cached_property
    def predictions(self) -> SqlPredictionLog:
        """The log of this contract's predictions; one SQLite file per contract by default."""
        from attrition_platform.adapters.prediction_log import SqlPredictionLog

        url = self.settings.predictions_url
        if url is None:
            file = self.settings.data_dir / "predictions" / f"{self.contract.name}.sqlite"
            file.parent.mkdir(parents=True, exist_ok=True)
            url = f"sqlite:///{file}"
        return SqlPredictionLog(url)

    @cached_property
    def registry(self) -> MlflowRegistry:
        """The MLflow tracking store and model registry."""
        from attrition_platform.adapters.mlflow_registry import MlflowRegistry

        folder = self.settings.data_dir / "mlflow"
        return MlflowRegistry(self.settings.mlflow_uri or f"sqlite:///{folder / 'mlflow.sqlite'}", folder)

    @property
    def pointers_dir(self) -> Path:
        """Where it is written down which result each run made of each asset."""
        return self.settings.data_dir / "pointers" / self.contract.name

    @property
    def excluded_columns(self) -> frozenset[str]:
        """Columns that candidates may not read, by the policy and the columns setting."""
        if self.settings.columns == "all" or not self.policy.exclude_protected:
            return frozenset()
        proxies = self.contract.proxies if self.policy.exclude_proxies else ()
        return frozenset(self.contract.protected) | frozenset(proxies)

    def file(self, sha256: str) -> Path:
        """Path of a stored object."""
        return self.steps.store.path(sha256)
