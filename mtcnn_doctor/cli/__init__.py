"""The command line: one module a command, each parsing options and handing over. No logic."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

from mtcnn_doctor.errors import (
    EXIT_INTERNAL,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    UsageError,
)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; the only place that catches everything."""
    from mtcnn_doctor.collect import early

    try:
        early.start(arguments)
        from mtcnn_doctor.cli.app import build

        result = build()(args=list(arguments), standalone_mode=True)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (| head); what it wanted it has.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_OK
    except Exception:
        traceback.print_exc()
        print(
            "internal error: this is a fault of mtcnn-doctor, not of what it examined; "
            "please report it with the lines above",
            file=sys.stderr,
        )
        return EXIT_INTERNAL
    finally:
        early.drop()
    return result if isinstance(result, int) else EXIT_OK
