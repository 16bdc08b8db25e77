"""Entry point of the command ``mtcnn-doctor`` and of ``python -m mtcnn_doctor``."""

from __future__ import annotations

import os
import sys


def _stand_apart() -> None:
    """Take the user's own folders off this process's import path.

    A random.py or typing.py in the working directory (which ``python -m`` puts first) or in
    PYTHONPATH must not stop the doctor that is to report it. The children of the target get both
    as they are. A folder that holds this package, or was needed to find it, stays.
    """
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    foreign = {_absolute(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    if __name__ == "__main__" and not getattr(sys.flags, "safe_path", False):
        foreign.add(_absolute(""))
    foreign.discard(own)
    sys.path[:] = [entry for entry in sys.path if entry and _absolute(entry) not in foreign]


def _absolute(path: str) -> str:
    """Return a path made absolute; as it is where the working directory was deleted."""
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        return path


def _fill_standard_streams() -> None:
    """Open what the shell closed (``>&-``): pipes of ours must not become somebody's stdout."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115 (for good)
            setattr(sys, name, stream)


def main() -> int:
    """Run the command line; return the exit code."""
    # Answered before anything is imported, so that it works where even typer is broken.
    if sys.argv[1:] in (["--version"], ["-V"]):
        from mtcnn_doctor import __version__

        try:
            print(f"mtcnn-doctor {__version__}", flush=True)
        except BrokenPipeError:  # nobody reads it; the interpreter's own exit is to be quiet
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    _fill_standard_streams()
    _stand_apart()
    try:
        from mtcnn_doctor.cli import run

        return run(sys.argv[1:])
    except KeyboardInterrupt:  # before the command line was loaded
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
