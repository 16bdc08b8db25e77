"""The measurements of ``bench`` as text: a table a backend, then what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from mtcnn_doctor import __version__
from mtcnn_doctor.model import Outcome, Report, Run
from mtcnn_doctor.report.console import ConsoleReporter
from mtcnn_doctor.runs import spread, stage_medians

_STAGES = ("pyramid", "pnet", "rnet", "onet")


class BenchReporter(ConsoleReporter):
    """Writes measurements to a stream for people."""

    def bench(self, report: Report, exit_code: int) -> None:
        """Write all backends, then the problems."""
        self._heading(report)
        for run in report.runs:
            self._run(run)
        for finding in report.findings:
            if finding.is_problem:
                self._finding(finding)
        self._line("")
        self._incomplete(report)
        took = f"{report.duration_s:.1f} s" if report.duration_s else ""
        self._line(f"mtcnn-doctor {__version__}, {took}. Exit {exit_code}.", "bold")

    def _run(self, run: Run) -> None:
        name = f"{run.name} {run.version}" if run.version else run.name
        if run.outcome is Outcome.NOT_INSTALLED:
            self._family_line("skip", run.name, "not installed")
            return
        if not run.images:
            self._family_line("error", run.name, run.outcome.value)
            return
        mark = "pass" if run.outcome is Outcome.OK else "error"
        timings = run.timings_ms
        memory = f"{run.peak_rss_mb:.0f} MiB at most" if run.peak_rss_mb else "memory unknown"
        self._family_line(
            mark,
            run.name,
            f" {self._look.dot} ".join(
                [
                    name,
                    f"import {_ms(timings.get('import'))}",
                    f"build {_ms(timings.get('build'))}",
                    f"first image {_ms(timings.get('first'))}",
                    memory,
                ]
            ),
        )
        self._table(run)
        for image in run.images:
            self._faces(run, image)
        self._line("")

    def _table(self, run: Run) -> None:
        width = max(5, *(len(str(image["image"])) for image in run.images))
        heads = ("size", "faces", "median ms", "p95 ms", "images/s", *_STAGES)
        self._line(
            f"    {'image':<{width}}  {heads[0]:>10}  {heads[1]:>5}  "
            + "  ".join(f"{head:>9}" for head in heads[2:]),
            "dim",
        )
        for image in run.images:
            counted = image["samples_ms"][image["warmup"] :]
            measured = spread(counted)
            stages = stage_medians([image])
            size = f"{image['width']}×{image['height']}"
            cells = [
                f"{measured['median']:.1f}",
                f"{measured['p95']:.1f}",
                f"{1000 / median(counted):.1f}",
                *(f"{stages.get(stage, 0.0):.1f}" for stage in _STAGES),
            ]
            self._line(
                f"    {image['image']!s:<{width}}  {size:>10}  {image['faces']:>5}  "
                + "  ".join(f"{cell:>9}" for cell in cells)
            )

    def _faces(self, run: Run, image: Mapping[str, Any]) -> None:
        faces = [face for face in run.detections if face["image"] == image["image"]]
        shown = faces if self._verbose else faces[:3]
        for face in shown:
            x, y, width, height = face["box"]
            self._line(
                f"      {image['image']}: face at x {x:.1f}, y {y:.1f}, {width:.1f} × "
                f"{height:.1f} px, confidence {face['confidence']:.4f}"
            )
        if len(faces) > len(shown):
            self._line(f"      {image['image']}: {len(faces) - len(shown)} more (--verbose)", "dim")


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f} ms"
