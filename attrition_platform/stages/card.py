"""Compiles the model card from stored results."""

from __future__ import annotations

from collections.abc import Mapping

from attrition_platform.adapters.step_cache import StepOutput, StepResult, code_version
from attrition_platform.stages.platform import Platform


def write_card(platform: Platform, sources: Mapping[str, StepResult]) -> StepResult:
    """Write the card of what serves, as Markdown and HTML.

    Parameters
    ----------
    sources : mapping of str to StepResult
        Materialization of each asset that the card quotes, by the asset's name.

    Returns
    -------
    StepResult
        Files ``model_card.md`` and ``model_card.html``.
    """
    champion = platform.ledger.champion()

    def compute(out: StepOutput) -> None:
        from attrition_platform.modeling.model_card import render_html, render_model_card

        text = render_model_card(platform.contract, platform.policy, champion, sources)
        out.file("model_card.md").write_text(text, encoding="utf-8")
        out.file("model_card.html").write_text(render_html(text), encoding="utf-8")
        out.facts["version"] = None if champion is None else champion.version

    return platform.steps.run(
        "model_card",
        compute,
        code=code_version("modeling/model_card.py", "stages/card.py"),
        inputs={name: result.data_version for name, result in sources.items()},
        config={
            "policy": platform.policy_digest,
            "contract": platform.contract_digest,
            "ledger": None if champion is None else champion.hash,
        },
    )
