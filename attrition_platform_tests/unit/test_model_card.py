"""The card has every section of the paper, says where each number is from, and hides no gap."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from attrition_platform.contracts.toml_file import shipped_contract
from attrition_platform.modeling.model_card import render_html, render_model_card
from attrition_platform.modeling.policy import load_policy

# Section headings of Mitchell et al., "Model Cards for Model Reporting", FAT* 2019, figure 1; the two
# sections on data stand together.
SECTIONS = (
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Training and evaluation data",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
)
CONTRACT = shipped_contract()
POLICY = load_policy("responsible")
SOURCES = (
    "challenger",
    "promotion_decision",
    "fairness_audit",
    "frontier",
    "split_manifest",
    "validated_employees",
    "quarantined_employees",
    "raw_employees",
)


@dataclass(frozen=True)
class Materialization:
    """A stored result whose data version begins with its own letter."""

    data_version: str
    facts: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Champion:
    version: str = "champion-1"
    seq: int = 7
    at: str = "2026-01-01T00:00:00.000+00:00"


def make_sources(**facts: dict[str, Any]) -> dict[str, Materialization]:
    """One result per asset; the arguments change facts of the asset that they name."""
    row = {"attribute": "gender", "group": "Female", "n": 1400, "counted": True, "why_not": ""}
    gate = {"name": "recall-floor", "value": 0.71, "limit": 0.6, "passed": True, "enforced": True}
    known: dict[str, dict[str, Any]] = {
        "challenger": {
            "version": "challenger-2",
            "family": "boosted_trees",
            "params": {"max_depth": 1},
            "identity": "1d" * 32,
            "reads": ["monthly_income", "overtime"],
            "evaluation": {
                "n_rows": 3000,
                "n_positive": 1400,
                "threshold": 0.5,
                "metrics": {"roc_auc": {"value": 0.8012, "low": 0.79, "high": 0.81}},
            },
        },
        "promotion_decision": {"outcome": "promoted", "gates": [gate]},
        "fairness_audit": {"rows": [row | {"selection_rate": 0.47, "impact_ratio": 0.91}]},
        "frontier": {
            "points": [
                {"variant": "all columns", "roc_auc": 0.85, "recall": 0.75, "least_impact_ratio": 0.44}
            ]
        },
        "split_manifest": {
            "rule": "70/15/15 by employee",
            "fingerprint": "f" * 64,
            "n_rows": {"train": 14_000, "validation": 3000, "test": 3001},
            "left_rate": {"train": 0.47, "validation": 0.48, "test": 0.49},
        },
        "validated_employees": {"n_rows": 20_001, "n_labelled": 20_000},
        "quarantined_employees": {"n_rows": 12, "n_received": 20_013},
        "raw_employees": {"batches": [{"origin": "inbox"}]},
    }
    latency = {"single_p50_ms": 1.234, "single_p95_ms": 5.678}
    measured = {"challenger": {"latency": latency, "training_cpu_seconds": 9.87}}
    return {
        name: Materialization(
            f"{number}" * 64, known[name] | facts.get(name, {}), dict(measured.get(name, {}))
        )
        for number, name in enumerate(SOURCES, 1)
    }


def render(*, champion: Champion | None = Champion(), **facts: dict[str, Any]) -> str:
    return render_model_card(CONTRACT, POLICY, champion, make_sources(**facts))


def section(card: str, title: str) -> str:
    """Text below a heading, up to the next one."""
    return card.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_the_card_has_the_sections_of_the_paper_in_their_order() -> None:
    assert tuple(re.findall(r"^## (.+)$", render(), flags=re.MULTILINE)) == SECTIONS


@pytest.mark.parametrize(
    ("title", "number", "asset"),
    [
        ("Metrics", "0.8012", "challenger"),
        ("Metrics", "1,400 left", "challenger"),
        ("Training and evaluation data", "20,001 validated", "validated_employees"),
        ("Training and evaluation data", "12 of 20,013", "quarantined_employees"),
        ("Training and evaluation data", "14,000", "split_manifest"),
        ("Quantitative analyses", "0.91", "fairness_audit"),
        ("Quantitative analyses", "0.44", "frontier"),
        ("Ethical considerations", "0.71", "promotion_decision"),
        ("Caveats and recommendations", "1.23 ms", "challenger"),
        ("Caveats and recommendations", "9.9 CPU seconds", "challenger"),
    ],
)
def test_a_number_stands_beside_the_materialization_it_came_from(title: str, number: str, asset: str) -> None:
    text = section(render(), title)
    digits = f"{SOURCES.index(asset) + 1}" * 12

    assert number in text
    assert f"{asset} {digits}" in text


def test_without_a_champion_the_card_says_that_nothing_serves() -> None:
    card = render(champion=None, promotion_decision={"outcome": "blocked"})

    assert "Champion: none" in section(card, "Model details")
    assert "Decision: blocked" in section(card, "Model details")


def test_the_champion_is_named_with_its_ledger_record() -> None:
    details = section(render(), "Model details")

    assert "champion-1 since 2026-01-01T00:00:00.000+00:00 (ledger record 7)" in details
    assert "challenger-2" in details


@pytest.mark.parametrize(("version", "differ"), [("champion-1", True), ("challenger-2", False)])
def test_numbers_of_a_model_that_does_not_serve_are_said_to_be_its_own(version: str, differ: bool) -> None:
    details = section(render(champion=Champion(version=version)), "Model details")

    assert ("are the challenger's, not the champion's" in details) is differ


def test_generated_employees_are_said_not_to_exist() -> None:
    card = render(raw_employees={"batches": [{"origin": "generated"}]})

    assert "do not exist" in section(card, "Training and evaluation data")
    assert "do not exist" not in render()


def test_a_number_that_is_not_known_is_said_to_be_not_known() -> None:
    point = {"variant": "all columns", "roc_auc": 0.85, "recall": 0.75, "least_impact_ratio": None}

    analyses = section(render(frontier={"points": [point]}), "Quantitative analyses")

    assert "| all columns | 0.85 | 0.75 | not known |" in analyses


def test_a_group_that_does_not_count_says_why() -> None:
    row = {"attribute": "gender", "group": "Female", "n": 9, "selection_rate": 0.5, "impact_ratio": 0.2}
    row |= {"counted": False, "why_not": "fewer than 30 people"}

    assert "fewer than 30 people" in section(render(fairness_audit={"rows": [row]}), "Quantitative analyses")


@pytest.mark.parametrize(
    ("passed", "enforced", "words"),
    [
        (False, True, "| failed | blocks |"),
        (False, False, "| failed | reported |"),
        (True, True, "| passed | blocks |"),
    ],
)
def test_every_gate_shows_its_verdict_and_whether_it_blocks(passed: bool, enforced: bool, words: str) -> None:
    gate = {"name": "four-fifths:gender", "value": 0.7, "limit": 0.8, "passed": passed, "enforced": enforced}

    ethics = section(render(promotion_decision={"gates": [gate]}), "Ethical considerations")

    assert f"| four-fifths:gender | 0.7 | 0.8 {words}" in ethics


def test_protected_columns_that_the_model_reads_are_named() -> None:
    assert "model reads: gender." in section(
        render(challenger={"reads": ["gender", "overtime"]}), "Ethical considerations"
    )
    assert "model reads: none." in section(render(), "Ethical considerations")


def test_a_group_name_can_not_break_its_table() -> None:
    row = {"attribute": "gender", "group": "a|b", "n": 40, "selection_rate": 0.5, "impact_ratio": 1.0}
    row |= {"counted": True, "why_not": ""}

    page = render_html(render(fairness_audit={"rows": [row]}))

    assert "<td>a|b</td>" in page


def test_markup_in_a_description_stays_text_on_the_page() -> None:
    contract = CONTRACT.model_copy(update={"description": "<script>alert(1)</script>"})

    page = render_html(render_model_card(contract, POLICY, None, make_sources()))

    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_contract_without_an_id_says_what_that_costs() -> None:
    columns = {name: column for name, column in CONTRACT.columns.items() if column.kind != "id"}
    contract = CONTRACT.model_copy(update={"columns": columns})

    card = render_model_card(contract, POLICY, None, make_sources())

    assert "no employee id" in section(card, "Caveats and recommendations")
    assert "no employee id" not in render()


def test_the_same_facts_give_the_same_bytes() -> None:
    sources = make_sources()
    turned = {name: replace(sources[name]) for name in reversed(SOURCES)}

    assert render_model_card(CONTRACT, POLICY, Champion(), turned) == render()
