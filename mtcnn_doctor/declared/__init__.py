"""What a project declares to need: requirements files and lock files, read without installing."""

from __future__ import annotations
