"""What each stage of the graph does: reads stored inputs, calls the decisions, stores the result.

No orchestrator here: Dagster's assets, the command line and the benchmarks call the same functions.
"""
