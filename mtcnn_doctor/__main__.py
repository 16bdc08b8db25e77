"""Entry point of the command ``mtcnn-doctor`` and of ``python -m mtcnn_doctor``."""

from __future__ import annotations

import sys


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
