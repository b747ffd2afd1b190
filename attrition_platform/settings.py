"""The only reader of environment variables: where things lie and which rules apply.

| variable | meaning | default |
|---|---|---|
| `ATTRITION_DATA` | folder of all local state, `inbox/` included | `data` in the current folder |
| `ATTRITION_CONTRACT` | contract file of the HR extract | the shipped reference contract |
| `ATTRITION_POLICY` | name of a shipped policy, or a policy file | `responsible` |
| `ATTRITION_COLUMNS` | `policy`: as the policy says; `all`: force protected columns in | `policy` |
| `ATTRITION_KEY_FILE` | secret for pseudonyms and manifests | `~/.config/attrition_platform/key`, made once |
| `ATTRITION_LEDGER_URL` | SQLAlchemy URL of the ledger | SQLite under the data folder |
| `ATTRITION_MLFLOW_URI` | MLflow tracking and registry URI | SQLite under the data folder |
| `ATTRITION_PREDICTIONS_URL` | SQLAlchemy URL of the prediction log | SQLite under the data folder |
| `ATTRITION_RATE_LIMIT` | predictions per second that one client may ask for | `1000` |
| `ATTRITION_WEBHOOK_URL` | where notifications are posted as JSON | none: a file under the data folder only |
| `ATTRITION_WEBHOOK_FORMAT` | `generic`: all fields; `slack`: what Slack's web hooks take | `generic` |
| `ATTRITION_SMTP_URL` | `smtp[s]://user:password@host:port`; `smtp` uses STARTTLS | none: no mail |
| `ATTRITION_MAIL_FROM` | sender of the mails | none; needed for mail |
| `ATTRITION_MAIL_TO` | recipients, with commas between | none; needed for mail |
| `ATTRITION_UI_URL` | the Dagster UI as people reach it, for links | `http://127.0.0.1:3000` |
| `ATTRITION_REPORTS_URL` | the dashboard as people reach it, for links to reports | `http://127.0.0.1:3001` |
| `ATTRITION_ROWS` | size of the generated population where no extract is given | `20000` |
| `ATTRITION_THREADS` | threads that one step may use | all cores |
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

from attrition_platform.errors import SettingsError

ColumnChoice = Literal["policy", "all"]
WebhookFormat = Literal["generic", "slack"]
KEY_BYTES = 32
MIN_GENERATED_ROWS = 100


@dataclass(frozen=True)
class Settings:
    """What the environment says, checked once and then passed around.

    Attributes
    ----------
    data_dir : Path
        Absolute folder of all local state.
    contract_file : Path or None
        None means the shipped reference contract.
    policy : str
        Name of a shipped policy or path of a policy file.
    columns : ColumnChoice
        Whether the policy may exclude protected columns from the candidates.
    key_file : Path
        Secret key; lies outside the store.
    ledger_url, mlflow_uri, predictions_url : str or None
        None means SQLite under `data_dir`.
    rate_limit : int
        Predictions per second that one client of the service may ask for.
    webhook_url : str or None
        Where notifications are posted, beside the file under `data_dir`.
    webhook_format : WebhookFormat
        What is posted there.
    smtp_url : str or None
        Mail server, with user and password where it wants them.
    mail_from : str or None
    mail_to : tuple of str
        Sender and recipients; both are there where `smtp_url` is.
    ui_url : str
        Where people reach the Dagster UI; without a slash at the end.
    reports_url : str
        Where people reach the dashboard with its reports; without a slash at the end.
    generated_rows : int
        Size of the generated population.
    n_threads : int
        Threads that one step may use.
    """

    data_dir: Path
    contract_file: Path | None
    policy: str
    columns: ColumnChoice
    key_file: Path
    ledger_url: str | None = field(repr=False)
    mlflow_uri: str | None = field(repr=False)
    predictions_url: str | None = field(repr=False)
    rate_limit: int
    webhook_url: str | None = field(repr=False)
    webhook_format: WebhookFormat
    smtp_url: str | None = field(repr=False)
    mail_from: str | None
    mail_to: tuple[str, ...]
    ui_url: str
    reports_url: str
    generated_rows: int
    n_threads: int

    def run_url(self, run_id: str) -> str:
        """Where people look at a run."""
        return f"{self.ui_url}/runs/{run_id}"

    @property
    def inbox(self) -> Path:
        """Where people and systems drop extracts."""
        return self.data_dir / "inbox"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read and check the variables of the module docstring.

        Raises
        ------
        SettingsError
            When a value can't be used; the message names the variable and the accepted form.

        Examples
        --------
        >>> Settings.from_environment({"ATTRITION_COLUMNS": "some"})
        Traceback (most recent call last):
            ...
        attrition_platform.errors.SettingsError: ATTRITION_COLUMNS must be one of policy, all.
        """
        env = os.environ if environment is None else environment
        columns = env.get("ATTRITION_COLUMNS", "policy")
        if columns not in get_args(ColumnChoice):
            raise SettingsError(f"ATTRITION_COLUMNS must be one of {', '.join(get_args(ColumnChoice))}.")
        mail_from, mail_to = _mail_addresses(env)
        contract = env.get("ATTRITION_CONTRACT")
        home = Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME") or Path.home()) / ".config")
        return cls(
            data_dir=_folder(env.get("ATTRITION_DATA") or "data"),
            contract_file=Path(contract).expanduser().absolute() if contract else None,
            policy=env.get("ATTRITION_POLICY") or "responsible",
            columns=cast(ColumnChoice, columns),
            key_file=Path(env.get("ATTRITION_KEY_FILE") or home / "attrition_platform" / "key").expanduser(),
            ledger_url=env.get("ATTRITION_LEDGER_URL") or None,
            mlflow_uri=env.get("ATTRITION_MLFLOW_URI") or None,
            predictions_url=env.get("ATTRITION_PREDICTIONS_URL") or None,
            rate_limit=_whole_number(env, "ATTRITION_RATE_LIMIT", 1_000, least=1),
            webhook_url=env.get("ATTRITION_WEBHOOK_URL") or None,
            webhook_format=_webhook_format(env),
            smtp_url=_smtp_url(env),
            mail_from=mail_from,
            mail_to=mail_to,
            ui_url=(env.get("ATTRITION_UI_URL") or "http://127.0.0.1:3000").rstrip("/"),
            reports_url=(env.get("ATTRITION_REPORTS_URL") or "http://127.0.0.1:3001").rstrip("/"),
            generated_rows=_whole_number(env, "ATTRITION_ROWS", 20_000, least=MIN_GENERATED_ROWS),
            n_threads=_whole_number(env, "ATTRITION_THREADS", os.cpu_count() or 1, least=1),
        )

    def secret_key(self) -> bytes:
        """Read the secret key, creating it (mode 0600) when there is none.

        Raises
        ------
        SettingsError
            When the file is too short, or readable by others.
        """
        try:
            self.key_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self.key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return self._existing_key()
        except OSError as error:
            raise SettingsError(
                f"The key file '{self.key_file}' can't be created ({error.strerror}). "
                "Set ATTRITION_KEY_FILE to a place that only you can read."
            ) from error
        with os.fdopen(handle, "wb") as file:
            key = os.urandom(KEY_BYTES)
            file.write(key.hex().encode())
            file.flush()
            os.fsync(file.fileno())
        return key

    def _existing_key(self) -> bytes:
        if stat.S_IMODE(self.key_file.stat().st_mode) & 0o077:
            raise SettingsError(
                f"The key file '{self.key_file}' can be read by others. Run `chmod 600` on it; "
                "if others may have read it, pseudonyms made with it are no longer safe."
            )
        try:
            key = bytes.fromhex(self.key_file.read_text(encoding="ascii").strip())
        except ValueError:
            key = b""
        if len(key) < KEY_BYTES:
            raise SettingsError(
                f"The key file '{self.key_file}' must hold at least {KEY_BYTES} bytes as hexadecimal text."
            )
        return key


def _folder(text: str) -> Path:
    """A folder that is there, or that nothing stands in the way of."""
    folder = Path(text).expanduser().absolute()
    there = next(place for place in (folder, *folder.parents) if os.path.exists(place))
    if not os.path.isdir(there):
        raise SettingsError(f"ATTRITION_DATA must name a folder; '{there}' is not a folder.")
    return folder


def _whole_number(env: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = env.get(name, str(default))
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise SettingsError(f"{name} must be a whole number of at least {least}.")
    return int(text)


def _webhook_format(env: Mapping[str, str]) -> WebhookFormat:
    given = env.get("ATTRITION_WEBHOOK_FORMAT") or "generic"
    if given not in get_args(WebhookFormat):
        accepted = ", ".join(get_args(WebhookFormat))
        raise SettingsError(f"ATTRITION_WEBHOOK_FORMAT must be one of {accepted}.")
    return cast(WebhookFormat, given)


def _smtp_url(env: Mapping[str, str]) -> str | None:
    """The mail server's address; a message never quotes it, since it may hold a password."""
    given = env.get("ATTRITION_SMTP_URL") or None
    if given is None:
        return None
    try:
        address = urlsplit(given)
        usable = address.scheme in ("smtp", "smtps") and bool(address.hostname) and address.port != 0
        usable = usable and address.path in ("", "/") and not address.query and not address.fragment
    except ValueError:
        usable = False
    if not usable:
        raise SettingsError(
            "ATTRITION_SMTP_URL must look like smtp://user:password@host:587 or smtps://host:465; "
            "write special characters of user and password as %XX."
        )
    return given


def _mail_addresses(env: Mapping[str, str]) -> tuple[str | None, tuple[str, ...]]:
    sender = (env.get("ATTRITION_MAIL_FROM") or "").strip() or None
    listed = (env.get("ATTRITION_MAIL_TO") or "").split(",")
    recipients = tuple(name.strip() for name in listed if name.strip())
    for name, addresses in (("ATTRITION_MAIL_FROM", (sender,)), ("ATTRITION_MAIL_TO", recipients)):
        if any(address is not None and not _is_address(address) for address in addresses):
            raise SettingsError(f"{name} must hold mail addresses such as people@example.org.")
        if env.get("ATTRITION_SMTP_URL") and not any(addresses):
            raise SettingsError(f"{name} must be set where ATTRITION_SMTP_URL is.")
    return sender, recipients


def _is_address(text: str) -> bool:
    """Whether a text can stand between < and > of a mail's envelope.

    >>> _is_address("ana@example.org"), _is_address("Ana"), _is_address("a@b\\nBcc: c@d")
    (True, False, False)
    """
    name, at, domain = text.rpartition("@")
    plain = text.isascii() and text.isprintable() and not any(mark in text for mark in " <>,;")
    return bool(plain and name and at and domain)
