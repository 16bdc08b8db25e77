"""The detector in a process of its own: ``from mtcnn_doctor.isolated import IsolatedDetector``.

For programs that must outlive their framework: a segmentation fault, an abort or a hang while an
image is worked on becomes an exception here. docs/isolation.md shows what it is good for and what
it costs.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn

try:
    import numpy as np
except ImportError as error:
    raise ImportError(
        f"mtcnn_doctor.isolated needs NumPy, which does not load here ({error}). "
        "Install it: pip install numpy"
    ) from error

from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.isolated_faults import (
    DetectorDied,
    DetectorHung,
    Subject,
    exception,
    placed,
)
from mtcnn_doctor.reference import (
    FASTEST_FIRST,
    Result,
    check_parameters,
    each,
    frameworks,
    refuse_what_is_no_image,
    result_of,
)
from mtcnn_doctor.sandbox import Launch, NotPython, TargetTooOld
from mtcnn_doctor.sandbox.warm import OFFSET, Died, Hung, Warm
from mtcnn_doctor.target.reference import cascade
from mtcnn_doctor.target.reference.image import checked
from mtcnn_doctor.target.reference.weights import load_weights
from mtcnn_doctor.targets import resolve

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DetectorDied", "DetectorHung", "IsolatedDetector"]


class IsolatedDetector:
    """MTCNN face detection with one backend, in one child process that stays.

    Takes what :class:`mtcnn_doctor.reference.Detector` takes, finds the same faces, and gives them
    in the same types. ``timeout``: seconds for one image, None for no limit. ``start_timeout``:
    seconds for each step of starting the child (an import, building the networks, a first small
    image). ``python``: another interpreter with the framework, Python 3.8 or newer, or the folder
    of its environment; mtcnn-doctor need not be installed there. The child has this process's
    environment variables, but neither its ``sys.path`` nor its working directory on the path.

    The constructor starts the child. It raises what that of Detector raises, ValueError for a
    ``python`` that is none, and :class:`DetectorDied` for a child that dies while it starts.

    Any number of threads may call; they take turns. A detector belongs to the process that made it.
    Closing it, leaving it as a context manager, Ctrl-C during a call and the end of the program end
    the child.
    """

    def __init__(
        self,
        backend: str = "auto",
        device: str = "cpu",
        threads: int | None = None,
        lanes: int | None = None,
        weights: str | os.PathLike[str] | None = None,
        min_face_size: float = 20.0,
        scale_factor: float = 0.709,
        thresholds: Sequence[float] = (0.6, 0.7, 0.7),
        channels: Literal["rgb", "bgr"] = "rgb",
        compiled: bool | None = None,
        timeout: float | None = 120.0,
        start_timeout: float = 120.0,
        python: str | os.PathLike[str] | None = None,
    ) -> None:
        three: Any = tuple(thresholds)
        self.settings = cascade.Settings(min_face_size, scale_factor, three)
        lanes = check_parameters(threads, lanes, channels, device)
        _check_limit("start_timeout", start_timeout)
        if timeout is not None:
            _check_limit("timeout", timeout)
        self.device, self.channels, self.timeout = device, channels, timeout
        interpreter = _interpreter(python) if python is not None else sys.executable
        if not interpreter:
            raise ValueError(
                "this program does not say which interpreter runs it (sys.executable is empty): "
                "name one, as in IsolatedDetector(python='/usr/bin/python3')"
            )
        if weights is not None:
            weights = os.path.abspath(weights)
            load_weights(weights)
        self._python = None if python is None else interpreter
        self._launch = Launch(
            interpreter,
            {
                "task": "serve",
                "backend": backend,
                "frameworks": frameworks(),
                "order": FASTEST_FIRST,
                "device": device,
                "threads": threads,
                "lanes": lanes,
                "weights": weights,
                "settings": {
                    "min_face_size": self.settings.min_face_size,
                    "scale_factor": self.settings.scale_factor,
                    "thresholds": [float(value) for value in three],
                },
                "channels": channels,
                "compiled": compiled,
            },
            label=backend,
            timeout_s=start_timeout,
        )
        self.backend, self.lanes, self.compiled = backend, lanes, bool(compiled)
        self._owner, self._turn, self._closed = os.getpid(), threading.Lock(), False
        self._warm: Warm | None = self._start()

    @property
    def pid(self) -> int | None:
        """Number of the child process; None when there is none at the moment."""
        warm = self._warm
        return None if warm is None else warm.pid

    def detect(self, image: NDArray[Any]) -> Result:
        """Find the faces of one image; see :meth:`mtcnn_doctor.reference.Detector.detect`.

        Raises the same errors for what is no such image, before anything is sent;
        :class:`DetectorDied` when the child dies, :class:`DetectorHung` (a TimeoutError) when it
        gives no answer in time, and what the framework raises: built-in exceptions as they are,
        others as RuntimeError. After a death or a hang the next call starts a fresh child, which
        takes as long as the first. One that is found dead between two calls is replaced with a
        RuntimeWarning.
        """
        if os.getpid() != self._owner:  # before the lock: its owner may not exist here
            raise RuntimeError(
                "this detector was made in another process, whose child answers only there: "
                "make an IsolatedDetector in each process"
            )
        refuse_what_is_no_image(image)
        checked(image)
        with self._turn:
            if self._closed:
                raise ValueError("this detector is closed: make another one")
            return self._ask(self._living(), image)

    def detect_many(self, images: Iterable[NDArray[Any]]) -> list[Result]:
        """Find the faces of several images, as :meth:`mtcnn_doctor.reference.Detector.detect_many`.

        A death or a hang ends the whole call; call :meth:`detect` for each image to go on after it.
        """
        return each(self.detect, images)

    def close(self) -> None:
        """End the child; the detector cannot be used any more. Closing twice is allowed."""
        if os.getpid() == self._owner:
            with self._turn:
                self._closed = True
                if self._warm is not None:
                    self._warm.end()
                    self._drop()

    def __enter__(self) -> IsolatedDetector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"process {self.pid or 'to be started'}"
        return f"<IsolatedDetector {self.backend} on {self.device}, {self.lanes} lanes, {state}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            "an IsolatedDetector cannot be pickled or copied: its child answers one process. "
            "Make one in each process, for instance in the pool's initializer"
        )

    # -- the child ------------------------------------------------------------------------------

    def _living(self) -> Warm:
        """Return the child, or a fresh one where there is none any more."""
        if self._warm is not None and not self._warm.idle():
            died = self._subject().died(self._warm.bury())
            self._drop()
            warnings.warn(
                f"{str(died).splitlines()[0]}; a fresh one is started for this image",
                RuntimeWarning,
                stacklevel=3,
            )
        if self._warm is None:
            self._warm = self._start()
        return self._warm

    def _start(self) -> Warm:
        warm = Warm(replace(self._launch, folder=_folder()))
        try:
            said = warm.start()
        except (NotPython, TargetTooOld) as problem:
            raise ValueError(f"python: {problem}") from None
        except Died as death:
            raise self._subject().refused(death.ending, self._launch.timeout_s) from None
        # Should this object be dropped without being closed.
        self._last_will = weakref.finalize(self, warm.abandon)
        self._last_will.atexit = False
        for message in said:
            if message["t"] == "detector":
                self.backend, self.lanes = message["backend"], message["lanes"]
                self.compiled = message["compiled"]
        try:
            for message in said:
                if message["t"] == "warning":
                    warnings.warn(message["text"], RuntimeWarning, stacklevel=3)
        except RuntimeWarning:  # where warnings are errors
            warm.end()
            raise
        return warm

    def _drop(self) -> None:
        """Forget a child that has ended."""
        self._warm = None
        self._last_will.detach()

    def _ask(self, warm: Warm, image: NDArray[Any]) -> Result:
        dtype = image.dtype.newbyteorder("=")
        memory = warm.memory(image.nbytes).memory
        try:
            np.copyto(np.ndarray(image.shape, dtype, memory, OFFSET), image)
            request = {"shape": image.shape, "dtype": dtype.name}
            answer = warm.ask(request, self.timeout)
        except Died as death:
            self._drop()
            ending = placed(death.ending, death.places)
            raise self._subject().died(ending, image.shape) from None
        except Hung as hang:
            self._drop()
            ending, limit = placed(hang.ending, hang.places), self.timeout or 0.0
            raise self._subject().hung(ending, limit, image.shape) from None
        except BaseException:
            # Ctrl-C: the child is about to answer, or hangs; nobody will know.
            warm.end()
            self._drop()
            raise
        if "error" in answer:
            raise exception(answer["error"])
        return result_of(_found(answer))

    def _subject(self) -> Subject:
        return Subject(self.backend, self.device, self.lanes, self._python)


def _check_limit(name: str, seconds: Any) -> None:
    """Refuse what is no limit.

    Raises:
        ValueError: nothing, no number, or none above 0.
    """
    try:
        usable = bool(seconds > 0)
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise ValueError(f"{name} is {seconds!r}, expected seconds above 0")


def _interpreter(given: str | os.PathLike[str]) -> str:
    """Return the interpreter named, or that of the environment whose folder is named.

    Raises:
        ValueError: there is none.
    """
    named = os.fspath(given)
    if not named:
        raise ValueError("python is empty: name an interpreter, or leave it out")
    try:
        return resolve(named, None).python
    except UsageError as problem:
        raise ValueError(f"python: {problem}") from None


def _folder() -> str | None:
    """Return where a child is to work: None for here, or the root where this folder was deleted.

    Some frameworks do not load in a deleted folder; in this process they were loaded before.
    """
    try:
        os.getcwd()
    except FileNotFoundError:
        return os.path.abspath(os.sep)
    return None


def _found(answer: dict[str, Any]) -> cascade.Result:
    """Return the cascade's result from what the line brought of it."""
    faces = [
        cascade.Detection(
            tuple(face["box"]),
            face["confidence"],
            {name: (x, y) for name, (x, y) in face["keypoints"].items()},
        )
        for face in answer["faces"]
    ]
    levels = [(height, width) for height, width in answer["levels"]]
    return cascade.Result(faces, levels, answer["candidates"], answer["non_finite"])
