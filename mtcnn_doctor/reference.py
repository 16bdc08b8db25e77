"""The reference MTCNN as a library: ``from mtcnn_doctor.reference import Detector``.

The doctor itself never opens this door: whoever imports it wants NumPy and a framework in the
process. docs/reference.md shows what it is good for.

Coordinates. A box is x, y, width, height in pixels of the image as given, as the published MTCNN
code counts them: its columns and rows start at 1, so a face whose left column is ``image[:, 0]``
has x = 1, and its pixels are ``image[round(y) - 1 : round(y + height), ...]``. Keypoints count from
0, so ``image[round(y), round(x)]`` is the pixel under one. Neither is cut to the image:
:meth:`Face.clip` does that. Left and right are as seen in the picture.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

from mtcnn_doctor.backends import BACKENDS

try:
    import numpy as np
except ImportError as error:
    raise ImportError(
        f"mtcnn_doctor.reference needs NumPy, which does not load here ({error}). "
        "Install it: pip install numpy"
    ) from error

from mtcnn_doctor.target.reference import assembly, cascade
from mtcnn_doctor.target.reference.lanes import Lanes
from mtcnn_doctor.target.reference.picture import PictureError
from mtcnn_doctor.target.reference.picture import read_rgb as _read_rgb
from mtcnn_doctor.target.reference.result import Judged, Level, Stages
from mtcnn_doctor.target.reference.weights import WeightsError, load_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "FASTEST_FIRST",
    "Box",
    "Detector",
    "Face",
    "Judged",
    "Keypoints",
    "Level",
    "PictureError",
    "Point",
    "Result",
    "Stages",
    "WeightsError",
    "read_image",
]

#: The order in which ``backend="auto"`` looks for what is installed (see docs/benchmarks.md).
FASTEST_FIRST = ("openvino", "torch", "litert", "onnxruntime", "opencv", "tensorflow", "numpy")

#: More lanes than this win nothing: the levels of a pyramid are few and unequal.
_MOST_LANES = 4


class Box(NamedTuple):
    """Position and size of a face in pixels; x and y count from 1 (see the module)."""

    x: float
    y: float
    width: float
    height: float


class Point(NamedTuple):
    """A place in the image in pixels, counted from 0."""

    x: float
    y: float


class Keypoints(NamedTuple):
    """The five landmarks of a face, left and right as seen in the picture."""

    left_eye: Point
    right_eye: Point
    nose: Point
    mouth_left: Point
    mouth_right: Point


@dataclass(frozen=True)
class Face:
    """One face. ``confidence``: O-Net's probability, from the third threshold to 1."""

    box: Box
    confidence: float
    keypoints: Keypoints

    def clip(self, width: int, height: int) -> Face:
        """Return the face with its box cut to an image of that size; keypoints stay.

        Columns of the box then lie within 1 to ``width`` and rows within 1 to ``height``. A box
        wholly outside ends at the border with a width or height of 0.
        """
        left, right = _cut(self.box.x, self.box.width, width)
        top, bottom = _cut(self.box.y, self.box.height, height)
        box = Box(left, top, right - left, bottom - top)
        return Face(box, self.confidence, self.keypoints)

    def to_dict(self) -> dict[str, Any]:
        """Lists and numbers for JSON: ``box``, ``confidence`` and ``keypoints`` by name."""
        return {
            "box": list(self.box),
            "confidence": self.confidence,
            "keypoints": {name: list(at) for name, at in self.keypoints._asdict().items()},
        }


def _cut(start: float, length: float, limit: int) -> tuple[float, float]:
    first = min(max(start, 1.0), float(limit))
    return first, max(first, min(start + length, float(limit)))


@dataclass(frozen=True)
class Result:
    """What was found on one image.

    ``faces``: best first; empty where there is none. ``levels``: (height, width) of each level of
    the pyramid, largest first; empty for an image whose shorter side is below ``min_face_size``.
    ``candidates``: boxes left after the stages "pnet", "rnet" and "onet". ``non_finite``: where a
    network answered NaN or infinity ("pnet level 3"); normally empty, and a result with entries
    here is not to be trusted.
    """

    faces: tuple[Face, ...]
    levels: tuple[tuple[int, int], ...]
    candidates: dict[str, int]
    non_finite: tuple[str, ...]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Each face as :meth:`Face.to_dict`, in the form of the doctor's JSON reports."""
        return [face.to_dict() for face in self.faces]


def read_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read an image file: uint8 (height, width, 3) RGB, turned as its EXIF data say.

    Plain PNG files need no decoder; others go to OpenCV, Pillow or TensorFlow, whichever is there.
    Raises :class:`PictureError` (a ValueError) that names the file and the remedy.
    """
    return _read_rgb(os.fspath(path))


class Detector:
    """MTCNN face detection with one backend.

    ``backend``: a name such as "torch", a plug-in's, or "auto" for the fastest that is installed
    (:data:`FASTEST_FIRST`; nothing is imported that is not chosen). ``device``: "cpu" or what the
    backend understands, such as "cuda:0". ``threads``: CPU threads in all; None leaves the
    framework's own default. ``lanes``: how many pieces (pyramid levels, crops) are worked on side
    by side; None takes as many as there are threads or cores, at most 4, on a CPU and 1 elsewhere.
    ``weights``: a weight file of any kind that ``mtcnn-doctor weights`` reads; None takes the
    bundled, published ones, and so do networks that are not in the file. ``min_face_size``: in
    pixels, above 0. ``scale_factor``: between two
    levels of the pyramid, 0 to 1 exclusive. ``thresholds``: for P-Net, R-Net and O-Net, each 0 to
    1. ``channels``: order of the images' channels, "rgb" or "bgr" (what cv2.imread gives).
    ``compiled``: whether numba does the work between the networks, in a fifth of NumPy's time;
    None for yes where numba is installed. The first image ever waits some seconds for the compiler.

    Raises ValueError for an unknown backend or device and for parameters out of range,
    ImportError with the command that helps if the framework (or numba, if ``compiled`` is True)
    is missing, :class:`WeightsError` for a bad file.

    The same detector gives the same answer to the same image, whatever it saw before; another
    number of threads or lanes, or another backend, gives the same faces within 0.05 pixels and
    5e-4 of confidence. Any number of threads may call one detector; they take turns. A detector
    belongs to the process that made it: it cannot be pickled, nor used after a fork. Use it as a
    context manager, or call :meth:`close`, to end its threads early.
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
    ) -> None:
        # Settings itself refuses anything but three of them.
        three: Any = tuple(thresholds)
        self.settings = cascade.Settings(min_face_size, scale_factor, three)
        lanes = check_parameters(threads, lanes, channels, device)
        self.device, self.channels = device, channels
        arrays = load_weights(None if weights is None else os.fspath(weights))
        self.backend, built = assembly.build(
            backend, frameworks(), FASTEST_FIRST, arrays, device, threads, lanes, _warn
        )
        self._kernels, self.compiled = assembly.kernels(compiled, _warn)
        self._lanes: Lanes | None = Lanes(built)
        self._lane_count = self._lanes.count
        self._networks, self._process, self._turn = built, os.getpid(), threading.Lock()

    @property
    def lanes(self) -> int:
        """How many pieces are worked on side by side; 1 where the backend allows no more."""
        return self._lane_count

    def detect(self, image: NDArray[Any]) -> Result:
        """Find the faces of one image of any size.

        ``image``: (height, width, 3), uint8, or float32 or float64 in 0..255; channels in the
        order the detector was made for. It is not changed. An image without faces, or too small to
        hold one of ``min_face_size``, gives a result without faces.

        Raises TypeError or ValueError, with what to do, for anything that is not such an image.
        """
        return result_of(self._run(image))

    def detect_many(self, images: Iterable[NDArray[Any]]) -> list[Result]:
        """Find the faces of several images, each of any size, and each as :meth:`detect` does.

        ``images``: any iterable of images, or one array (count, height, width, 3). Raises as
        :meth:`detect`, naming the image by its place from 0.
        """
        return each(self.detect, images)

    def stages(self, image: NDArray[Any]) -> Stages:
        """Run one image and return what the networks answered, before any threshold.

        ``pnet``: a :class:`Level` for each level of the pyramid, largest first, with its raw maps;
        the cell at row i, column j looks at rows 2i to 2i + 11 and columns 2j to 2j + 11 of it.
        ``rnet`` and ``onet``: a :class:`Judged` with every box that network was shown (for R-Net
        the proposals left of P-Net's) and its raw answers; None if the image is too small for any
        level. All are NumPy arrays; the second logit minus the first is the log-odds of a face.
        Takes memory for all of it. Raises as :meth:`detect`.
        """
        record = Stages()
        self._run(image, record)
        return record

    def _run(self, image: Any, record: Stages | None = None) -> cascade.Result:
        if os.getpid() != self._process:  # before the lock: its owner may not exist here
            raise RuntimeError(
                "this detector was made in another process, and neither its threads nor the "
                "framework's survive a fork: make a Detector in each process"
            )
        refuse_what_is_no_image(image)
        if self.channels == "bgr" and image.ndim == 3:
            image = image[..., ::-1]
        with self._turn:
            if self._lanes is None:
                raise ValueError("this detector is closed: make another one")
            return cascade.detect(
                image,
                self._networks,
                self.settings,
                lanes=self._lanes,
                record=record,
                kernels=self._kernels,
            )

    def close(self) -> None:
        """End the detector's threads; it cannot be used any more. Closing twice is allowed."""
        if os.getpid() == self._process:
            with self._turn:
                if self._lanes is not None:
                    self._lanes.close()
                self._lanes = None

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = ", closed" if self._lanes is None else ""
        return f"<Detector {self.backend} on {self.device}, {self.lanes} lanes{state}>"

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            "a Detector cannot be pickled or copied: it holds a framework's networks and threads. "
            "Make one in each process, for instance in the pool's initializer"
        )


def check_parameters(threads: int | None, lanes: int | None, channels: str, device: str) -> int:
    """Raise ValueError for a parameter that cannot be; return how many lanes are meant."""
    for name, value in (("threads", threads), ("lanes", lanes)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} is {value!r}, expected a whole number from 1 on, or None")
    if channels not in ("rgb", "bgr"):
        raise ValueError(f"channels is {channels!r}, expected 'rgb' or 'bgr'")
    if lanes is not None:
        return lanes
    return min(threads or os.cpu_count() or 1, _MOST_LANES) if device == "cpu" else 1


def frameworks() -> dict[str, assembly.Framework]:
    """Return what each built-in backend imports, and what to install for it."""
    return {
        name: assembly.Framework((known.module, *known.others), known.distributions[0])
        for name, known in BACKENDS.items()
    }


def _warn(text: str) -> None:
    # Seen from here: the assembly, the constructor, the user's line.
    warnings.warn(text, RuntimeWarning, stacklevel=4)


def each(detect: Callable[[NDArray[Any]], Result], images: Iterable[NDArray[Any]]) -> list[Result]:
    """Return what ``detect`` finds on each image; an error names the image by its place."""
    if isinstance(images, np.ndarray) and images.ndim != 4:
        raise ValueError(
            f"images is one array of shape {images.shape}, expected a list of images or an "
            "array (count, height, width, 3); for one image call detect(image)"
        )
    if isinstance(images, (str, bytes, os.PathLike)):
        raise TypeError(f"images is a {type(images).__name__}, expected a list of images")
    results = []
    for index, image in enumerate(images):
        try:
            results.append(detect(image))
        except (TypeError, ValueError) as error:
            raise type(error)(f"image {index}: {error}") from error
    return results


def result_of(found: cascade.Result) -> Result:
    """Return the cascade's answer in the types of this module."""
    faces = tuple(
        Face(
            Box(*detection.box),
            detection.confidence,
            Keypoints(**{name: Point(*at) for name, at in detection.keypoints.items()}),
        )
        for detection in found.detections
    )
    return Result(faces, tuple(found.levels), dict(found.candidates), tuple(found.non_finite))


#: A bare astype would let 256 be 0 again.
_CLIPPED = "image.clip(0, 255).astype(np.uint8), scaled first where its values go beyond 255"
#: What to do about values of other types, by NumPy's kind and item size.
_CONVERSIONS = {
    "bool": "image.astype(np.uint8) * 255",
    "uint16": "(image // 257).astype(np.uint8) if it uses all 16 bits",
    "float16": "image.astype(np.float32)",
}


def refuse_what_is_no_image(image: Any) -> None:
    """Raise TypeError or ValueError, with the conversion that helps, for what people hand over.

    Covers what never reaches the cascade as an image; shapes and values it examines itself.
    """
    if isinstance(image, (str, bytes, os.PathLike)):
        raise TypeError(
            f"image is a {type(image).__name__}, expected pixels: "
            "detect(read_image(path)), with read_image from mtcnn_doctor.reference"
        )
    if not isinstance(image, np.ndarray):
        kind = f"{type(image).__module__.split('.')[0]}.{type(image).__name__}"
        kind = kind.removeprefix("builtins.")
        raise TypeError(f"image is a {kind}, expected a NumPy array{_hint(image, kind)}")
    if image.ndim == 4:
        raise ValueError(
            f"image has shape {image.shape}, expected (height, width, 3); several images go to "
            "detect_many(images)"
        )
    if image.ndim == 3 and image.shape[2] == 1:
        raise ValueError(
            f"image has shape {image.shape}, expected (height, width, 3); make three channels of "
            "gray: np.repeat(image, 3, axis=2)"
        )
    if image.dtype.name not in ("uint8", "float32", "float64"):
        way = _CONVERSIONS.get(image.dtype.name, _CLIPPED)
        raise TypeError(
            f"image is {image.dtype}, expected uint8, float32 or float64 in 0..255: {way}"
        )
    if image.dtype.kind == "f" and image.size and not np.isfinite(image).all():
        raise ValueError("image holds NaN or infinity, expected values from 0 to 255")


def _hint(image: Any, kind: str) -> str:
    if image is None:
        return "; cv2.imread gives None for a file it cannot read: read_image(path) says why"
    if kind.startswith("PIL."):
        return ': np.asarray(image.convert("RGB"))'
    if kind.startswith("torch."):
        shape = tuple(image.shape)
        turned = "image.permute(1, 2, 0)" if len(shape) == 3 and shape[0] == 3 else "image"
        return f": {turned}.cpu().numpy()"
    if kind.startswith("tensorflow."):
        return ": image.numpy()"
    if isinstance(image, (list, tuple)):
        return "; several images go to detect_many(images)"
    return ""
