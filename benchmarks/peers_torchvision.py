"""A stand-in for the one function that facenet-pytorch needs of torchvision.

facenet-pytorch calls ``torchvision.ops.boxes.batched_nms``. Where no torchvision matches the
installed torch, :func:`install` puts modules of that name in place, with the same function: the
same greedy loop in C, compiled on the spot where the machine has a compiler; else OpenCV's
``NMSBoxes`` (the same answer, up to twice the time), else PyTorch's operations (slower still).
:data:`SPENT` adds up the seconds spent in it, so that a report can show what share of the peer's
time is the stand-in's.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from types import ModuleType
from typing import Any

#: Seconds in the stand-in since the last :func:`reset`.
SPENT = {"seconds": 0.0}

#: What the stand-in turned out to be made of.
HOW = {"made of": "PyTorch operations"}

_LIBRARY: dict[str, Any] = {}

# Boxes in the order of their scores; areas and overlaps without the inclusive one, in float32.
_LOOP = """
#include <stdint.h>
int64_t nms(const float *x1, const float *y1, const float *x2, const float *y2,
            const float *area, const int64_t *order, uint8_t *dropped, int64_t *kept,
            int64_t count, float threshold) {
    int64_t found = 0;
    for (int64_t a = 0; a < count; a++) {
        int64_t i = order[a];
        if (dropped[i]) continue;
        kept[found++] = i;
        float left = x1[i], top = y1[i], right = x2[i], bottom = y2[i], own = area[i];
        for (int64_t b = a + 1; b < count; b++) {
            int64_t j = order[b];
            if (dropped[j]) continue;
            float w = (right < x2[j] ? right : x2[j]) - (left > x1[j] ? left : x1[j]);
            float h = (bottom < y2[j] ? bottom : y2[j]) - (top > y1[j] ? top : y1[j]);
            float shared = (w > 0 ? w : 0) * (h > 0 ? h : 0);
            if (shared / (own + area[j] - shared) > threshold) dropped[j] = 1;
        }
    }
    return found;
}
"""


def reset() -> None:
    """Forget the time spent so far."""
    SPENT["seconds"] = 0.0


def install() -> None:
    """Put the stand-in modules in place; to be called before facenet_pytorch is imported."""
    loop = _compile()
    if loop is not None:
        loop.nms.restype = ctypes.c_int64
        _LIBRARY["loop"], HOW["made of"] = loop, "a compiled loop"
    elif importlib.util.find_spec("cv2") is not None:
        HOW["made of"] = "OpenCV"
    root, ops, boxes = (
        ModuleType(name) for name in ("torchvision", "torchvision.ops", "torchvision.ops.boxes")
    )
    transforms = ModuleType("torchvision.transforms")
    functional = ModuleType("torchvision.transforms.functional")
    boxes.batched_nms = batched_nms  # type: ignore[attr-defined]
    root.ops, ops.boxes = ops, boxes  # type: ignore[attr-defined]
    root.transforms, transforms.functional = transforms, functional  # type: ignore[attr-defined]
    for module in (root, ops, boxes, transforms, functional):
        sys.modules[module.__name__] = module


def batched_nms(boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Any:
    """Torchvision's function: indices kept, best first, boxes of different ``idxs`` apart."""
    import torch

    started = time.perf_counter()
    if len(boxes) == 0:
        kept = torch.empty(0, dtype=torch.int64)
    elif bool((idxs == idxs[0]).all()):  # one image a call, the only way it is measured here
        kept = _nms(boxes, scores, iou_threshold)
    else:
        offsets = idxs.to(boxes) * (boxes.max() + 1)
        kept = _nms(boxes + offsets[:, None], scores, iou_threshold)
    SPENT["seconds"] += time.perf_counter() - started
    return kept


def _nms(boxes: Any, scores: Any, threshold: float) -> Any:
    if HOW["made of"] == "a compiled loop":
        return _nms_compiled(boxes, scores, threshold)
    if HOW["made of"] == "OpenCV":
        return _nms_opencv(boxes, scores, threshold)
    return _nms_torch(boxes, scores, threshold)


def _compile() -> Any:
    """Compile the loop with the machine's C compiler; None where there is none that works."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = os.path.join(folder, "nms.c"), os.path.join(folder, "nms.so")
        with open(source, "w", encoding="ascii") as stream:
            stream.write(_LOOP)
        try:
            subprocess.run(
                [compiler, "-O3", "-shared", "-fPIC", "-o", library, source],
                check=True,
                capture_output=True,
            )
            return ctypes.CDLL(library)
        except (OSError, subprocess.CalledProcessError):
            return None


def _nms_compiled(boxes: Any, scores: Any, threshold: float) -> Any:
    import torch

    order = torch.argsort(scores, descending=True, stable=True)
    sides = [side.contiguous().float() for side in boxes.unbind(1)]
    area = (sides[2] - sides[0]) * (sides[3] - sides[1])
    dropped = torch.zeros(len(order), dtype=torch.uint8)
    kept = torch.empty(len(order), dtype=torch.int64)
    arrays = [ctypes.c_void_p(array.data_ptr()) for array in (*sides, area, order, dropped, kept)]
    count = _LIBRARY["loop"].nms(*arrays, ctypes.c_int64(len(order)), ctypes.c_float(threshold))
    return kept[:count]


def _nms_opencv(boxes: Any, scores: Any, threshold: float) -> Any:
    import cv2
    import torch

    corners = boxes.detach().double().numpy().copy()
    corners[:, 2:] -= corners[:, :2]
    # OpenCV drops scores at or below its first threshold; every score here is above zero.
    kept = cv2.dnn.NMSBoxes(corners, scores.detach().numpy(), 0.0, float(threshold))
    return torch.as_tensor(kept, dtype=torch.int64).reshape(-1)


def _nms_torch(boxes: Any, scores: Any, threshold: float) -> Any:
    import torch

    order = torch.argsort(scores, descending=True, stable=True)
    x1, y1, x2, y2 = boxes[order].unbind(1)
    area = (x2 - x1) * (y2 - y1)
    left = torch.arange(len(order))
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        width = torch.minimum(x2[best], x2[left]) - torch.maximum(x1[best], x1[left])
        height = torch.minimum(y2[best], y2[left]) - torch.maximum(y1[best], y1[left])
        shared = width.clamp(min=0) * height.clamp(min=0)
        left = left[shared <= threshold * (area[best] + area[left] - shared)]
    return order[torch.stack(kept)]
