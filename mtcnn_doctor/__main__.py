"""Entry point of the command ``mtcnn-doctor`` and of ``python -m mtcnn_doctor``."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__" and sys.path and sys.path[0] in ("", os.getcwd()):
    # `python -m` puts the working directory first. A random.py or typing.py of the user's there
    # must not stop the doctor that is to report it. (This package itself is loaded already.)
    del sys.path[0]


def main() -> int:
    """Run the command line; return the exit code."""
    # Answered before anything is imported, so that it works where even typer is broken.
    if sys.argv[1:] in (["--version"], ["-V"]):
        from mtcnn_doctor import __version__

        print(f"mtcnn-doctor {__version__}")
        return 0
    from mtcnn_doctor.cli import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
