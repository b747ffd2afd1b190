"""What an address brings along as a password is shown by no text that people see."""

from __future__ import annotations

import pytest

from attrition_platform.adapters.sql_transactions import without_password
from attrition_platform.settings import Settings


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg2://ana:hush@db/ledger",
        "postgresql+psycopg2://ana@db/ledger?password=hush",
        "postgresql+psycopg2:///ledger?host=db&user=ana&password=hush&sslpassword=hush",
        "postgresql+psycopg2://ana:hush@db/ledger?password=hush",
        "hush",
    ],
)
def test_an_address_of_a_database_is_shown_without_any_password(url: str) -> None:
    assert "hush" not in without_password(url)


def test_the_settings_show_no_address_that_may_hold_a_password() -> None:
    settings = Settings.from_environment(
        {
            "ATTRITION_LEDGER_URL": "postgresql+psycopg2://ana:hush@db/ledger",
            "ATTRITION_PREDICTIONS_URL": "postgresql+psycopg2://db/log?password=hush",
            "ATTRITION_MLFLOW_URI": "https://ana:hush@mlflow",
            "ATTRITION_WEBHOOK_URL": "https://hooks/hush",
            "ATTRITION_SMTP_URL": "smtps://ana:hush@mail",
            "ATTRITION_MAIL_FROM": "a@example.org",
            "ATTRITION_MAIL_TO": "b@example.org",
        }
    )

    assert "hush" not in repr(settings)
