"""``%load_ext mtcnn_doctor``: the doctor in a notebook, without a framework in the kernel.

Everything that could die, hang or eat memory runs in child processes of the kernel's own
interpreter; see docs/notebook.md.
"""

from __future__ import annotations

from typing import Any

from mtcnn_doctor.notebook import watch

_MAGICS = (("line", "mtcnn_doctor"), ("line", "mtcnn_inspect"), ("cell", "mtcnn_guard"))

__all__ = ["load", "unload"]


def load(shell: Any) -> None:
    """Register the magics in an IPython shell, and begin to watch what it imports."""
    from mtcnn_doctor.notebook import completion, recorder
    from mtcnn_doctor.notebook.magics import DoctorMagics

    shell.register_magics(DoctorMagics(shell))
    completion.register(shell)
    watch.start(shell)
    recorder.start(shell)


def unload(shell: Any) -> None:
    """Take the magics back."""
    from mtcnn_doctor.notebook import recorder

    for kind, name in _MAGICS:
        shell.magics_manager.magics[kind].pop(name, None)
    watch.stop(shell)
    recorder.stop(shell)
