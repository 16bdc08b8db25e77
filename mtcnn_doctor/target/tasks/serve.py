"""Task ``serve``: build a detector once, then answer for one image after the other.

For programs that must outlive their framework (``mtcnn_doctor/isolated.py``). The pixels lie in
memory that both processes have; a line carries a few words a request and the faces found.
"""

from __future__ import annotations

import array
import importlib
import json
import mmap
import os
import socket
from typing import Any

from ..channel import Channel
from ..failures import describe
from ..imports import import_framework
from .places import PLACES_BYTES, Places
from .stages import StageClock, Stopwatch

#: How often a silent line is looked at: whether the program that started this process still lives.
_NAP_S = 1.0


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Serve until the line is hung up.

    Orders: ``line`` (how to call), ``backend`` (or "auto"), ``frameworks`` and ``order`` (see
    :func:`..reference.assembly.build`), ``device``, ``threads``, ``lanes``, ``weights``,
    ``settings``, ``channels``, ``compiled``. Sends ``warning`` for what was passed over,
    ``detector`` for what was built, and ``ready``; the answers go over the line.
    """
    if not import_framework(channel, "numpy", facts=False):
        return
    detector = _Detector(channel, orders)
    channel.send("phase", name="warm up")
    detector.warm_up()
    # Nobody counts the seconds of a child that waits, and nobody looks at what it has loaded.
    channel.send("phase", name="serve", run=1)
    parent = os.getppid()
    with _call(orders["line"]) as line:
        channel.enter("wait", "for an image")
        channel.send("ready")
        requests = _Requests(line)
        while os.getppid() == parent:
            request = requests.next()
            if request is None:
                continue
            if not request:
                break
            line.sendall(json.dumps(detector.answer(request)).encode() + b"\n")


class _Detector:
    """The reference with one backend, and the memory in which its images lie."""

    def __init__(self, channel: Channel, orders: dict[str, Any]) -> None:
        from ..reference import assembly, cascade, lanes, weights

        self._channel = channel
        self._turned = orders["channels"] == "bgr"
        self._settings = cascade.Settings(**orders["settings"])
        self._memory: Any = None
        frameworks = {
            name: assembly.Framework(*framework) for name, framework in orders["frameworks"].items()
        }

        def prepare(name: str) -> None:
            known = frameworks.get(name)
            module = known.present if known is not None else None
            if module is not None:
                channel.enter("import", module)
                channel.send("phase", name="import " + module)
                importlib.import_module(module)
            channel.enter("build", "networks of " + name)
            channel.send("phase", name="build")

        def tell(text: str) -> None:
            channel.send("warning", text=text)

        name, networks = assembly.build(
            orders["backend"],
            frameworks,
            orders["order"],
            weights.load_weights(orders["weights"]),
            orders["device"],
            orders["threads"],
            orders["lanes"],
            tell,
            prepare,
        )
        self._kernels, compiled = assembly.kernels(orders["compiled"], tell)
        self._networks, self._crew = networks, lanes.Lanes(networks)
        channel.send("detector", backend=name, lanes=self._crew.count, compiled=compiled)

    def warm_up(self) -> None:
        """Run all three networks once: what a framework or a compiler does once is done then."""
        import numpy

        from ..reference import cascade

        everything = cascade.Settings(thresholds=(0.0, 0.0, 0.0))
        gray = numpy.arange(48 * 48 * 3).reshape(48, 48, 3) % 251
        self._detect(gray.astype(numpy.uint8), everything, StageClock(self._channel))

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return what was found on the image of a request, or the exception that was raised."""
        import numpy

        height, width = request["shape"][:2]
        self._channel.enter("receive", "image %dx%d" % (width, height))  # noqa: UP031
        try:
            if "memory" in request:
                self._memory = _mapped(request["memory"])
            pixels = numpy.ndarray(request["shape"], request["dtype"], self._memory, PLACES_BYTES)
            if self._turned:
                pixels = pixels[..., ::-1]
            found = self._detect(pixels, self._settings, Places(self._memory))
        except BaseException as error:  # sys.exit() inside a framework is a failure like any
            stage, step = self._channel.place
            answer: dict[str, Any] = {"error": {**describe(error), "stage": stage, "step": step}}
        else:
            answer = {
                "faces": [face.as_dict() for face in found.detections],
                "levels": found.levels,
                "candidates": found.candidates,
                "non_finite": found.non_finite,
            }
        self._channel.enter("wait", "for an image")
        return answer

    def _detect(self, pixels: Any, settings: Any, places: Any) -> Any:
        from ..reference import cascade

        watch: Any = Stopwatch(self._crew, places)
        try:
            return cascade.detect(
                pixels,
                self._networks,
                settings,
                enter=places.enter,
                lanes=watch,
                kernels=self._kernels,
            )
        except BaseException:
            places.fail()
            if places.failed_at is not None:
                self._channel.enter(*places.failed_at)
            raise
        finally:
            places.finish()


class _Requests:
    """Reads requests, one JSON object a line, each with a descriptor where one came along."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._rest = b""
        self._descriptor: int | None = None

    def next(self) -> dict[str, Any] | None:
        """Return the next request, None where none came for a while, {} where none will come."""
        self._line.settimeout(_NAP_S)
        while b"\n" not in self._rest:
            try:
                piece = self._receive()
            except socket.timeout:  # no TimeoutError before Python 3.10
                return None
            except OSError:
                return {}
            if not piece:
                return {}
            self._rest += piece
        self._line.settimeout(None)
        text, _, self._rest = self._rest.partition(b"\n")
        request: dict[str, Any] = json.loads(text)
        if "memory" in request:
            request["memory"]["descriptor"] = self._descriptor
            self._descriptor = None
        return request

    def _receive(self) -> bytes:
        if not hasattr(self._line, "recvmsg"):
            return self._line.recv(4096)
        room = socket.CMSG_SPACE(array.array("i").itemsize)
        piece, told, _, _ = self._line.recvmsg(4096, room)
        for level, kind, data in told:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                (self._descriptor,) = array.array("i", data)
                os.set_inheritable(self._descriptor, False)
        return piece


def _mapped(memory: dict[str, Any]) -> mmap.mmap:
    """Map the shared memory, though only to read it.

    Writable, because numba would compile everything once more for arrays that are not.
    """
    descriptor = memory["descriptor"]
    if descriptor is None:
        descriptor = os.open(memory["path"], os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        return mmap.mmap(descriptor, memory["size"], access=mmap.ACCESS_WRITE)
    finally:
        os.close(descriptor)


def _call(address: list[Any]) -> socket.socket:
    kind, place, word = address
    if kind == "local":
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.connect(place)
    else:
        line = socket.create_connection(("127.0.0.1", place))
        # Without, a short answer may wait for more.
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    line.sendall(word.encode())
    return line
