"""Task ``sweep``: one detector on the same images, a setting or the image changed step by step."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Callable

from ..channel import Channel
from ..failures import describe
from ..imports import import_framework
from .pixels import fitted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: What changes the settings of the cascade; everything else changes the image.
THRESHOLDS = {"threshold-pnet": 0, "threshold-rnet": 1, "threshold-onet": 2}


def perform(channel: Channel, orders: dict[str, Any]) -> None:
    """Run the detector for each image and value.

    Orders: ``backend`` or ``subject`` (with ``plugin``), ``module``, ``images`` (list of
    ``{"name", "array"}``), ``parameter``, ``values``, ``runs``, ``settings``. Sends a ``step`` for
    each image and value with the faces in pixels of the image as given, or its ``error``; then its
    ``times`` in milliseconds. Those of different values are taken in turns, to and fro: what else
    the machine does meanwhile hits all values alike.
    """
    if not import_framework(channel, "numpy", facts=False):
        return
    if orders["module"] != "numpy" and not import_framework(channel, orders["module"], facts=False):
        return
    channel.send("phase", name="build")
    channel.enter("build", "the detector")
    detect = _detector(orders)
    import numpy

    for number, image in enumerate(orders["images"]):
        pixels = numpy.load(image["array"], allow_pickle=False)
        good = []
        for value in orders["values"]:
            _tell(channel, orders, image, value, 0)
            step = {"image": number, "value": value}
            try:
                step.update(_faces(orders, pixels, value, detect))
                good.append(value)
            except Exception as error:
                step["error"] = describe(error)["last_line"]
            channel.send("step", **step)
        samples: dict[float, list[float]] = {value: [] for value in good}
        for run in range(orders["runs"]):
            for value in good if run % 2 else reversed(good):
                _tell(channel, orders, image, value, run + 1)
                changed = altered(pixels, orders["parameter"], value).copy()
                settings = _settings(orders, value)
                started = time.perf_counter()
                detect(changed, settings)
                samples[value].append(round((time.perf_counter() - started) * 1000, 3))
        for value, times in samples.items():
            channel.send("times", image=number, value=value, samples_ms=times)


def _tell(
    channel: Channel, orders: dict[str, Any], image: dict[str, Any], value: float, run: int
) -> None:
    name = "%s, %s %g" % (image["name"], orders["parameter"], value)  # noqa: UP031
    channel.send("phase", name="detect " + name, run=run)
    channel.enter("detect", name)


def _faces(
    orders: dict[str, Any],
    pixels: NDArray[np.uint8],
    value: float,
    detect: Callable[[Any, dict[str, Any]], list[dict[str, Any]]],
) -> dict[str, Any]:
    changed = altered(pixels, orders["parameter"], value)
    faces = detect(changed.copy(), _settings(orders, value))
    across = pixels.shape[1] / changed.shape[1]
    down = pixels.shape[0] / changed.shape[0]
    return {
        "width": int(changed.shape[1]),
        "height": int(changed.shape[0]),
        "faces": [
            {
                "box": [b * s for b, s in zip(face["box"], (across, down, across, down))],
                "confidence": face["confidence"],
            }
            for face in faces
            if all(math.isfinite(number) for number in (*face["box"], face["confidence"]))
        ],
    }


def _settings(orders: dict[str, Any], value: float) -> dict[str, Any]:
    settings = dict(orders.get("settings") or {})
    parameter = orders["parameter"]
    if parameter == "min-face-size":
        settings["min_face_size"] = value
    elif parameter == "scale-factor":
        settings["scale_factor"] = value
    elif parameter in THRESHOLDS:
        thresholds = list(settings.get("thresholds") or (0.6, 0.7, 0.7))
        thresholds[THRESHOLDS[parameter]] = value
        settings["thresholds"] = thresholds
    return settings


def _detector(orders: dict[str, Any]) -> Callable[[Any, dict[str, Any]], list[dict[str, Any]]]:
    if orders.get("subject"):
        from .. import subjects

        adapter = subjects.create(orders["subject"])
        return lambda pixels, settings: adapter.detect(pixels)
    from ..reference import cascade, networks, weights

    nets = networks.create(
        orders["backend"], weights.load_weights(None), device="cpu", threads=None, lanes=1
    )

    def detect(pixels: Any, settings: dict[str, Any]) -> list[dict[str, Any]]:
        found = cascade.detect(pixels, nets, cascade.Settings(**settings))
        return [
            {"box": [float(v) for v in face.box], "confidence": float(face.confidence)}
            for face in found.detections
        ]

    return detect


def altered(pixels: NDArray[np.uint8], parameter: str, value: float) -> NDArray[np.uint8]:
    """Return an image as a step changes it; as it is where the step changes a setting.

    ``image-scale`` and ``brightness`` are factors, ``blur`` the standard deviation of a Gaussian
    in pixels, ``jpeg-quality`` 1 to 100.
    """
    import numpy

    if parameter == "image-scale":
        height, width = pixels.shape[:2]
        size = (max(1, round(width * value)), max(1, round(height * value)))
        return fitted(pixels, size, exact=True)
    if parameter == "brightness":
        brighter: NDArray[np.uint8] = numpy.clip(numpy.rint(pixels * float(value)), 0, 255).astype(
            numpy.uint8
        )
        return brighter
    if parameter == "blur":
        return _blurred(pixels, value)
    if parameter == "jpeg-quality":
        return _through_jpeg(pixels, int(value))
    return pixels


def _blurred(pixels: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    import numpy

    if sigma <= 0:
        return pixels
    reach = max(1, math.ceil(3 * sigma))
    weights = numpy.exp(-0.5 * (numpy.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    result = pixels.astype(numpy.float32)
    for axis in (0, 1):
        edges = [(0, 0)] * 3
        edges[axis] = (reach, reach)
        padded = numpy.pad(result, edges, mode="edge")
        length = result.shape[axis]
        total = numpy.zeros_like(result)
        for offset, weight in enumerate(weights):
            part = (
                padded[offset : offset + length]
                if axis == 0
                else padded[:, offset : offset + length]
            )
            total += numpy.float32(weight) * part
        result = total
    return numpy.clip(numpy.rint(result), 0, 255).astype(numpy.uint8)


def _through_jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Encode and decode with OpenCV, or with Pillow where that is missing."""
    import numpy

    try:
        import cv2
    except Exception:
        pass  # Pillow may do it
    else:
        done, data = cv2.imencode(
            ".jpg", pixels[..., ::-1], [int(cv2.IMWRITE_JPEG_QUALITY), quality]
        )
        if done:
            decoded: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
            return numpy.ascontiguousarray(decoded[..., ::-1])
    try:
        import io

        from PIL import Image
    except ImportError as error:
        raise RuntimeError("JPEG takes OpenCV or Pillow, and the target has neither") from error
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return numpy.array(Image.open(file).convert("RGB"))
