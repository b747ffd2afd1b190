"""What Prometheus reads; label values are a closed set, so the number of series is bounded."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

# When a series began says nothing that Prometheus does not know.
disable_created_metrics()  # type: ignore[no-untyped-call]
_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Metrics:
    """The service's metrics.

    | metric | what it counts |
    |---|---|
    | `attrition_predictions_total{variant}` | answered predictions by arm |
    | `attrition_prediction_seconds{variant}` | from the parsed body to the answer, without the log |
    | `attrition_canary_failures_total` | canary predictions that stable had to answer |
    | `attrition_http_responses_total{status}` | answers by class of status (2xx, 4xx, 5xx) |
    | `attrition_log_failures_total` | predictions that were not answered because they could not be logged |
    | `attrition_model_info{arm,version}` | 1 for the models that serve now |
    | `attrition_canary_share` | share of the employees that the canary answers for |
    | `attrition_ready` | 1 while a model can serve |
    | `attrition_model_swaps_total` | how often the models were replaced |
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        predictions = Counter(
            "attrition_predictions", "Answered predictions", ["variant"], registry=self.registry
        )
        seconds = Histogram(
            "attrition_prediction_seconds",
            "From the parsed body to the answer, without the log",
            ["variant"],
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self.predictions = {arm: predictions.labels(arm) for arm in ("stable", "canary")}
        self.seconds = {arm: seconds.labels(arm) for arm in ("stable", "canary")}
        responses = Counter(
            "attrition_http_responses", "Answers by class of status", ["status"], registry=self.registry
        )
        self.responses = {n: responses.labels(f"{n}xx") for n in range(1, 6)}
        self.canary_failures = Counter(
            "attrition_canary_failures", "Canary predictions that stable answered", registry=self.registry
        )
        self.log_failures = Counter(
            "attrition_log_failures", "Predictions that could not be logged", registry=self.registry
        )
        self.ready = Gauge("attrition_ready", "1 while a model can serve", registry=self.registry)
        self.share = Gauge("attrition_canary_share", "The canary's share", registry=self.registry)
        self.swaps = Gauge(
            "attrition_model_swaps_total", "How often the models were replaced", registry=self.registry
        )
        self._models = Gauge(
            "attrition_model_info", "The models that serve", ["arm", "version"], registry=self.registry
        )

    def render(self, models: dict[str, str], share: float, ready: bool, n_swaps: int) -> bytes:
        """Text for Prometheus.

        Parameters
        ----------
        models : dict of str to str
            Version by arm; versions that no longer serve are forgotten.
        """
        self._models.clear()
        for arm, version in models.items():
            self._models.labels(arm, version).set(1)
        self.share.set(share)
        self.ready.set(ready)
        self.swaps.set(n_swaps)
        return generate_latest(self.registry)
