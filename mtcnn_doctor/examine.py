"""The main road: target, facts, findings, report.

Children do all the work: one in the target for metadata, one on the host for the machine, one
for the GPU driver (drivers hang), one that decodes the images, one for OpenCV, and one a
backend. They import at the same time and run one after another, so that times and memory are
honest. Whatever dies or hangs, the others go on and what was heard is kept.
"""

from __future__ import annotations

import datetime
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from mtcnn_doctor import agreement, gallery, registry
from mtcnn_doctor.backends import BACKENDS, MODULES_OF_INTEREST, Backend
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.gallery import Picture
from mtcnn_doctor.model import Check, Finding, Outcome, Report, Run
from mtcnn_doctor.runs import not_installed, run_of, run_to_dict
from mtcnn_doctor.sandbox import Child, Ending, Launch, NotPython, TargetTooOld, kill_all
from mtcnn_doctor.targets import Target

Listener = Callable[[str, dict[str, Any]], None]

_TARGET_PROBES = ("python", "packages", "environment", "threads")
_HOST_PROBES = ("cpu", "memory")
#: Facts that only a child which imports frameworks can give.
_RUN_FACTS = {"runs", "numpy", "opencv", "torch", "tensorflow", "onnxruntime"}


@dataclass(frozen=True)
class Request:
    """What is to be examined, and how deep.

    ``bundled`` includes the reference images beside those given. ``runs`` counts per image after
    the ``warmup`` runs (default: one, at level 3 three). ``alone`` starts no child before the one
    before it has ended, so that even import times are undisturbed.
    """

    target: Target
    checks: Sequence[Check]
    level: int = 2
    backends: Sequence[str] = ()
    images: Sequence[Path] = ()
    bundled: bool = True
    runs: int | None = None
    warmup: int = 0
    alone: bool = False
    timeout_s: float = 120.0
    expect_gpu: bool = False
    command: Sequence[str] = ()
    plugin_failures: Sequence[Finding] = ()
    listener: Listener | None = None


@dataclass
class _Collected:
    """What the children told so far. Guarded by ``lock``: children report from threads."""

    facts: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    incomplete: list[str] = field(default_factory=list)
    probes_failed: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, ending: Ending) -> None:
        """Take the facts out of an ending, and remember which probes did not answer."""
        with self.lock:
            for message in ending.of("fact"):
                self.facts[message["name"]] = message["value"]
            for message in ending.of("probe-failed"):
                self.probes_failed.append(
                    {"probe": message["name"], "reason": message["error"]["last_line"]}
                )


def examine(request: Request) -> Report:
    """Examine a target and return the report.

    Raises:
        UsageError: the target is no Python, too old, or holds nothing to examine.
        KeyboardInterrupt: after every child was killed.
    """
    started = time.monotonic()
    collected = _Collected()
    wanted = _wanted_facts(request.checks)
    collected.facts["settings"] = {
        "level": request.level,
        "backends": list(request.backends) or list(BACKENDS),
        "backends_requested": list(request.backends),
        "expect_gpu": request.expect_gpu,
        "timeout_s": request.timeout_s,
    }
    with _killing_children(), ThreadPoolExecutor(max_workers=16) as pool:
        host = [
            pool.submit(_host, request, collected, probes)
            for probes in (_HOST_PROBES, ("gpu",))
            if wanted & set(probes)
        ]
        _metadata(request, collected)
        if request.level >= 2 and wanted & _RUN_FACTS and "startup" not in collected.facts:
            _run_backends(request, collected, pool)
        wait_for(host)
    return _report(request, collected, time.monotonic() - started)


def judge_facts(
    document: Mapping[str, Any],
    checks: Sequence[Check],
    *,
    expect_gpu: bool,
    command: Sequence[str],
    plugin_failures: Sequence[Finding],
) -> Report:
    """Judge a recorded facts document (or the facts of a recorded report)."""
    facts = dict(document.get("facts", document))
    settings = dict(facts.get("settings") or {})
    settings["expect_gpu"] = expect_gpu or bool(settings.get("expect_gpu"))
    facts["settings"] = settings
    facts.setdefault("runs", document.get("runs") or None)
    findings = [*registry.judge(checks, facts), *plugin_failures]
    python = facts.get("python") or {}
    return Report(
        created=_now(),
        command=tuple(command),
        target=_target_of(python, python.get("executable", "unknown")),
        findings=tuple(findings),
        runs=tuple(_run_from_dict(run) for run in facts.get("runs") or ()),
        facts={name: value for name, value in facts.items() if name != "runs"},
        incomplete=tuple(document.get("incomplete", ())),
    )


def _run_from_dict(data: Mapping[str, Any]) -> Run:
    known = {key: value for key, value in data.items() if key in Run.__dataclass_fields__}
    return Run(**{**known, "outcome": Outcome(data["outcome"])})


def _wanted_facts(checks: Sequence[Check]) -> set[str]:
    """Return the facts that the checks ask for: nothing else is collected."""
    wanted: set[str] = set()
    for check in checks:
        needed, optional = registry.parameters(check)
        wanted |= needed | optional
    return wanted


# -- level 1 -----------------------------------------------------------------------------------


def _host(request: Request, collected: _Collected, probes: Sequence[str]) -> None:
    """Ask the machine, from a child of the doctor's own interpreter (it has psutil and NVML)."""
    label = "driver" if "gpu" in probes else "machine"
    launch = Launch(
        sys.executable,
        {"task": "facts", "probes": list(probes)},
        label,
        timeout_s=min(request.timeout_s, 20.0),
    )
    try:
        ending = Child(launch, request.listener).run()
    except (NotPython, TargetTooOld) as problem:
        with collected.lock:
            collected.incomplete.append(f"{label}: {problem}")
        return
    collected.take(ending)
    _note_unfinished(collected, ending, probes)


def _metadata(request: Request, collected: _Collected) -> None:
    """Collect what can be told of the target without importing anything of the field.

    Raises:
        UsageError: the target is no Python, too old, or holds nothing to examine.
    """
    probes = [*_TARGET_PROBES, *(["image"] if request.images else [])]
    ending = _child(
        request,
        "metadata",
        {
            "task": "facts",
            "probes": probes,
            "images": [str(path) for path in request.images],
            "working_directory": str(Path.cwd()),
        },
    )
    collected.take(ending)
    if ending.last("hello") is None:
        collected.facts["startup"] = {
            "exit_code": ending.exit_code,
            "signal": ending.signal,
            "timed_out": ending.timed_out is not None,
            "python_traceback": list(ending.python_frames[:10]),
            "stderr_tail": ending.stderr[-2000:],
            "executable": request.target.python,
        }
        return
    _note_unfinished(collected, ending, probes)
    image = collected.facts.pop("image", None)
    if image is not None:
        collected.facts["images"] = image["images"]
    modules = (collected.facts.get("packages") or {}).get("modules")
    if modules is not None and not any(
        (modules.get(name) or {}).get("found") for name in MODULES_OF_INTEREST
    ):
        raise UsageError(
            f"nothing to examine: {request.target.python} has none of "
            f"{', '.join(MODULES_OF_INTEREST)}; name another interpreter with --python"
        )


def _note_unfinished(collected: _Collected, ending: Ending, probes: Sequence[str]) -> None:
    told = {message["name"] for message in ending.of("fact") + ending.of("probe-failed")}
    for probe in probes:
        if probe in told:
            continue
        if ending.timed_out is not None:
            reason = "its time limit passed"
        else:
            reason = f"its process ended with {ending.signal or f'exit code {ending.exit_code}'}"
        with collected.lock:
            collected.probes_failed.append({"probe": probe, "reason": reason})


def _child(
    request: Request,
    label: str,
    orders: Mapping[str, Any],
    before_go: Callable[[], None] | None = None,
) -> Ending:
    launch = Launch(
        request.target.python,
        orders,
        label,
        timeout_s=request.timeout_s,
        environment=request.target.environment,
    )
    try:
        return Child(launch, request.listener, before_go).run()
    except (NotPython, TargetTooOld) as problem:
        raise UsageError(f"{problem}; name a Python interpreter with --python") from problem


# -- level 2 -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Album:
    """The images of an examination and where the decoder puts their arrays."""

    pictures: Sequence[Picture]
    folder: Path

    def array(self, index: int) -> Path:
        return self.folder / f"{index}.npy"

    def orders(self) -> list[dict[str, str]]:
        """Return the images as the orders of a child; arrays may not be there yet, or never."""
        return [
            {"name": picture.name, "array": str(self.array(index))}
            for index, picture in enumerate(self.pictures)
        ]


def _run_backends(request: Request, collected: _Collected, pool: ThreadPoolExecutor) -> None:
    names = list(request.backends) or list(BACKENDS)
    modules = (collected.facts.get("packages") or {}).get("modules") or {}
    present = [name for name in names if _present(modules, BACKENDS[name].module)]
    for name in names:
        if name not in present:
            collected.runs[name] = not_installed(name)
            collected.facts[BACKENDS[name].fact] = {"state": "not-installed"}
    with tempfile.TemporaryDirectory(prefix="mtcnn-doctor-") as folder:
        users = [Picture(path.name, path) for path in request.images]
        pictures = [*(gallery.bundled() if request.bundled else ()), *users]
        album = _Album(pictures, Path(folder))
        gathering = pool.submit(_opencv, request, collected, modules)
        decoding = pool.submit(_decode, request, collected, album, gathering)
        turn = threading.Lock()
        futures = [
            pool.submit(_run_backend, request, collected, BACKENDS[name], album, decoding, turn)
            for name in present
        ]
        wait_for([gathering, decoding, *futures])
        _trace_wrong_results(request, collected, album)
    if users:
        _compare_with_numpy(collected, users)
    # In the order asked for, whatever order they finished in.
    collected.runs = {name: collected.runs[name] for name in names if name in collected.runs}


def _present(modules: Mapping[str, Any], module: str) -> bool:
    # Without metadata (the probe failed) everything is tried.
    return module not in modules or bool(modules[module].get("found"))


def _opencv(request: Request, collected: _Collected, modules: Mapping[str, Any]) -> None:
    """Import OpenCV in a child of its own; no backend needs it, but users' programs do."""
    if not _present(modules, "cv2"):
        collected.facts["opencv"] = {"state": "not-installed"}
        return
    ending = _child(
        request, "opencv", {"task": "modules", "module": "cv2", "after": ["numpy"]}
    )
    refused = ending.last("not-loadable")
    if refused is not None and refused["module"] == "numpy":
        return  # numpy's own fault, told by the backends
    with collected.lock:
        collected.facts["opencv"] = _loaded(ending, "cv2")


def _loaded(ending: Ending, module: str) -> dict[str, Any]:
    """Return the level-2 fact of a module: how its import went and what it says of itself."""
    name = "opencv" if module == "cv2" else module
    fact: dict[str, Any] = {"stderr_tail": ending.stderr[-2000:], "stage": ending.stage}
    told = [message for message in ending.of("loaded") if message["name"] == name]
    if told:
        return {**fact, **told[-1]["value"]}
    refused = [message for message in ending.of("not-loadable") if message["module"] == module]
    if refused:
        error = refused[-1]["error"]
        fact["state"] = "out-of-memory" if refused[-1]["out_of_memory"] else "not-loadable"
        fact["error"] = {key: error[key] for key in ("type", "message", "last_line")}
        return fact
    fact["state"] = "timeout" if ending.timed_out is not None else "crash"
    fact["exit_code"], fact["signal"] = ending.exit_code, ending.signal
    return fact


def _decode(
    request: Request, collected: _Collected, album: _Album, opencv: Future[None]
) -> None:
    """Decode the images once for all backends."""
    if request.images:
        opencv.result()  # a cv2 that crashes must not take the decoder with it
    state = (collected.facts.get("opencv") or {}).get("state")
    ending = _child(
        request,
        "images",
        {
            "task": "pictures",
            "images": [str(picture.path) for picture in album.pictures],
            "folder": str(album.folder),
            "avoid": [] if state in ("ok", None) else ["cv2"],
        },
    )
    told = {message["path"]: message for message in ending.of("picture")}
    for picture in album.pictures:
        if picture.faces is None:
            _note_decoding(collected, picture, told.get(str(picture.path)))
    decoded = any(message["array"] for message in told.values())
    if not decoded and ending.last("not-loadable") is None:
        with collected.lock:
            ended = ending.signal or f"exit code {ending.exit_code}"
            collected.incomplete.append(f"the images could not be decoded ({ended})")


def _note_decoding(
    collected: _Collected, picture: Picture, message: Mapping[str, Any] | None
) -> None:
    """Add to the fact about a user's image what came of decoding it."""
    with collected.lock:
        for image in collected.facts.get("images") or ():
            if image.get("path") != str(picture.path):
                continue
            if message is None:
                image["error"] = "the decoder died"
            elif message.get("error"):
                image["error"] = message["error"]["last_line"]
            else:
                image["decoder"] = message["decoder"]
                image["equal_channels"] = message["equal_channels"]


def _run_backend(
    request: Request,
    collected: _Collected,
    backend: Backend,
    album: _Album,
    decoding: Future[None],
    turn: threading.Lock,
) -> None:
    orders = {
        "task": "reference",
        "backend": backend.name,
        "module": backend.module,
        "images": album.orders(),
        "runs": request.runs or (3 if request.level >= 3 else 1),
        "warmup": request.warmup,
        "settings": dict(gallery.settings()),
    }
    with ExitStack() as until_it_ends:

        def take_turn() -> None:
            decoding.result()
            until_it_ends.enter_context(turn)

        if request.alone:
            take_turn()
            ending = _child(request, backend.name, orders)
        else:
            ending = _child(request, backend.name, orders, take_turn)
    run = run_of(ending, backend.name, album.pictures, gallery.tolerance(backend.name))
    with collected.lock:
        collected.runs[backend.name] = run
        if (collected.facts.get("numpy") or {}).get("state") != "ok":
            collected.facts["numpy"] = _loaded(ending, "numpy")
        if backend.module != "numpy" and ending.of("imported"):
            # NumPy was imported, so what happened next is about the backend's own module.
            collected.facts[backend.fact] = _loaded(ending, backend.module)
        for message in ending.of("probe-failed"):
            collected.probes_failed.append(
                {"probe": message["name"], "reason": message["error"]["last_line"]}
            )
        varying = [m for m in ending.of("result") if m["distinct_results"] > 1]
        if varying:
            collected.facts.setdefault("nondeterministic", {})[backend.name] = [
                {"image": m["image"], "distinct": m["distinct_results"]} for m in varying
            ]


def _trace_wrong_results(request: Request, collected: _Collected, album: _Album) -> None:
    """Ask, for each backend with a wrong result, at which network call it departs from NumPy."""
    for name, run in collected.runs.items():
        if run.outcome is not Outcome.WRONG_RESULT or name == "numpy":
            continue
        ending = _child(
            request,
            f"{name}, comparing",
            {
                "task": "divergence",
                "backend": name,
                "module": BACKENDS[name].module,
                "images": album.orders(),
                "settings": dict(gallery.settings()),
            },
        )
        found = ending.last("divergence")
        if found is None:
            continue
        found = {key: value for key, value in found.items() if key != "t"}
        stage, step = found.get("stage") or run.stage, found.get("step") or run.step
        collected.runs[name] = replace(run, divergence=found, stage=stage, step=step)


def _compare_with_numpy(collected: _Collected, users: Sequence[Picture]) -> None:
    """Hold each backend's faces on the user's images to those of the NumPy backend.

    Nobody knows what is on them; that the same networks find the same faces is known.
    """
    truth = collected.runs.get("numpy")
    if truth is None or truth.outcome is not Outcome.OK:
        return
    for name, run in collected.runs.items():
        if name == "numpy" or run.outcome is not Outcome.OK:
            continue
        for picture in users:
            compared = agreement.compare(
                _faces_on(truth, picture), _faces_on(run, picture), gallery.tolerance(name)
            )
            if not compared["agrees"]:
                collected.runs[name] = replace(
                    run,
                    outcome=Outcome.WRONG_RESULT,
                    reason=f"on {picture.name}: other faces than the numpy backend finds",
                    stage="compare",
                    step=picture.name,
                    agreement={**compared, "images": 1, "disagreeing": [compared]},
                )
                break


def _faces_on(run: Run, picture: Picture) -> list[Mapping[str, Any]]:
    return [face for face in run.detections if face["image"] == picture.name]


# -- the end of the road -----------------------------------------------------------------------


def _report(request: Request, collected: _Collected, duration_s: float) -> Report:
    facts = collected.facts
    if collected.runs:
        facts["runs"] = [run_to_dict(run) for run in collected.runs.values()]
    facts["probes"] = {"failed": collected.probes_failed}
    findings = [*registry.judge(request.checks, facts), *request.plugin_failures]
    return Report(
        created=_now(),
        command=tuple(request.command),
        target=_target_of(facts.get("python") or {}, request.target.python),
        findings=tuple(findings),
        runs=tuple(collected.runs.values()),
        facts={name: value for name, value in facts.items() if name != "runs"},
        incomplete=(*collected.incomplete, *(f"probe {p['probe']}: {p['reason']}" for p in
                                      collected.probes_failed)),
        duration_s=duration_s,
    )


def _target_of(python: Mapping[str, Any], executable: str) -> dict[str, Any]:
    return {
        "python": executable,
        "version": python.get("version"),
        "implementation": python.get("implementation"),
        "platform": python.get("platform"),
        "machine": python.get("machine"),
    }


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def wait_for(futures: Sequence[Future[None]]) -> None:
    """Wait for all futures, then raise the first exception among them, if any.

    In short turns, so that Ctrl-C is heard on every platform.
    """
    pending: set[Future[None]] = set(futures)
    while pending:
        _, pending = wait(pending, timeout=0.2)
    for future in futures:
        future.result()


class _killing_children(AbstractContextManager[None]):
    """Kill every child when the work inside is interrupted or fails."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            kill_all()
