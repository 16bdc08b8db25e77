"""From a backend's name to what the cascade works with: the networks and the kernels.

For the detectors that programs import, in their own process or in a child of it: what is missing
or ill is said in words that help, and "auto" takes the next backend.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from typing import TYPE_CHECKING, Any, Callable, Mapping, NamedTuple, Sequence

from . import networks
from .kernels import Kernels

if TYPE_CHECKING:
    from .weights import Weights

__all__ = ["Framework", "Tell", "build", "is_there", "kernels"]

#: Hears warnings: what was passed over, and why.
Tell = Callable[[str], None]

#: What makes a framework faster where its own default is slow, by module. TensorFlow leaves oneDNN
#: off on x86 processors without AVX512-VNNI, where it takes two thirds of the time as well.
_FASTER = {"tensorflow": {"TF_ENABLE_ONEDNN_OPTS": "1"}}


class Framework(NamedTuple):
    """What a backend imports (any of the modules will do), and the package to install for it."""

    modules: Sequence[str]
    distribution: str

    @property
    def present(self) -> str | None:
        """The first of its modules that can be found, None where none is; imports nothing."""
        return next((name for name in self.modules if is_there(name)), None)


def is_there(module: str) -> bool:
    """Whether a module can be found; imports nothing (but the packages above it)."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def build(
    backend: str,
    frameworks: Mapping[str, Framework],
    order: Sequence[str],
    weights: Weights,
    device: str,
    threads: int | None,
    lanes: int,
    tell: Tell,
    prepare: Callable[[str], None] = lambda name: None,
) -> tuple[str, networks.Networks]:
    """Return the name and the networks of a backend; "auto" takes the first that will do.

    ``frameworks``: of the built-in backends. ``order``: what "auto" tries, in this order.
    ``prepare`` is called with the name of each backend before it is built; an ImportError out of
    it counts as one of the build. The other parameters are those of :func:`.networks.create`.

    Raises ValueError for an unknown backend or device, ImportError, with the command that helps,
    where the framework is missing, and whatever a framework raises.
    """

    def create(name: str) -> networks.Networks:
        try:
            _hasten(name)
            prepare(name)
            return networks.create(name, weights, device=device, threads=threads, lanes=lanes)
        except ImportError as error:
            known = frameworks.get(name)
            if known is None:
                raise
            raise ImportError(_why(name, known, error)) from error

    if backend != "auto":
        return backend, create(backend)
    refusals = []
    for name in order:
        if name not in networks.BACKENDS or frameworks[name].present is None:
            continue
        try:
            return name, create(name)
        except ImportError as error:
            # Installed, but ill: the user should hear why a slower one was taken.
            tell(f"{error}; trying the next backend")
            refusals.append(str(error))
        except ValueError as error:
            if device == "cpu":
                raise
            refusals.append(f"{name}: {error}")
    raise ValueError(f"no backend can be used with device {device!r}: {'; '.join(refusals)}")


def _hasten(name: str) -> None:
    """Set what makes a framework faster, unless it is set or the framework is loaded already."""
    if name not in sys.modules and platform.machine().lower() in ("x86_64", "amd64"):
        for variable, value in _FASTER.get(name, {}).items():
            os.environ.setdefault(variable, value)


def _why(name: str, framework: Framework, error: ImportError) -> str:
    module = framework.modules[0]
    if framework.present is None:
        return (
            f"backend {name!r} needs {module}, which is not installed: "
            f"pip install {framework.distribution}"
        )
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return (
        f"backend {name!r}: {module} is installed but does not load ({first}); "
        "mtcnn-doctor check tells why"
    )


def kernels(compiled: bool | None, tell: Tell) -> tuple[Any, bool]:
    """Return what computes between the networks, and whether it is compiled.

    ``compiled``: whether it is to be; None for yes where numba is installed and fits.
    """
    if compiled is False or (compiled is None and not is_there("numba")):
        return Kernels, False
    try:
        from .compiled import CompiledKernels
    except Exception as error:  # llvmlite fails with OSError, an old numba with what it may be
        if compiled:
            raise ImportError(
                f"compiled=True needs numba, which does not load here ({error}): "
                'pip install "mtcnn-doctor[fast]"'
            ) from error
        # numba lags behind new releases of NumPy, and says so with an ImportError.
        tell(f"numba is not used: {error}")
        return Kernels, False
    return CompiledKernels, True
