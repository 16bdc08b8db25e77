"""Adapters that run the user's own MTCNN packages, the way their documentation does."""

from __future__ import annotations

from .base import Adapter, Face, Networks, create
from .plugin import described

__all__ = ["Adapter", "Face", "Networks", "create", "described"]
