"""Whether an array is an image the cascade can answer for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["checked"]


def checked(image: Any) -> NDArray[Any]:
    """Return an image of shape (H, W, 3), uint8 or float32/float64 in 0..255, as it is.

    Raises TypeError or ValueError, with what to do about it, for anything else.
    """
    if not isinstance(image, np.ndarray):
        raise TypeError(f"image is a {type(image).__name__}, expected a NumPy array")
    if image.ndim != 3 or image.shape[2] != 3:
        hint = ""
        if image.ndim == 3 and image.shape[0] == 3:
            hint = "; channels come last here: image.transpose(1, 2, 0)"
        elif image.ndim == 3 and image.shape[2] == 4:
            hint = "; drop the alpha channel: image[..., :3]"
        elif image.ndim == 2:
            hint = "; make three channels of gray: np.stack([image] * 3, axis=-1)"
        raise ValueError(f"image has shape {image.shape}, expected (height, width, 3){hint}")
    if image.shape[0] == 0 or image.shape[1] == 0:
        raise ValueError(f"image is empty: shape {image.shape}")
    if image.dtype == np.uint8:
        return image
    if image.dtype not in (np.float32, np.float64):
        raise TypeError(f"image is {image.dtype}, expected uint8, float32 or float64 in 0..255")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 255):  # also true for NaN
        raise ValueError(f"image holds values from {low} to {high}, expected 0 to 255")
    if 0 < high <= 1:
        raise ValueError(f"image holds values up to {high} only: scaled to 0..1? Multiply by 255")
    return image
