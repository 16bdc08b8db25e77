"""Adapters that other distributions bring, as entry points of the group ``mtcnn_doctor.subjects``.

An entry point names a class, which is called without an argument. It needs nothing of this
package: its ``detect`` is all that must be there; docs/write-a-subject.md has the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import Adapter, Face, Networks, face, quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GROUP", "create", "described"]

GROUP = "mtcnn_doctor.subjects"

#: What a tolerance profile may hold, and the largest number that makes sense.
_PROFILE = {"iou": 1.0, "keypoint": 10.0, "confidence": 1.0, "sure": 1.0}
_BORDERS = ("found", "nothing")


def create(name: str) -> Adapter:
    """Build the adapter of a plug-in subject."""
    return _Brought(name, _loaded(name)())


def described(name: str) -> dict[str, Any]:
    """Return what a plug-in's class says of itself, for the doctor.

    ``version`` of the distribution that it adapts, the ``backend`` on whose framework that stands,
    and its tolerance ``profile``; None where it says nothing.

    Raises:
        ValueError: its profile makes no sense.
    """
    kind = _loaded(name)
    distribution = getattr(kind, "distribution", None)
    profile = getattr(kind, "profile", None)
    return {
        "distribution": distribution,
        "version": _version(distribution) if distribution else None,
        "backend": getattr(kind, "backend", None),
        "profile": _checked(name, profile) if profile is not None else None,
    }


def _loaded(name: str) -> Any:
    """Return the class of the entry point of a name."""
    from importlib import metadata

    found: Any = metadata.entry_points()
    # A plain dictionary before Python 3.10.
    select = getattr(found, "select", None)
    for entry in list(select(group=GROUP) if select is not None else found.get(GROUP, ())):
        if entry.name == name:
            return entry.load()
    raise ValueError(f"no entry point {name!r} in the group {GROUP}")


def _version(distribution: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _checked(name: str, profile: Any) -> dict[str, Any]:
    """Return a profile whose keys and numbers make sense."""
    if not isinstance(profile, dict):
        raise ValueError(f"the profile of the adapter {name} is no dictionary")
    for key, value in profile.items():
        if key == "border":
            if value not in _BORDERS:
                raise ValueError(
                    f"the profile of the adapter {name} has border {value!r}, expected 'found' or "
                    "'nothing'"
                )
        elif key not in _PROFILE:
            raise ValueError(
                f"the profile of the adapter {name} has {key!r}, expected some of "
                f"{', '.join((*_PROFILE, 'border'))}"
            )
        elif (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not (0 <= value <= _PROFILE[key])
        ):
            raise ValueError(
                f"the profile of the adapter {name} has {key} {value!r}, expected a number from 0 "
                f"to {_PROFILE[key]:g}"
            )
    return dict(profile)


class _Brought(Adapter):
    """An adapter of another make, held to what ours answer."""

    def __init__(self, name: str, adapter: Any) -> None:
        self._name, self._adapter = name, adapter

    def detect(self, image: NDArray[Any]) -> list[Face]:
        """See :class:`.base.Adapter`."""
        with quiet():
            found = self._adapter.detect(image)
        try:
            return [face(one["box"], one["confidence"], one["keypoints"]) for one in found]
        except (KeyError, TypeError, ValueError) as error:
            raise TypeError(
                f"the adapter {self._name} must answer a list of faces, each with box (x, y, "
                f"width, height), confidence and keypoints (name: (x, y)): {error!r}"
            ) from error

    def networks(self) -> Networks | None:
        """See :class:`.base.Adapter`."""
        own = getattr(self._adapter, "networks", None)
        found: Networks | None = own() if own is not None else None
        return found

    def fed(self, image: NDArray[Any]) -> list[NDArray[Any]]:
        """See :class:`.base.Adapter`."""
        own = getattr(self._adapter, "fed", None)
        try:
            return list(own(image)) if own is not None else []
        except Exception:
            return []  # it failed where its package failed; its networks are looked at next
