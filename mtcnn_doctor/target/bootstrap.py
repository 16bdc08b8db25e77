"""First file a target interpreter runs: loads this package by path and starts the worker.

Called as ``python -X faulthandler bootstrap.py RUN_FOLDER ANSWERS_FD GO_FD FAULT_FD``. Written in
the syntax that any Python understands, so that one too old for the worker can still say so.
"""

import os
import sys


def main():  # type: ignore[no-untyped-def]  # annotations are a syntax error before Python 3
    """Clean ``sys.path``, load the package under a name of its own, run the worker."""
    here = os.path.dirname(os.path.abspath(__file__))
    # Running a script puts the script's folder first on sys.path (unless safe_path forbids it).
    # Our file names must not be importable by the frameworks under examination. Neither is the
    # working directory on the path: files of the user's are never run by being looked at.
    if sys.path and os.path.realpath(sys.path[0] or os.curdir) == os.path.realpath(here):
        del sys.path[0]
    if sys.version_info < (3, 8):  # noqa: UP036
        version = ".".join(str(part) for part in sys.version_info[:3])
        line = '{"t": "too-old", "version": "%s"}\n' % version  # noqa: UP031
        os.write(int(sys.argv[2]), line.encode("ascii"))
        return 2
    import importlib.util

    name = "mtcnn_doctor_target"
    spec = importlib.util.spec_from_file_location(
        name, os.path.join(here, "__init__.py"), submodule_search_locations=[here]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    return importlib.import_module(name + ".worker").main(sys.argv[1:])


if __name__ == "__main__":
    # A plain return would run interpreter shutdown, where broken frameworks like to crash after
    # the work is done; that is wanted: a user's process would crash there too.
    sys.exit(main())  # type: ignore[no-untyped-call]
