"""Level 2: importing the frameworks, and running the reference on each backend."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from mtcnn_doctor import agreement, gallery
from mtcnn_doctor.backends import Backend
from mtcnn_doctor.collect import native, subjects
from mtcnn_doctor.collect.choice import choose, installed_version, is_present, ready
from mtcnn_doctor.collect.images import Album, album_of, decode
from mtcnn_doctor.collect.load import LoadWatch
from mtcnn_doctor.collect.rate import ask_rate, blas_threads
from mtcnn_doctor.collect.request import Collected, Request, ask_child, wait_for
from mtcnn_doctor.gallery import Picture
from mtcnn_doctor.model import Outcome, Run
from mtcnn_doctor.runs import not_installed, run_of
from mtcnn_doctor.sandbox import Ending

#: Facts that only a child which imports frameworks can give.
RUN_FACTS = {
    "runs",
    "subjects",
    "numpy",
    "opencv",
    "torch",
    "tensorflow",
    "onnxruntime",
    "openvino",
    "litert",
}
# The facts that are not called like the module they are about.
_FACTS = {"cv2": "opencv", "ai_edge_litert": "litert", "tflite_runtime": "litert"}


def run_backends(request: Request, collected: Collected, pool: ThreadPoolExecutor) -> None:
    """Run each backend that is installed; facts and runs go into ``collected``."""
    packages = collected.facts.get("packages") or {}
    modules = packages.get("modules") or {}
    chosen = choose(request.backends, packages)
    present = []
    for backend in chosen:
        usable, reason = ready(backend, packages)
        if usable is not None:
            present.append(usable)
            continue
        collected.runs[backend.name] = not_installed(backend.name, reason)
        if backend.fact is not None and reason is None:
            collected.facts[backend.fact] = {"state": "not-installed"}
    if not is_present(modules, "numpy"):
        collected.facts["numpy"] = {"state": "not-installed"}
    collected.facts.setdefault("settings", {})["cascade"] = _cascade_settings(request)
    with tempfile.TemporaryDirectory(prefix="mtcnn-doctor-") as folder:
        album = album_of(request, Path(folder))
        if request.rate:
            ask_rate(request, collected)
        gathering = pool.submit(import_opencv, request, collected, modules)
        decoding = pool.submit(decode, request, collected, album, gathering)
        turn = threading.Lock()
        futures: list[Future[None]] = []
        for backend in present:
            # Those measured alone go in the order asked for: one that hangs stops none before it.
            after = futures[-1:] if request.alone else []
            futures.append(
                pool.submit(_run_backend, request, collected, backend, album, decoding, turn, after)
            )
        work = subjects.Work(request, collected, album, decoding, turn)
        try:
            wait_for([gathering, *futures, *subjects.start(work, pool)])
            decoding.result()
        except KeyboardInterrupt:
            # The faces of what was finished are held to each other all the same.
            known = collected.interrupt()
            compare_with_numpy(known, album.of_unknown_faces())
            subjects.compare_with_reference(replace(work, collected=known))
            raise
        compare_with_numpy(collected, album.of_unknown_faces())
        for backend in present:
            _trace_wrong_result(request, collected, album, backend)
            orders, environment = _orders(request, backend, album)
            run = collected.runs[backend.name]
            collected.runs[backend.name] = native.looked_at(request, run, orders, environment)
        subjects.finish(work)


def import_opencv(request: Request, collected: Collected, modules: Mapping[str, Any]) -> None:
    """Import OpenCV in a child of its own: users' programs need it, whatever backend is run."""
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
    name = _FACTS.get(module, module)
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
    fact["python_traceback"] = list(ending.python_frames)[:6]
    return fact


def _run_backend(
    request: Request,
    collected: Collected,
    backend: Backend,
    album: Album,
    decoding: Future[list[str]],
    turn: threading.Lock,
    after: Sequence[Future[None]],
) -> None:
    orders, environment = _orders(request, backend, album)
    watch = LoadWatch()
    with ExitStack() as until_it_ends:

        def take_turn() -> None:
            decoding.result()
            wait(after)
            until_it_ends.enter_context(turn)

        if request.alone:
            take_turn()
            ending = ask_child(
                request, backend.name, orders, also=watch.hear, environment=environment
            )
        else:
            ending = ask_child(request, backend.name, orders, take_turn, environment=environment)
    run = run_of(
        ending,
        backend,
        album.pictures,
        gallery.tolerance(backend.name),
        given=decoding.result(),
        installed=installed_version(backend, collected.facts.get("packages") or {}),
        device=_device(request, backend),
        load=watch.found,
    )
    collected.take(ending)
    with collected.lock:
        collected.runs[backend.name] = run
        if (collected.facts.get("numpy") or {}).get("state") not in ("ok", "not-installed"):
            collected.facts["numpy"] = loaded_fact(ending, "numpy")
        if backend.fact not in (None, "numpy") and ending.of("imported"):
            # NumPy was imported, so what happened next is about the backend's own module.
            collected.facts[str(backend.fact)] = loaded_fact(ending, backend.module)
        varying = [m for m in ending.of("result") if m["distinct_results"] > 1]
        if varying:
            collected.facts.setdefault("nondeterministic", {})[backend.name] = [
                {"image": m["image"], "distinct": m["distinct_results"]} for m in varying
            ]


def _orders(
    request: Request, backend: Backend, album: Album
) -> tuple[dict[str, Any], Mapping[str, str]]:
    """Return the orders of a backend's child and what is set in its environment."""
    orders = {
        "task": "reference",
        "backend": backend.name,
        "module": backend.module,
        "images": album.orders(),
        "runs": request.runs or (3 if request.level >= 3 else 1),
        "warmup": request.warmup,
        "threads": request.tuning.threads,
        "lanes": request.tuning.lanes,
        "mitigations": {"import_first": list(request.tuning.before)},
        **_manner(request, backend),
    }
    # The other backends are told in their networks; BLAS reads variables when it is loaded.
    environment = blas_threads(request.tuning.threads) if backend.module == "numpy" else {}
    return orders, environment


def _manner(request: Request, backend: Backend) -> dict[str, Any]:
    """Return the part of a child's orders that decides what is computed, and on what."""
    weights = request.tuning.weights
    return {
        "device": _device(request, backend),
        "settings": _cascade_settings(request),
        "weights": None if weights is None else str(weights),
    }


def _device(request: Request, backend: Backend) -> str:
    """Return the device of a backend: NumPy, which has one, is the measure beside the others."""
    beside = backend.name == "numpy" and list(request.backends) != ["numpy"]
    return "cpu" if beside else request.tuning.device


def _cascade_settings(request: Request) -> dict[str, Any]:
    return {**gallery.settings(), **request.tuning.settings}


def _trace_wrong_result(
    request: Request, collected: Collected, album: Album, backend: Backend
) -> None:
    """Where a backend's result is wrong, ask in which stage of the cascade it becomes so."""
    name = backend.name
    run = collected.runs[name]
    # An exception between the networks may come of a wrong number made before it.
    stumbled = run.outcome is Outcome.ERROR and run.stage == "pyramid"
    if run.outcome is not Outcome.WRONG_RESULT and not stumbled:
        return
    orders, environment = _orders(request, backend, album)
    named = [part.get("image") for part in (run.agreement or {}).get("disagreeing") or ()]
    named.append(run.step)
    ending = ask_child(
        request,
        f"{name}, comparing",
        {
            **orders,
            "task": "divergence",
            # Those on which it went wrong come first.
            "images": sorted(orders["images"], key=lambda image: image["name"] not in named),
            "answers": {
                picture.name: [face["box"] for face in _faces_on(run, picture)]
                for picture in album.pictures
            },
        },
        environment=environment,
    )
    found = ending.last("divergence")
    if found is not None:
        found = {key: value for key, value in found.items() if key != "t"}
        run = replace(run, divergence=found)
        if found.get("stage") and not stumbled:
            run = replace(run, stage=found["stage"], step=found.get("step"))
        collected.runs[name] = run


def compare_with_numpy(collected: Collected, pictures: Sequence[Picture]) -> None:
    """Hold each backend's faces on images of unknown faces to those of the NumPy backend.

    Nobody knows what is on them; that the same networks find the same faces is known.
    """
    truth = collected.runs.get("numpy")
    if truth is None or truth.outcome is not Outcome.OK:
        return
    for name, run in collected.runs.items():
        if name == "numpy" or run.outcome is not Outcome.OK:
            continue
        for picture in pictures:
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
