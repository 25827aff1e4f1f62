"""For machines: ``/health``, ``/ready`` and ``/metrics``, without a login and with nothing of a part's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from edgead.line.page.site import Site

TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Collector:
    """The last status as Prometheus metrics; counters begin anew with each run of the line."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        site, status = self._site, self._site.news.status or {}
        tally: Mapping[str, Any] = status.get("tally") or {}
        yield _gauge(
            "ready", "Whether every trigger is expected to get a score", float(not site.news.reasons)
        )
        yield _gauge(
            "status_fresh", "Whether the line's own process goes on telling", float(site.news.is_fresh)
        )
        yield _counter("verdicts", "Verdicts", "decision", tally.get("decisions", {}))
        yield _counter("verdict_reasons", "Verdicts by what they rest on", "why", tally.get("whys", {}))
        yield CounterMetricFamily(
            "edgead_line_late_scores", "Scores after their verdict", tally.get("late_scores", 0)
        )
        for share in ("p50", "p99"):
            if (took := tally.get(f"{share}_ms")) is not None:
                yield _gauge(
                    f"verdict_{share}_seconds", "From trigger to verdict, since the start", took / 1e3
                )
        sinks = status.get("sinks", {})
        for name, told in (
            ("given", "Verdicts that a sink got"),
            ("missed", "Verdicts that a sink didn't get"),
        ):
            yield _counter(f"sink_{name}", told, "sink", {sink: each[name] for sink, each in sinks.items()})
        yield _gauges(
            "sink_up", "Whether a sink takes verdicts", "sink", {s: e["up"] for s, e in sinks.items()}
        )
        yield _gauges("camera_open", "Whether a camera takes triggers", "camera", status.get("cameras", {}))
        processes = {f"{p['kind']} {p['name']}": p for p in status.get("processes", ())}
        up = {label: each["up"] for label, each in processes.items()}
        yield _gauges("process_up", "Whether a process does what it should", "process", up)
        ended = {label: each["ended"] for label, each in processes.items()}
        yield _counter("process_ends", "How often a process ended", "process", ended)
        drift = {name: site.drifting.record(name)["changed"] for name in site.setup.cameras}
        yield _gauges("drift", "Whether the scores have changed", "camera", drift)
        yield _gauge("page_clients", "Browsers that watch", float(len(site.clients)))
        yield CounterMetricFamily(
            "edgead_line_page_dropped", "What the page didn't hear", status.get("dropped", 0)
        )
        yield CounterMetricFamily("edgead_line_page_refused_logins", "Logins refused", site.refused_logins)


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(f"edgead_line_{name}", told, value)


def _gauges(name: str, told: str, label: str, values: Mapping[str, Any]) -> Metric:
    family = GaugeMetricFamily(f"edgead_line_{name}", told, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], float(value))
    return family


def _counter(name: str, told: str, label: str, values: Mapping[str, Any]) -> Metric:
    family = CounterMetricFamily(f"edgead_line_{name}", told, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], float(value))
    return family


def registry_of(site: Site) -> CollectorRegistry:
    """A registry with the site's metrics alone."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(site))
    return registry


async def metrics(registry: CollectorRegistry, request: Request) -> Response:
    """For Prometheus."""
    return Response(generate_latest(registry), headers={"Content-Type": TYPE})


async def ready(site: Site, request: Request) -> Response:
    """200 where the line is ready, 503 and why where it isn't."""
    reasons = site.news.reasons
    return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)


async def health(site: Site, request: Request) -> Response:
    """200: the page answers, whatever the line does."""
    return JSONResponse({"page": "ok"})


__all__ = ["Collector", "health", "metrics", "ready", "registry_of"]
