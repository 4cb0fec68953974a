"""Writes a look at a site as OpenMetrics text, which Prometheus and its like read.

The format: https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from balsam_core.monitoring.snapshot import Snapshot
from balsam_core.state.machine import State

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_Sample = tuple[Mapping[str, str], float]


def open_metrics(seen: Snapshot) -> str:
    """All gauges of a site; states that no job is in are 0, so that a rule over them never lacks a value."""
    live = [one for one in seen.launchers if one.status == "live"]
    batch_jobs = Counter(one.state for one in seen.batch_jobs)
    lines = [
        *_gauge(
            "balsam_jobs", "Jobs in each state.", (({"state": s.value}, seen.jobs.states.get(s, 0)) for s in State)
        ),
        *_gauge("balsam_jobs_ended_per_minute", "Jobs that came to an end.", [({}, seen.rate.per_minute)]),
        *_gauge("balsam_launchers", "Launchers whose lease lives.", [({}, len(live))]),
        *_gauge("balsam_nodes", "Nodes that launchers have.", [({}, seen.nodes_held)]),
        *_gauge("balsam_nodes_busy", "Nodes that jobs keep busy.", [({}, seen.nodes_busy)]),
        *_gauge(
            "balsam_batch_jobs",
            "Batch jobs that wait or run.",
            (({"state": state}, count) for state, count in sorted(batch_jobs.items())),
        ),
        *_gauge(
            "balsam_failed_jobs",
            "FAILED jobs of the applications that fail most.",
            (({"application": one.application}, one.jobs) for one in seen.jobs.failing),
        ),
    ]
    return "\n".join([*lines, "# EOF", ""])


def _gauge(name: str, about: str, samples: Iterable[_Sample]) -> Iterable[str]:
    yield f"# TYPE {name} gauge"
    yield f"# HELP {name} {about}"
    for labels, value in samples:
        told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        yield f"{name}{{{told}}} {value:g}" if told else f"{name} {value:g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
