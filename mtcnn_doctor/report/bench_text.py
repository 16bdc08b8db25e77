"""The measurements of ``bench`` as text: a table a backend, a comparison, what went wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from mtcnn_doctor import __version__
from mtcnn_doctor.model import Outcome, Report, Run
from mtcnn_doctor.report import bench_compare, search_text
from mtcnn_doctor.report.console import ConsoleReporter
from mtcnn_doctor.runs import spread, stage_medians

_STAGES = ("pyramid", "pnet", "rnet", "onet")
#: With more images than this only the slowest are shown, unless all are wanted.
_MANY, _SLOWEST = 12, 5
_HELD = {
    "expected": "held against the expected ones",
    "numpy": "held against those of the numpy backend",
    "reference": "what the other backends' faces are held against",
    "not-compared": "not compared: nobody knows them",
}


class BenchReporter(ConsoleReporter):
    """Writes measurements to a stream for people."""

    def bench(self, report: Report, exit_code: int) -> None:
        """Write all backends, then the comparison, then the problems."""
        self._heading(report)
        if not self._quiet:
            self._circumstances(report)
            for run in report.runs:
                self._run(run)
            self._comparison(report)
        for finding in report.findings:
            if finding.is_problem:
                self._finding(finding)
        if report.search is not None:
            self._search(report.search)
        self._line("")
        self._incomplete(report)
        took = f", {report.duration_s:.1f} s" if report.duration_s else ""
        self._line(f"mtcnn-doctor {__version__}{took}. Exit {exit_code}.", "bold")

    def _search(self, search: Mapping[str, Any]) -> None:
        for title, entries in search_text.sections(search):
            self._line("")
            self._line(self._look.fit(title), "bold")
            for key, text in entries:
                self._entry(key, [self._redact.text(text)])

    # -- what it was measured on -----------------------------------------------------------------

    def _circumstances(self, report: Report) -> None:
        rate = report.facts.get("rate")
        if rate:
            text = f"{rate['gflops']:.0f} GFLOP/s float32, {rate['cores_busy']:g} cores busy"
            single = rate.get("single_gflops")
            if single is not None and rate.get("threads") != 1:
                text += f"; {single:.0f} with one thread"
            text += f" (NumPy {rate['numpy']} matmul)"
            if rate.get("disturbed"):
                text += "; disturbed by other programs, so the floor is a guess"
            self._family_line("info", "machine", text)
        else:
            self._family_line("skip", "machine", "its float32 rate could not be measured")
        source = report.facts.get("source") or {}
        if source:
            self._source(source)
        settings = dict(report.facts.get("settings") or {})
        if source.get("kind") == "synthetic":
            del settings["size"]  # it was made that way
        self._family_line("info", "settings", self._settings(settings))
        self._line("")

    def _source(self, source: Mapping[str, Any]) -> None:
        text = str(source["name"])
        if "frames" in source:
            text += f": {source['frames']} frame{'' if source['frames'] == 1 else 's'}"
            if source["frames"] < source["frames_asked"]:
                text += f" of the {source['frames_asked']} asked for"
                text += f"; {source['broke_off']}" if source.get("broke_off") else ""
        self._family_line("info", "source", text)

    def _settings(self, settings: Mapping[str, Any]) -> str:
        cascade = settings.get("cascade") or {}
        thresholds = ", ".join(f"{value:g}" for value in cascade.get("thresholds") or ())
        parts = [
            f"min face {cascade.get('min_face_size', 0):g}",
            f"factor {cascade.get('scale_factor', 0):g}",
            f"thresholds {thresholds}",
            f"{settings.get('runs')} run{'' if settings.get('runs') == 1 else 's'} an image, "
            f"{settings.get('warmup')} before them to warm up",
        ]
        if settings.get("size"):
            width, height = settings["size"]
            how = "at exactly" if settings.get("exact_size") else "fitted into"
            parts.append(f"{how} {width}×{height}")
        if settings.get("import_first"):
            parts.append(f"after import {', '.join(settings['import_first'])}")
        if settings.get("weights"):
            parts.append(f"weights {self._redact.text(settings['weights'])}")
        return f" {self._look.dot} ".join(parts)

    # -- one backend -----------------------------------------------------------------------------

    def _run(self, run: Run) -> None:
        name = f"{run.name} {run.version}" if run.version else run.name
        if run.outcome is Outcome.NOT_INSTALLED:
            self._family_line("skip", run.name, self._redact.text(run.reason or "not installed"))
            return
        if not run.images:
            self._family_line("error", run.name, self._redact.text(bench_compare.ending(run)))
            return
        mark = "pass" if run.outcome is Outcome.OK else "error"
        timings, measurement = run.timings_ms, run.measurement or {}
        parts = [
            name,
            run.device,
            *_threads(measurement),
            f"import {_ms(timings.get('import'))}",
            f"build {_ms(timings.get('build'))}",
            f"first image {_ms(timings.get('first'))}",
        ]
        if run.outcome is not Outcome.OK:
            parts.insert(0, self._redact.text(bench_compare.ending(run)))
        self._family_line(mark, run.name, f" {self._look.dot} ".join(parts))
        shown = self._shown(run.images)
        self._table(run.images, shown)
        for image in shown:
            self._faces(run, image)
        self._remarks(run, measurement)
        self._line("")

    def _shown(self, images: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the images that get a line of their own."""
        if self._verbose or len(images) <= _MANY:
            return list(images)
        return sorted(images, key=bench_compare.median_ms, reverse=True)[:_SLOWEST]

    def _table(
        self, images: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, Any]]
    ) -> None:
        names = [self._name(image) for image in shown]
        total = f"all {len(images)} images"
        width = max(5, *(len(name) for name in names), len(total) if len(images) > 1 else 0)
        heads = ("median ms", "p95 ms", "images/s", *_STAGES, "x floor")
        self._line(
            f"    {'image':<{width}}  {'size':>10}  {'faces':>5}  "
            + "  ".join(f"{head:>9}" for head in heads),
            "dim",
        )
        for name, image in zip(names, shown, strict=True):
            counted = image["samples_ms"][image["warmup"] :]
            size = f"{image['width']}×{image['height']}"
            cells = self._cells([image], f"{spread(counted)['p95']:.1f}")
            self._line(f"    {name:<{width}}  {size:>10}  {image['faces']:>5}  {cells}")
        if len(shown) < len(images):
            self._line(f"    these are the slowest of {len(images)} (--verbose: all)", "dim")
        if len(images) > 1:
            faces = sum(image["faces"] for image in images)
            cells = self._cells(images, "")
            self._line(f"    {total:<{width}}  {'':>10}  {faces:>5}  {cells}", "bold")

    def _cells(self, images: Sequence[Mapping[str, Any]], p95: str) -> str:
        """Return the numbers of a row: of one image, or the sums over several."""
        spent = sum(bench_compare.median_ms(image) for image in images)
        stages = [stage_medians([image]) for image in images]
        floor = bench_compare.floor_of(images)
        cells = [
            f"{spent:.1f}",
            p95,
            f"{1000 * len(images) / spent:.1f}" if spent else "",
            # A package does not tell its stages.
            *(
                f"{sum(one.get(stage, 0.0) for one in stages):.1f}" if any(stages) else ""
                for stage in _STAGES
            ),
            f"{spent / floor:.1f}" if floor else "",
        ]
        return "  ".join(f"{cell:>9}" for cell in cells)

    def _name(self, image: Mapping[str, Any]) -> str:
        return self._look.fit(self._redact.text(str(image["image"])).replace("\n", "\\n"))

    def _faces(self, run: Run, image: Mapping[str, Any]) -> None:
        faces = [face for face in run.detections if face["image"] == image["image"]]
        shown = faces if self._verbose else faces[:3]
        name = self._name(image)
        for face in shown:
            x, y, width, height = face["box"]
            self._line(
                f"      {name}: face at x {x:.1f}, y {y:.1f}, {width:.1f} × "
                f"{height:.1f} px, confidence {face['confidence']:.4f}"
            )
        if len(faces) > len(shown):
            self._line(f"      {name}: {len(faces) - len(shown)} more (--verbose)", "dim")

    def _remarks(self, run: Run, measurement: Mapping[str, Any]) -> None:
        memory = measurement.get("memory") or {}
        self._entry("memory", [_memory(run, memory)])
        if memory.get("device_mb") is not None:
            self._entry("device", [f"{memory['device_mb']:.0f} MiB ({memory['device_source']})"])
        if (measurement.get("lanes") or 1) > 1 and _adds_up_to_more(run.images):
            said = f"busy time of {measurement['lanes']} lanes side by side, more than the image's"
            self._entry("stages", [said])
        if measurement.get("faces"):
            held = _HELD[measurement["faces"]]
            if measurement["faces"] == "not-compared" and run.name != "numpy":
                held += " (with --backend numpy as well they would be)"
            self._entry("faces", [held])
        trust = measurement.get("trust")
        if trust is not None:
            reasons = [self._redact.text(reason["text"]) for reason in trust["reasons"]]
            said = "to be taken with care: " + "; ".join(reasons) if reasons else "can be trusted"
            self._entry("numbers", [said])

    # -- all of them -----------------------------------------------------------------------------

    def _comparison(self, report: Report) -> None:
        runs = [run for run in report.runs if run.outcome is not Outcome.NOT_INSTALLED]
        if len(runs) < 2:
            return
        common = bench_compare.common_images(runs)
        what = f"all {len(common)} images" if len(common) > 1 else "".join(common)
        title = f"comparison, {self._look.fit(self._redact.text(what))}" if common else "comparison"
        self._line(title, "bold")
        heads = ("ms", "ratio", "images/s", "x floor", "peak MiB", "steady", "growth")
        width = max(10, *(len(run.name) for run in runs))
        self._line(
            f"    {'backend':<{width}}  " + "  ".join(f"{head:>9}" for head in heads) + "  numbers",
            "dim",
        )
        for row in bench_compare.rows(runs, common):
            if row.failure:
                text = self._redact.text(row.failure)
                self._line(self._look.fit(f"    {row.name:<{width}}  {text}"), "red")
                continue
            cells = (
                f"{row.ms:.1f}",
                f"x{row.ratio:.2f}" if row.ratio else "",
                f"{row.per_second:.1f}",
                f"{row.floors:.1f}" if row.floors else "",
                _mib(row.peak_mb),
                _mib(row.steady_mb),
                _mib(row.growth_mb),
            )
            self._line(
                f"    {row.name:<{width}}  "
                + "  ".join(f"{cell:>9}" for cell in cells)
                + f"  {row.remark}"
            )
        if common:
            gflop, floor = bench_compare.floor_words(runs, common)
            self._line(f"    floor: {gflop}{floor}", "dim")


def _threads(measurement: Mapping[str, Any]) -> list[str]:
    """Return what was told about threads and lanes, as far as it was told."""
    said = []
    if measurement.get("threads"):
        said.append(f"{measurement['threads']} thread" + "s" * (measurement["threads"] > 1))
    if measurement.get("lanes"):
        said.append(f"{measurement['lanes']} lane" + "s" * (measurement["lanes"] > 1))
    return said


def _memory(run: Run, memory: Mapping[str, Any]) -> str:
    parts = [f"{run.peak_rss_mb:.0f} MiB at most" if run.peak_rss_mb else "peak unknown"]
    if memory.get("above_ready_mb") is not None:
        parts.append(f"{memory['above_ready_mb']:.0f} above the loaded framework")
    if memory.get("steady_mb") is not None:
        parts.append(f"{memory['steady_mb']:.0f} after the last run")
    if memory.get("growth_mb") is not None:
        parts.append(f"{memory['growth_mb']:+.1f} from first to last run")
    return ", ".join(parts)


def _adds_up_to_more(images: Sequence[Mapping[str, Any]]) -> bool:
    return any(
        sum(stage_medians([image]).values()) > median(image["samples_ms"][image["warmup"] :])
        for image in images
    )


def _mib(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _ms(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f} ms"
