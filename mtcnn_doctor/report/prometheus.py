"""A report as metrics in the text format of Prometheus, for node_exporter's textfile collector.

Names and units follow the naming rules of Prometheus: base units (seconds, bytes), the unit last.
The format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from mtcnn_doctor import __version__
from mtcnn_doctor.model import Outcome, Report, Run, Severity, Verdict
from mtcnn_doctor.report.look import clean
from mtcnn_doctor.report.redact import Redactor

Sample = tuple[Mapping[str, str], float]


def render(report: Report, exit_code: int, fail_on: str) -> str:
    """Return the metrics of a report, each family with its help and type."""
    clean = Redactor().report(report)
    made = [run for run in clean.runs if run.outcome is not Outcome.NOT_INSTALLED]
    target = {"python": str(clean.target.get("python"))}
    lines: list[str] = []

    def gauge(name: str, text: str, samples: Iterable[Sample]) -> None:
        rows = [
            f"mtcnn_doctor_{name}{_labels({**target, **labels})} {value:.10g}"
            for labels, value in samples
        ]
        if rows:
            lines.extend(
                (f"# HELP mtcnn_doctor_{name} {text}", f"# TYPE mtcnn_doctor_{name} gauge")
            )
            lines.extend(rows)

    version = str(clean.target.get("version"))
    gauge("info", "The doctor and the interpreter it examined.",
          [({"version": __version__, "python_version": version}, 1)])  # fmt: skip
    gauge("report_timestamp_seconds", "When the report was made.", [({}, _seconds(clean.created))])
    gauge("duration_seconds", "How long it took.", [({}, clean.duration_s)])
    gauge("exit_code", "Exit code of the command.", [({}, exit_code)])
    gauge("complete", "Whether everything could be examined.", [({}, not clean.incomplete)])
    gauge("verdict", "The verdict: 1 for the one that holds.",
          [({"verdict": one.value}, one is clean.verdict) for one in Verdict])  # fmt: skip
    gauge("findings", "Findings by severity.",
          [({"severity": one.value}, sum(f.severity is one for f in clean.findings))
           for one in Severity])  # fmt: skip
    gauge("finding", "An error or a warning.",
          [({"id": f.id, "about": f.about, "family": f.family, "severity": f.severity.value}, 1)
           for f in clean.findings if f.is_problem])  # fmt: skip
    gauge("run_ok", "Whether a run of a backend or package gave the right faces.",
          [({**_run(run), "outcome": run.outcome.value}, run.outcome is Outcome.OK)
           for run in made])  # fmt: skip
    gauge("run_faces", "Faces found in a run.",
          [(_run(run), len(run.detections)) for run in made if not run.failed])  # fmt: skip
    gauge("run_median_seconds", "Median time of an image.",
          [(_run(run), run.timings_ms["median"] / 1000)
           for run in made if run.timings_ms.get("median") is not None])  # fmt: skip
    gauge("run_stage_seconds", "Median time of a stage.",
          [({**_run(run), "stage": stage}, time / 1000)
           for run in made for stage, time in (run.timings_ms.get("stages") or {}).items()
           if time is not None])  # fmt: skip
    gauge("run_peak_memory_bytes", "Peak resident memory of a run.",
          [(_run(run), run.peak_rss_mb * 2**20)
           for run in made if run.peak_rss_mb is not None])  # fmt: skip
    return "\n".join([*lines, ""])


def _run(run: Run) -> dict[str, str]:
    return {
        "kind": run.kind,
        "name": run.name,
        "release": run.version or "",
        "device": run.device,
    }


def _seconds(created: str) -> float:
    return datetime.fromisoformat(created.replace("Z", "+00:00")).timestamp()


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return clean(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
