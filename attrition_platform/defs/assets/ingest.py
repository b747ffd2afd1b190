"""Raw, validated, quarantined and protected rows."""

from collections.abc import Iterator

import dagster as dg

from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.defs.materialize import Result, counts, materialized, row_count, table
from attrition_platform.stages import ingest
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.run_processes import PROCESS_TAG, this_process

OWNERS = ["team:people-analytics"]


@dg.asset(group_name="ingest", kinds={"file"}, owners=OWNERS)
def raw_employees(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> Result:
    """One row per employee and extract, exactly as received.

    Each accepted file of `inbox/` is an immutable batch named by its sha256. A file that can't be
    read for what it is goes to `refused/` with its reason. Read by `validated_employees`. With no
    extract at all, a generated population stands in, and says so.
    """
    context.instance.add_run_tags(context.run.run_id, {PROCESS_TAG: this_process()})
    result = ingest.take_in(platform, context.log.info)
    batches = result.facts["batches"]
    return materialized(
        result,
        **row_count(sum(batch["rows"] for batch in batches)),
        n_batches=len(batches),
        n_refused=len(result.measured["refused"]),
        generated=all(batch["origin"] == "generated" for batch in batches),
        batches=table(
            [batch | {"sha256": batch["sha256"][:12]} for batch in batches], ["sha256", "rows", "origin"]
        ),
        refused=table(result.measured["refused"], ["name", "reason", "detail"]),
    )


@dg.multi_asset(
    outs={
        "validated_employees": dg.AssetOut(
            group_name="ingest",
            kinds={"parquet", "pandera"},
            owners=OWNERS,
            description="One typed row per employee that keeps the contract, under a pseudonym; "
            "the newest batch wins. Made from `raw_employees`; read by every feature group, the splits "
            "and the audit.",
        ),
        "quarantined_employees": dg.AssetOut(
            group_name="ingest",
            kinds={"parquet"},
            owners=OWNERS,
            description="One row per received row that breaks the contract, with every reason as "
            "`column:rule`. Nothing is dropped silently. Made from `raw_employees`; read by people.",
        ),
    },
    name="validate_employees",
)
def validate_employees(
    context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform], raw_employees: StepResult
) -> Iterator[Result]:
    """Sort every received row into validated or quarantined."""
    validated, quarantined = ingest.validate(platform, raw_employees, context.log.info)
    facts = validated.facts
    yield materialized(
        validated,
        asset="validated_employees",
        **row_count(facts["n_rows"]),
        n_labelled=facts["n_labelled"],
        n_superseded=facts["n_superseded"],
        spellings_unified=counts(facts["n_normalised"]),
        refused_batches=table(facts["refused_batches"], ["batch", "reason"]),
    )
    yield materialized(
        quarantined,
        asset="quarantined_employees",
        **row_count(quarantined.facts["n_rows"]),
        quarantined_rate=quarantined.facts["n_rows"] / max(1, quarantined.facts["n_received"]),
        reasons=counts(quarantined.facts["reasons"]),
    )


@dg.asset(group_name="ingest", kinds={"parquet"}, owners=["team:audit"], tags={"access": "auditor"})
def protected_attributes(platform: dg.ResourceParam[Platform], validated_employees: StepResult) -> Result:
    """The columns that only the auditor may read, one row per pseudonym.

    Made from `validated_employees`; read by `fairness_audit` and `frontier`, never by a candidate
    under a policy that excludes protected columns.
    """
    result = ingest.separate_protected(platform, validated_employees)
    return materialized(
        result, **row_count(result.facts["n_rows"]), columns=", ".join(result.facts["columns"])
    )


def ingest_assets() -> list[dg.AssetsDefinition]:
    """Assets of this stage."""
    return [raw_employees, validate_employees, protected_attributes]
