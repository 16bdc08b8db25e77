"""The command line: one module a command, each parsing options and handing over. No logic."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence

from mtcnn_doctor import surroundings
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

    surroundings.settle()
    _be_frugal()
    _end_like_ctrl_c()
    # Loading makes objects by the ten thousand and hardly any garbage.
    gc.disable()
    try:
        early.start(arguments)
        from mtcnn_doctor.cli.app import build

        gc.enable()
        try:
            result = build(arguments)(args=list(arguments), standalone_mode=True)
        finally:
            sys.stdout.flush()
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (| head); what it wanted it has.
        abandon_stdout()
        return EXIT_OK
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            # typer makes an error of that.
            abandon_stdout()
            return EXIT_OK
        # typer turns Ctrl-C into an exit of its own, without a word.
        if end.code == EXIT_INTERRUPTED:
            print("interrupted", file=sys.stderr)
        return end.code if isinstance(end.code, int) else EXIT_OK
    except Exception as problem:
        if isinstance(problem, MemoryError) or "can't start new thread" in str(problem):
            print(
                "error: mtcnn-doctor itself ran into the limits of this shell (ulimit -v, "
                "ulimit -u) or container (memory, processes); raise them and run it again",
                file=sys.stderr,
            )
            return EXIT_USAGE
        if isinstance(problem, OSError) and problem.errno in (errno.EMFILE, errno.ENFILE):
            print(
                "error: mtcnn-doctor itself may open no more files; raise ulimit -n and run it "
                "again",
                file=sys.stderr,
            )
            return EXIT_USAGE
        if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT):
            abandon_stdout()
            print(f"error: no room to write: {problem.strerror}; free some", file=sys.stderr)
            return EXIT_USAGE
        if isinstance(problem, FileNotFoundError) and not _somewhere():
            print(
                "error: the working directory was deleted, and a relative path means nothing "
                "there; go to a folder that exists (cd), or give absolute paths",
                file=sys.stderr,
            )
            return EXIT_USAGE
        if isinstance(problem, FileNotFoundError) and not surroundings.has_temporary():
            print(
                "error: there is no folder for temporary files; make one writable (in a container "
                "with a read-only root, mount an emptyDir or a tmpfs at /tmp), or set TMPDIR",
                file=sys.stderr,
            )
            return EXIT_USAGE
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


def abandon_stdout() -> None:
    """Send what is still buffered to nowhere, so that the interpreter's own exit is quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _somewhere() -> bool:
    """Whether the working directory is there."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _be_frugal() -> None:
    """Take little address space: how little there is (ulimit -v) is a thing to be examined.

    Half a hundred threads read pipes and wait. Each would reserve 8 MiB of stack, and with glibc
    an arena of 64 MiB.
    """
    threading.stack_size(512 * 1024)
    if sys.platform != "linux":
        return
    import resource

    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return
    import ctypes

    arena_max = -8  # M_ARENA_MAX of malloc.h
    try:
        ctypes.CDLL(None).mallopt(arena_max, 1)
    except (OSError, AttributeError):
        pass  # another C library than glibc


def _end_like_ctrl_c() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does: no child may be left behind."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # nohup ignores SIGHUP, and means it.
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, interrupt)
