"""``matrix``: plans, refusals, real environments with real faults, bisection, going on."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from .conftest import Answer, Doctor
from .interpreters import at_hand
from .matrix_wheels import CRASHES, HANGS, culprit, wheel

#: Nothing listens here.
NOWHERE = "http://127.0.0.1:9/simple"

Matrix = Callable[..., Answer]


@pytest.fixture
def matrix(doctor: Doctor, tmp_path: Path) -> Matrix:
    """Run ``matrix`` with a cache of its own and wheels of our own beside the usual index."""

    def run(*arguments: str, **more: Any) -> Answer:
        environment = {
            "UV_FIND_LINKS": str(tmp_path / "wheels"),
            **more.pop("environment", {}),
        }
        (tmp_path / "wheels").mkdir(exist_ok=True)
        return doctor(
            "matrix", "--cache", tmp_path / "cache", *arguments, environment=environment, **more
        )

    return run


def rows(answer: Answer) -> dict[str, dict[str, Any]]:
    """The rows of a table by their names; without the index there is nothing to test with."""
    found = json.loads(answer.out)["combinations"]
    for row in found:
        if row["state"] == "not-installed":
            pytest.skip(f"the index cannot be reached: {row['reason']}")
    return {row["name"]: row for row in found}


def outcomes(row: dict[str, Any]) -> dict[str, str]:
    return {run["name"]: run["outcome"] for run in row["runs"]}


@pytest.fixture
def offline(tmp_path: Path) -> dict[str, str]:
    """An index that is a folder of small wheels, for uv and pip. They are never installed."""
    folder = tmp_path / "wheels"
    for version in ("1.26.4", "2.1.0", "2.2.6"):
        wheel(folder, "numpy", version)
    wheel(folder, "onnxruntime", "1.18.1", requires=["numpy<2"])
    wheel(folder, "onnxruntime", "1.20.1", requires=["numpy>=1.21"])
    (tmp_path / "empty").mkdir()
    return {
        "UV_DEFAULT_INDEX": (tmp_path / "empty").as_uri(),
        "UV_CACHE_DIR": str(tmp_path / "uv"),
        "UV_FIND_LINKS": str(folder),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "XDG_CACHE_HOME": str(tmp_path / "xdg"),
    }


# -- before anything is installed ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["numpy>=1.26,<2"], "one range or two alternatives"),
        (["numpy<2,>=2", "numpy==1.26.4"], "numpy is given twice"),
        (["numpy", "--subject", "torch==2.4"], "no subject 'torch'"),
        (["numpy", "--backend", "numpi"], "no backend 'numpi'"),
        (["numpy", "--bisect", "torch"], "--bisect torch: name one of the packages given"),
        (["numpy", "--python", "3.99"], "--python 3.99: none was found"),
        (["numpy", "--python", "/bin/ls"], "does not behave like Python"),
        (["numpy", "--install-timeout", "0"], "--install-timeout 0"),
        (["numpy", "--cache", "/dev/null/here"], "cannot be used"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    doctor: Doctor, tmp_path: Path, arguments: list[str], said: str
) -> None:
    answer = doctor("matrix", *arguments, environment={"XDG_CACHE_HOME": str(tmp_path / "xdg")})
    assert answer.code == 2
    assert said in answer.err
    assert len(answer.err.splitlines()) == 1
    assert answer.out == ""


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_dry_run_tells_and_installs_nothing(
    doctor: Doctor, offline: dict[str, str], tmp_path: Path, installer: str
) -> None:
    answer = doctor(
        "matrix", "numpy<2,>=2", "onnxruntime==1.18.1,1.20.1", "--dry-run",
        "--installer", installer, environment=offline,
    )  # fmt: skip
    assert "3 environments with " + installer in answer.out
    assert "numpy 1.26.4, onnxruntime 1.18.1" in answer.out
    assert "numpy 2.2.6, onnxruntime 1.20.1" in answer.out
    # The size of what lies on this machine is known.
    assert "4 downloads of 0 MB" in answer.out
    # One combination cannot be; the resolver's reason is one line.
    refused = answer.out.splitlines().index(
        f"✗ Python {'.'.join(map(str, sys.version_info[:3]))}, numpy>=2, onnxruntime==1.18.1: "
        "no such set of releases"
    )
    assert "numpy<2" in answer.out.splitlines()[refused + 1]
    assert answer.code == 1
    assert list((tmp_path / "xdg" / "mtcnn-doctor" / "matrix" / "environments").iterdir()) == []


def test_nothing_is_installed_unless_somebody_agrees(
    doctor: Doctor, offline: dict[str, str], tmp_path: Path
) -> None:
    answer = doctor("matrix", "numpy==2.2.6", environment=offline)
    assert answer.code == 2
    assert "1 environment with" in answer.err
    assert "add --yes to go on, or --dry-run" in answer.err.splitlines()[-1]
    assert list((tmp_path / "xdg" / "mtcnn-doctor" / "matrix" / "environments").iterdir()) == []


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_range_under_bisect_is_every_release_of_it(
    doctor: Doctor, offline: dict[str, str], installer: str
) -> None:
    answer = doctor(
        "matrix", "numpy>=1.26", "--bisect", "numpy", "--dry-run", "--format", "json",
        "--installer", installer, environment=offline,
    )  # fmt: skip
    plan = json.loads(answer.out)
    asked = [row["requested"]["numpy"] for row in plan["combinations"]]
    assert asked == ["==1.26.4", "==2.1.0", "==2.2.6"]
    assert plan["plan"]["bisect"] == 3


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """An index of one wheel that tells sizes, as the big ones do."""
    file = wheel(tmp_path / "served", "numpy", "2.2.6", files={"data.bin": "x" * 3_000_000})
    entry = {"filename": file.name, "url": f"/{file.name}", "hashes": {}}
    page = {
        "meta": {"api-version": "1.1"}, "name": "numpy", "versions": ["2.2.6"],
        "files": [{**entry, "size": file.stat().st_size, "upload-time": "2025-05-17T00:00:00Z"}],
    }  # fmt: skip

    class Index(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == f"/{file.name}"
            kind = "application/vnd.pypi.simple.v1+json"
            body = file.read_bytes() if found else json.dumps(page).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream" if found else kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/simple"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_size_is_told_where_the_index_tells_it(
    matrix: Matrix, index: str, tmp_path: Path
) -> None:
    environment = {"UV_DEFAULT_INDEX": index, "UV_CACHE_DIR": str(tmp_path / "uv")}
    answer = matrix("numpy", "--dry-run", "--installer", "uv", environment=environment)
    assert "1 download of 3 MB (less what is cached)" in answer.out
    assert answer.code == 0


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_no_network_reads_as_could_not_be_installed(
    matrix: Matrix, tmp_path: Path, installer: str
) -> None:
    answer = matrix(
        "numpy==1.26.4,2.2.6", "--yes", "--installer", installer,
        environment={
            "UV_DEFAULT_INDEX": NOWHERE, "UV_HTTP_RETRIES": "0",
            "UV_CACHE_DIR": str(tmp_path / "uv"),
            "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": NOWHERE, "PIP_RETRIES": "1",
            "PIP_FIND_LINKS": "", "PIP_NO_CACHE_DIR": "1",
        },
    )  # fmt: skip
    assert "2 could not be installed · exit code 2" in answer.out
    assert "no such set" not in answer.out
    assert "Traceback" not in answer.err
    assert answer.code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
@pytest.mark.parametrize(("answer", "agreed"), [("n", False), ("y", True)])
def test_who_sits_at_the_terminal_is_asked(
    tmp_path: Path, offline: dict[str, str], answer: str, agreed: bool
) -> None:
    import pty

    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    # The wheel is empty: what is agreed to is an environment without a module in it.
    done = subprocess.run(
        [sys.executable, "-m", "mtcnn_doctor", "matrix", "numpy==2.2.6", "--backend", "numpy"],
        cwd=tmp_path, env={**os.environ, **offline}, stdin=theirs, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    os.close(theirs)
    os.close(ours)
    assert "install this and run it? [y/N]" in done.stderr
    assert ("nothing was installed" in done.stderr) is not agreed
    assert ("1 failed · exit code 1" in done.stdout) is agreed
    assert done.returncode == (1 if agreed else 0)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_installer_that_hangs_ends_with_the_doctor(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        doctor = subprocess.Popen(
            [sys.executable, "-m", "mtcnn_doctor", "matrix", "numpy==1.26.4,2.2.6", "--yes",
             "--cache", tmp_path / "cache"],
            env={**os.environ, "UV_DEFAULT_INDEX": address, "UV_CACHE_DIR": str(tmp_path / "uv"),
                 "PIP_INDEX_URL": address},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        silent.settimeout(60)
        connection, _ = silent.accept()
        children = psutil.Process(doctor.pid).children(recursive=True)
        assert children
        doctor.send_signal(signal.SIGTERM)
        out, err = doctor.communicate(timeout=20)
        connection.close()
    assert doctor.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    assert out == ""
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


# -- real environments ---------------------------------------------------------------------------


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="old wheels for Python 3.11")
def test_a_crash_of_one_combination_stands_beside_the_others(matrix: Matrix) -> None:
    """onnxruntime 1.16 was built for NumPy 1: with 2 it can be imported, and then it dies."""
    answer = matrix("numpy==1.26.4,2.2.6", "onnxruntime==1.16.3", "--yes", "--format", "json")
    found = rows(answer)
    good = found[next(name for name in found if "numpy 1.26.4" in name)]
    bad = found[next(name for name in found if "numpy 2.2.6" in name)]
    assert (good["state"], bad["state"]) == ("ok", "failed")
    assert outcomes(good) == {"numpy": "ok", "onnxruntime": "ok"}
    assert outcomes(bad)["numpy"] == "ok"
    assert outcomes(bad)["onnxruntime"] in ("crash", "not-loadable")
    assert [finding["id"] for finding in bad["findings"]] == ["numpy-abi"]
    assert bad["resolved"]["numpy"] == "2.2.6"
    assert answer.code == 1


def test_bisect_finds_the_first_bad_release(matrix: Matrix, tmp_path: Path) -> None:
    for number in range(1, 9):
        culprit(tmp_path / "wheels", f"{number}.0", CRASHES if number >= 6 else None)
    answer = matrix(
        "culprit>=1", "numpy==2.2.6", "--backend", "numpy", "--bisect", "culprit", "--yes",
        "--format", "json",
    )  # fmt: skip
    rows(answer)
    (found,) = json.loads(answer.out)["bisections"]
    assert (found["verdict"], found["last_good"], found["first_bad"]) == ("found", "5.0", "6.0")
    assert len(found["releases"]) == 8
    # Both ends, and three halvings.
    assert len(found["run"]) <= 5
    assert {run["version"] for run in found["run"]} >= {"1.0", "5.0", "6.0", "8.0"}
    assert all("SIGSEGV" in run["fault"] for run in found["run"] if not run["good"])
    assert answer.code == 1


def test_an_interrupted_matrix_goes_on_where_it_stopped(matrix: Matrix, tmp_path: Path) -> None:
    flag = tmp_path / "hang"
    flag.touch()
    for version in ("1.0", "2.0", "3.0"):
        culprit(
            tmp_path / "wheels", version, HANGS.format(flag=str(flag)) if version == "2.0" else None
        )
    arguments = [
        "matrix", "culprit==1.0,2.0,3.0", "numpy==2.2.6", "--backend", "numpy", "--yes",
        "--cache", str(tmp_path / "cache"),
    ]  # fmt: skip
    if sys.platform == "win32":
        pytest.skip("POSIX signals")
    doctor = subprocess.Popen(
        [sys.executable, "-m", "mtcnn_doctor", *arguments],
        cwd=tmp_path,
        env={**os.environ, "UV_FIND_LINKS": str(tmp_path / "wheels"), "NO_COLOR": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert doctor.stderr is not None
    seen = []
    for line in doctor.stderr:
        seen.append(line)
        if "2 of 3" in line or "3 of 3" in line:
            break
    if not any("2 of 3" in line for line in seen):
        doctor.wait()
        pytest.skip(f"the index cannot be reached: {''.join(seen)}")
    process = psutil.Process(doctor.pid)
    hanging = tmp_path / "cache" / "environments"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        children = process.children(recursive=True)
        if any(str(hanging) in " ".join(child.cmdline()) for child in children):
            break
        time.sleep(0.05)
    doctor.send_signal(signal.SIGINT)
    out, err = doctor.communicate(timeout=30)
    assert doctor.returncode == 130
    assert "Traceback" not in err
    assert "1 ok · 2 not run · exit code 130" in out
    assert "interrupted: the same command goes on from here" in out
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert list(hanging.iterdir()) == []
    # What it was waiting for is mended; two of three are left.
    flag.unlink()
    answer = matrix("culprit==1.0,2.0,3.0", "numpy==2.2.6", "--backend", "numpy", "--yes")
    assert "1 of 3 are known" in answer.err
    assert "2 of 3: " in answer.err
    assert "1 of 3: " not in answer.err
    assert "3 ok · exit code 0" in answer.out
    # It has run to its end, so the next time starts afresh.
    assert list((tmp_path / "cache" / "results").iterdir()) == []


def test_a_release_from_elsewhere_is_no_green(matrix: Matrix, tmp_path: Path) -> None:
    """PYTHONPATH brings the tests' own NumPy: what works is not what the row says."""
    import numpy

    if numpy.__version__ == "1.26.4":
        pytest.skip("it is the same release")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    site = Path(numpy.__file__).parent.parent
    for name in ("numpy", "numpy.libs", f"numpy-{numpy.__version__}.dist-info"):
        (foreign / name).symlink_to(site / name)
    answer = matrix("numpy==1.26.4", "--yes", environment={"PYTHONPATH": str(foreign)})
    if "could not be installed" in answer.out:
        pytest.skip("the index cannot be reached")
    assert f"numpy {numpy.__version__} was run, not the 1.26.4 that is installed" in answer.out
    assert answer.code == 1


def test_a_kept_environment_is_named_and_stays(matrix: Matrix) -> None:
    answer = matrix(
        "numpy==2.2.6", "--backend", "numpy", "--keep-environments", "--yes", "--format", "json"
    )
    (row,) = rows(answer).values()
    assert row["state"] == "ok"
    python = Path(row["environment"].replace("~", str(Path.home()), 1)) / "bin" / "python"
    if sys.platform != "win32":
        code = "import numpy; print(numpy.__version__)"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "2.2.6"
    assert answer.code == 0


# -- the whole of it -----------------------------------------------------------------------------


@pytest.mark.environments
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="old wheels for Python 3.11")
def test_three_numpys_and_two_onnxruntimes(matrix: Matrix) -> None:
    answer = matrix(
        "numpy==1.26.4,2.0.2,2.2.6", "onnxruntime==1.15.1,1.19.2", "--yes", "--format", "json"
    )
    found = rows(answer)
    assert len(found) == 6
    for row in found.values():
        dies = row["resolved"]["numpy"] >= "2" and row["resolved"]["onnxruntime"] == "1.15.1"
        assert row["state"] == ("failed" if dies else "ok"), row["name"]
        assert (outcomes(row)["onnxruntime"] in ("crash", "not-loadable")) is dies
        assert outcomes(row)["numpy"] == "ok"
    assert answer.code == 1


@pytest.mark.environments
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="old wheels for Python 3.11")
@pytest.mark.exhaustive
def test_bisect_over_the_releases_of_a_range(matrix: Matrix) -> None:
    answer = matrix(
        "onnxruntime>=1.16&<1.20", "numpy==2.0.2", "--bisect", "onnxruntime", "--yes",
        "--format", "json",
    )  # fmt: skip
    rows(answer)
    (found,) = json.loads(answer.out)["bisections"]
    assert (found["last_bad"], found["first_good"]) == ("1.18.0", "1.19.0")
    # 1.18.1 says itself that it does not go with NumPy 2.
    assert found["unresolvable"] == ["==1.18.1"]
    assert len(found["run"]) < len(found["releases"])


@pytest.mark.environments
@pytest.mark.exhaustive
def test_pip_where_there_is_no_uv_and_other_pythons(matrix: Matrix) -> None:
    others = at_hand("3.9", "3.12")
    if not others:
        pytest.skip("no other Python 3.9 or 3.12 here")
    answer = matrix(
        "numpy==1.26.4", "--python", ",".join(map(str, others)), "--backend", "numpy",
        "--installer", "pip", "--yes", "--format", "json",
    )  # fmt: skip
    found = rows(answer)
    assert len(found) == len(others)
    assert {row["state"] for row in found.values()} == {"ok"}
    assert json.loads(answer.out)["plan"]["installer"].startswith("pip ")


@pytest.mark.environments
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="measured with Python 3.11")
@pytest.mark.exhaustive
def test_a_package_of_the_user_is_run_as_subject(matrix: Matrix) -> None:
    """Beside its framework (large: one environment), and without it."""
    answer = matrix(
        "tensorflow-cpu==2.21.0", "--subject", "mtcnn==1.0.0", "--backend", "tensorflow", "--yes",
        "--format", "json",
    )  # fmt: skip
    (row,) = rows(answer).values()
    assert outcomes(row) == {"tensorflow": "ok", "mtcnn": "ok"}
    assert (row["state"], answer.code) == ("ok", 0)
    answer = matrix("numpy==2.2.6", "--subject", "mtcnn==1.0.0", "--yes", "--format", "json")
    (row,) = rows(answer).values()
    assert (row["state"], answer.code) == ("failed", 1)
    assert [finding["id"] for finding in row["findings"]] == ["mtcnn-missing-backend"]


@pytest.mark.environments
@pytest.mark.exhaustive
def test_pins_that_cannot_be_met_are_a_row_with_the_reason(matrix: Matrix) -> None:
    """facenet-pytorch 2.6.0 wants torch older than 2.3. Nothing is installed."""
    answer = matrix(
        "torch==2.2.2,2.9.0", "--subject", "facenet-pytorch==2.6.0", "--dry-run",
        "--format", "json",
    )  # fmt: skip
    found = rows(answer)
    (refused,) = [row for row in found.values() if row["state"] == "unresolvable"]
    assert "torch==2.9.0" in refused["name"]
    assert "facenet-pytorch" in refused["reason"]
    assert "\n" not in refused["reason"]
    assert answer.code == 1
