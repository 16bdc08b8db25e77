"""Level 2: importing the frameworks, and running the reference on each backend."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtcnn_doctor import agreement, gallery
from mtcnn_doctor.backends import BACKENDS, Backend
from mtcnn_doctor.collect.images import Album, decode, named
from mtcnn_doctor.collect.request import Collected, Request, ask_child, wait_for
from mtcnn_doctor.gallery import Picture
from mtcnn_doctor.model import Outcome, Run
from mtcnn_doctor.runs import not_installed, run_of
from mtcnn_doctor.sandbox import Ending

#: Facts that only a child which imports frameworks can give.
RUN_FACTS = {"runs", "numpy", "opencv", "torch", "tensorflow", "onnxruntime"}


def run_backends(request: Request, collected: Collected, pool: ThreadPoolExecutor) -> None:
    """Run each backend that is installed; facts and runs go into ``collected``."""
    names = list(request.backends) or list(BACKENDS)
    modules = (collected.facts.get("packages") or {}).get("modules") or {}
    present = [name for name in names if is_present(modules, BACKENDS[name].module)]
    for name in names:
        if name not in present:
            collected.runs[name] = not_installed(name)
            collected.facts[BACKENDS[name].fact] = {"state": "not-installed"}
    if not is_present(modules, "numpy"):
        collected.facts["numpy"] = {"state": "not-installed"}
    with tempfile.TemporaryDirectory(prefix="mtcnn-doctor-") as folder:
        bundled = gallery.bundled() if request.bundled else []
        users = named(request.images, {picture.name for picture in bundled})
        pictures = [*bundled, *users]
        album = Album(pictures, Path(folder))
        gathering = pool.submit(import_opencv, request, collected, modules)
        decoding = pool.submit(decode, request, collected, album, gathering)
        turn = threading.Lock()
        futures = [
            pool.submit(_run_backend, request, collected, BACKENDS[name], album, decoding, turn)
            for name in present
        ]
        wait_for([gathering, *futures])
        decoding.result()
        _trace_wrong_results(request, collected, album)
    if users:
        _compare_with_numpy(collected, users)
    # In the order asked for, whatever order they finished in.
    collected.runs = {name: collected.runs[name] for name in names if name in collected.runs}


def is_present(modules: Mapping[str, Any], module: str) -> bool:
    """Whether metadata say that a module is there; without metadata everything is tried."""
    return module not in modules or bool(modules[module].get("found"))


def import_opencv(request: Request, collected: Collected, modules: Mapping[str, Any]) -> None:
    """Import OpenCV in a child of its own; no backend needs it, but users' programs do."""
    if not is_present(modules, "cv2"):
        collected.facts["opencv"] = {"state": "not-installed"}
        return
    ending = ask_child(request, "opencv", {"task": "modules", "module": "cv2", "after": ["numpy"]})
    refused = ending.last("not-loadable")
    if refused is not None and refused["module"] == "numpy":
        return  # numpy's own fault, told by the backends
    with collected.lock:
        collected.facts["opencv"] = loaded_fact(ending, "cv2")


def loaded_fact(ending: Ending, module: str) -> dict[str, Any]:
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
        fact["error"]["frames"] = error["traceback"][:6]
        return fact
    fact["state"] = "timeout" if ending.timed_out is not None else "crash"
    fact["exit_code"], fact["signal"] = ending.exit_code, ending.signal
    return fact


def _run_backend(
    request: Request,
    collected: Collected,
    backend: Backend,
    album: Album,
    decoding: Future[list[str]],
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
            ending = ask_child(request, backend.name, orders)
        else:
            ending = ask_child(request, backend.name, orders, take_turn)
    run = run_of(
        ending,
        backend,
        album.pictures,
        gallery.tolerance(backend.name),
        given=decoding.result(),
        installed=_installed_version(collected, backend),
    )
    collected.take(ending)
    with collected.lock:
        collected.runs[backend.name] = run
        if (collected.facts.get("numpy") or {}).get("state") not in ("ok", "not-installed"):
            collected.facts["numpy"] = loaded_fact(ending, "numpy")
        if backend.module != "numpy" and ending.of("imported"):
            # NumPy was imported, so what happened next is about the backend's own module.
            collected.facts[backend.fact] = loaded_fact(ending, backend.module)
        varying = [m for m in ending.of("result") if m["distinct_results"] > 1]
        if varying:
            collected.facts.setdefault("nondeterministic", {})[backend.name] = [
                {"image": m["image"], "distinct": m["distinct_results"]} for m in varying
            ]


def _installed_version(collected: Collected, backend: Backend) -> str | None:
    packages = collected.facts.get("packages") or {}
    for distribution in packages.get("distributions") or ():
        if distribution.get("key") in backend.distributions:
            return str(distribution.get("version"))
    return None


def _trace_wrong_results(request: Request, collected: Collected, album: Album) -> None:
    """Ask, for each backend with a wrong result, at which network call it departs from NumPy."""
    for name, run in collected.runs.items():
        if run.outcome is not Outcome.WRONG_RESULT or name == "numpy":
            continue
        ending = ask_child(
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


def _compare_with_numpy(collected: Collected, users: Sequence[Picture]) -> None:
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
