"""``--keep DIR``: a folder with the evidence of each failed run, complete or not there at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from mtcnn_doctor.model import Report, Run
from mtcnn_doctor.report import crash_text, json_report
from mtcnn_doctor.report.redact import Redactor

#: How a rename says that a folder of that name is there already.
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.EACCES)


def keep(report: Report, folder: Path, redactor: Redactor | None = None) -> list[Path]:
    """Write a crash folder for each failed run, and return their paths.

    Args:
        report: The finished report.
        folder: Where they go; made if it is not there and something is to be kept.
        redactor: Takes out names; by default those of this user and machine.

    Raises:
        OSError: a folder cannot be written; nothing half-written of it is left.
    """
    names = redactor or Redactor()
    clean = names.report(report)
    failed = [run for run in (*clean.runs, *clean.further) if run.failed]
    if not failed:
        return []
    facts = json.dumps(json_report.to_data(report, names), indent=2, ensure_ascii=False) + "\n"
    fresh = not folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        return [
            _write(folder, f"{run.name}-{run.outcome.value}", _files(run, clean, facts))
            for run in failed
        ]
    except OSError:
        if fresh:
            with suppress(OSError):  # what was kept before the disk was full stays
                folder.rmdir()
        raise


def _files(run: Run, report: Report, facts: str) -> dict[str, str]:
    files = {
        "fault.txt": crash_text.fault_text(run),
        "maps.txt": crash_text.map_text(run),
        "native.txt": crash_text.native_text(run),
        "facts.json": facts,
        "command.txt": crash_text.command_text(run, report),
    }
    files = {name: text for name, text in files.items() if text}
    return {"report.md": crash_text.markdown(run, report, list(files)), **files}


def _write(parent: Path, name: str, files: dict[str, str]) -> Path:
    """Write the files into a new folder, under a temporary name until all of them are there."""
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=parent))
    try:
        for file, text in files.items():
            (temporary / file).write_text(text, encoding="utf-8", errors="replace", newline="\n")
        mask = os.umask(0)
        os.umask(mask)
        # A temporary folder is its owner's alone; evidence is an ordinary folder.
        temporary.chmod(0o777 & ~mask)
        return _renamed(temporary, parent / name)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _renamed(temporary: Path, wanted: Path) -> Path:
    """Rename a folder; where the name is taken, with a number."""
    number = 1
    while True:
        target = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        number += 1
        if os.path.lexists(target):
            continue
        try:
            temporary.rename(target)
        except OSError as error:
            # Another mtcnn-doctor was faster.
            if error.errno not in _TAKEN or not os.path.lexists(target):
                raise
        else:
            return target
