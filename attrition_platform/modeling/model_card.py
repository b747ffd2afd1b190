"""The model card: what the model is, for whom, how good and how fair.

Fields after Mitchell et al., "Model Cards for Model Reporting", FAT* 2019. Every number carries the
materialization that it came from, as the name of the asset and the first digits of its data version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from attrition_platform.contracts.model import Contract
from attrition_platform.modeling.policy import Policy

_DIGITS = 12


class Materialization(Protocol):
    """What the card needs of a stored result."""

    @property
    def data_version(self) -> str:
        """Hash of its content."""

    @property
    def facts(self) -> dict[str, Any]:
        """What it found out."""

    @property
    def measured(self) -> dict[str, Any]:
        """What was measured on the way."""


class ChampionRecord(Protocol):
    """What the card needs of the ledger's record."""

    @property
    def version(self) -> str:
        """The version that serves."""

    @property
    def seq(self) -> int:
        """Number of the ledger record."""

    @property
    def at(self) -> str:
        """When it became the champion."""


def render_model_card(
    contract: Contract,
    policy: Policy,
    champion: ChampionRecord | None,
    sources: Mapping[str, Materialization],
) -> str:
    """Write the card as Markdown.

    Parameters
    ----------
    contract, policy
        What the data is, and what the model must keep.
    champion : ChampionRecord or None
        The ledger's head; None when nothing has passed yet.
    sources : mapping of str to Materialization
        By asset name: ``challenger``, ``promotion_decision``, ``fairness_audit``, ``frontier``,
        ``split_manifest``, ``validated_employees``, ``quarantined_employees``, ``raw_employees``.
    """
    sections = (
        _details(contract, policy, champion, sources),
        _intended_use(policy),
        _factors(contract),
        _metrics(policy, sources["challenger"]),
        _data(contract, sources),
        _analyses(sources),
        _ethics(contract, policy, sources),
        _caveats(contract, sources),
    )
    return "\n\n".join(sections) + "\n"


def render_html(markdown: str) -> str:
    """Turn the card into a page of its own; raw HTML in it stays text."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    style = (
        "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse}td,th{border:1px solid #999;padding:.2rem .6rem;text-align:left}"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Model card</title>'
        f"<style>{style}</style></head><body>{body}</body></html>\n"
    )


def _details(
    contract: Contract,
    policy: Policy,
    champion: ChampionRecord | None,
    sources: Mapping[str, Materialization],
) -> str:
    facts = sources["challenger"].facts
    serving = "none: no challenger has passed every gate yet"
    if champion is not None:
        serving = f"{champion.version} since {champion.at} (ledger record {champion.seq})"
        if champion.version != facts["version"]:
            serving += "; the numbers below are the challenger's, not the champion's"
    settings = ", ".join(f"{name} = {value}" for name, value in sorted(facts["params"].items())) or "none"
    return f"""# Model card: attrition, contract '{contract.name}'

## Model details

- Champion: {serving}
- Challenger of this run: {facts["version"]}, {_source("challenger", sources)}
- Decision: {sources["promotion_decision"].facts["outcome"]}, {_source("promotion_decision", sources)}
- Family: {facts["family"]}; settings: {settings}
- Identity (what it learned and predicts on a fixed probe): `{facts["identity"]}`
- Reads: {", ".join(facts["reads"])}
- Policy: {policy.name}. {policy.description}"""


def _intended_use(policy: Policy) -> str:
    tiers = policy.tiers
    return f"""## Intended use

- For people analytics and HR partners: which groups and which conditions of work go with leaving, and
  whom to talk to first, by tier (high from {tiers.high:g}, medium from {tiers.medium:g}, low from
  {tiers.low:g}).
- Not for dismissal, pay, promotion or any decision without a person who may overrule it, and not for
  employees of a company whose data it was not trained on."""


def _factors(contract: Contract) -> str:
    names = [contract.columns[name].label or name for name in contract.protected]
    proxies = [
        f"{contract.columns[name].label or name} (stands in for {', '.join(contract.columns[name].proxy_of)})"
        for name in contract.proxies
    ]
    return f"""## Factors

- Groups that are compared: {", ".join(names) or "none is declared in the contract"}
- Declared proxies: {"; ".join(proxies) or "none"}"""


def _metrics(policy: Policy, challenger: Materialization) -> str:
    evaluation = challenger.facts["evaluation"]
    rows = [
        [name, _number(m["value"]), f"{_number(m['low'])} to {_number(m['high'])}"]
        for name, m in evaluation["metrics"].items()
    ]
    threshold = policy.threshold
    return f"""## Metrics

On {evaluation["n_rows"]:,} test employees ({evaluation["n_positive"]:,} left), read once; flagged from
{evaluation["threshold"]:.4g} (a false alarm costs {threshold.cost_false_alarm:g}, a missed leaver
{threshold.cost_missed_leaver:g}, at most {threshold.capacity:.0%} of employees). Source:
challenger {challenger.data_version[:_DIGITS]}.

{_table(["metric", "value", "95 % interval"], rows)}"""


def _data(contract: Contract, sources: Mapping[str, Materialization]) -> str:
    manifest = sources["split_manifest"].facts
    validated, quarantined = sources["validated_employees"].facts, sources["quarantined_employees"].facts
    raw = sources["raw_employees"].facts
    generated = all(batch["origin"] == "generated" for batch in raw["batches"])
    origin = (
        "generated: these employees do not exist"
        if generated
        else f"{len(raw['batches'])} extracts from the inbox"
    )
    rows = [
        [side, f"{manifest['n_rows'][side]:,}", _number(manifest["left_rate"][side])]
        for side in ("train", "validation", "test")
    ]
    return f"""## Training and evaluation data

- Source: {origin}, {_source("raw_employees", sources)}. {contract.description}
- Employees: {validated["n_rows"]:,} validated, {validated["n_labelled"]:,} with a known outcome,
  {_source("validated_employees", sources)}
- Quarantined rows: {quarantined["n_rows"]:,} of {quarantined["n_received"]:,},
  {_source("quarantined_employees", sources)}
- Split: {manifest["rule"]}; fingerprint `{manifest["fingerprint"][:16]}`,
  {_source("split_manifest", sources)}

{_table(["side", "employees", "share that left"], rows)}"""


def _analyses(sources: Mapping[str, Materialization]) -> str:
    audit = [
        [
            row["attribute"],
            row["group"],
            f"{row['n']:,}",
            _number(row["selection_rate"]),
            _number(row["impact_ratio"]),
            "yes" if row["counted"] else row["why_not"],
        ]
        for row in sources["fairness_audit"].facts["rows"]
    ]
    points = [
        [p["variant"], _number(p["roc_auc"]), _number(p["recall"]), _number(p["least_impact_ratio"])]
        for p in sources["frontier"].facts["points"]
    ]
    return f"""## Quantitative analyses

By group, {_source("fairness_audit", sources)}:

{_table(["attribute", "group", "n", "selection rate", "impact ratio", "counted"], audit)}

What each set of columns is worth (on validation), {_source("frontier", sources)}:

{_table(["columns", "ROC AUC", "recall", "least impact ratio"], points)}"""


def _ethics(contract: Contract, policy: Policy, sources: Mapping[str, Materialization]) -> str:
    facts = sources["challenger"].facts
    read = sorted(set(contract.protected) & set(facts["reads"]))
    gates = [
        [
            gate["name"],
            _number(gate["value"]),
            _number(gate["limit"]),
            "passed" if gate["passed"] else "failed",
            "blocks" if gate["enforced"] else "reported",
        ]
        for gate in sources["promotion_decision"].facts["gates"]
    ]
    return f"""## Ethical considerations

- Protected columns that the model reads: {", ".join(read) or "none"}. The policy
  {"excludes" if policy.exclude_protected else "does not exclude"} them.
- A score says what was usual among people like this one; it is no fact about the person.

Gates, {_source("promotion_decision", sources)}:

{_table(["gate", "value", "limit", "verdict", "effect"], gates)}"""


def _caveats(contract: Contract, sources: Mapping[str, Materialization]) -> str:
    measured = sources["challenger"].measured
    latency = measured["latency"]
    lines = [
        "- Nothing here is causal: changing what drives a score need not change who leaves.",
        f"- One prediction took {latency['single_p50_ms']:.2f} ms at the median and "
        f"{latency['single_p95_ms']:.2f} ms at the 95th percentile where it was trained; training took "
        f"{measured['training_cpu_seconds']:.1f} CPU seconds; {_source('challenger', sources)}.",
    ]
    if contract.id is None:
        lines.append("- The extract has no employee id: rows are told apart by their content only.")
    return "## Caveats and recommendations\n\n" + "\n".join(lines)


def _source(asset: str, sources: Mapping[str, Materialization]) -> str:
    return f"source: {asset} {sources[asset].data_version[:_DIGITS]}"


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)
