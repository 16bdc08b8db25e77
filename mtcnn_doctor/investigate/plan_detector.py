"""Which one detector is planned for or swept with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtcnn_doctor.collect.choice import choose, installed_version, ready
from mtcnn_doctor.collect.subjects import installed_subject
from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.investigate.plan_time import Detector
from mtcnn_doctor.targets import Target

#: Where nobody names a backend: the first of these that is installed.
_FASTEST_FIRST = ("openvino", "torch", "litert", "onnxruntime", "opencv", "tensorflow", "numpy")


def detector_of(
    target: Target, backend: str | None, subject: str | None, packages: Mapping[str, Any]
) -> Detector:
    """Return the package or backend named, or a fast backend of those installed.

    Raises:
        UsageError: it is not there, or there is none.
    """
    if subject is not None:
        found, version = installed_subject(subject, packages)
        if found is None:
            raise UsageError(
                f"{subject} is not installed in {target.python}; leave --subject out, or name "
                "another interpreter with --python"
            )
        return Detector(found.name, "subject", found.module, version, found.is_plugin)
    for one in choose([backend] if backend is not None else _FASTEST_FIRST, packages):
        usable, reason = ready(one, packages)
        if usable is not None:
            version = installed_version(one, packages)
            return Detector(one.name, "backend", usable.module, version)
        if backend is not None:
            raise UsageError(
                f"backend {one.name} cannot be used in {target.python}: "
                f"{reason or 'it is not installed'}"
            )
    raise UsageError(
        f"{target.python} has none of the backends, NumPy included; name another interpreter with "
        "--python"
    )
