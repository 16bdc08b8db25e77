"""The isolated detector outlives what its child does: real signals, hangs, kills and forks."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from mtcnn_doctor.gallery import bundled
from mtcnn_doctor.isolated import DetectorDied, DetectorHung, IsolatedDetector
from mtcnn_doctor.reference import Detector, WeightsError, read_image
from mtcnn_doctor.sandbox.line import Line
from mtcnn_doctor.sandbox.warm import OFFSET, Warm

from .conftest import AFTER_IMPORT, Customize
from .interpreters import at_hand

ROOT = Path(__file__).resolve().parents[1]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
LINUX = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
PIXELS = np.full((40, 50, 3), 90, np.uint8)

#: What `strike()` does happens in NumPy's matrix product while the trigger exists.
FAULT = (
    AFTER_IMPORT
    + """
import ctypes, os, time

def patch(module):
    real = module.matmul
    def matmul(*given, **named):
        if os.path.exists({trigger!r}):
            {strike}
        return real(*given, **named)
    module.matmul = matmul

if "MTCNN_DOCTOR_CHILD" in os.environ:
    after_import("numpy", patch)
"""
)
NULL = "sys.stderr.write('about to strike\\n'); ctypes.string_at(0)"


@pytest.fixture(scope="module")
def portrait() -> np.ndarray[Any, Any]:
    return read_image(next(p.path for p in bundled() if p.name == "portrait.png"))


@pytest.fixture
def fault(
    customize: Customize, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str], Path]:
    """Put a fault into the children's environment; it strikes while the returned file exists."""

    def put(strike: str) -> Path:
        trigger = tmp_path / "trigger"
        code = FAULT.replace("{trigger!r}", repr(str(trigger))).replace("{strike}", strike)
        monkeypatch.setenv("PYTHONPATH", customize(code)["PYTHONPATH"])
        return trigger

    return put


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No process, no file and no mapped memory outlives a test."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)

    def ours() -> list[Path]:
        return list(temporary.glob("mtcnn-doctor-*"))  # frameworks write there, too

    yield
    gc.collect()
    deadline = time.monotonic() + 10
    while (psutil.Process().children() or ours()) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert psutil.Process().children() == []
    assert ours() == []
    if sys.platform == "linux":
        assert "memfd:mtcnn-doctor" not in Path("/proc/self/maps").read_text()


def gone(pid: int | None) -> bool:
    assert pid is not None
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not psutil.pid_exists(pid)


def test_the_same_faces_in_the_same_types(portrait: np.ndarray[Any, Any]) -> None:
    small = portrait[::2, ::2]
    images = [
        small, portrait[:200, 30:], np.asfortranarray(small), small.astype(np.float32),
        small.astype(np.float64), portrait, PIXELS, PIXELS[:10], PIXELS[:1, :1],
    ]  # fmt: skip
    with Detector("numpy") as here, IsolatedDetector("numpy") as there:
        assert (there.backend, there.lanes) == (here.backend, here.lanes)
        assert there.compiled == here.compiled
        for image in images:
            assert there.detect(image) == here.detect(image)
        assert there.detect_many(images[:3]) == here.detect_many(images[:3])
        assert there.detect_many(np.stack([PIXELS, PIXELS])) == here.detect_many([PIXELS] * 2)
        face = there.detect(portrait).faces[0]
    assert type(face.box).__name__ == "Box"
    assert face.clip(512, 512).to_dict()["keypoints"]["nose"] == list(face.keypoints.nose)


def test_parameters_reach_the_child(portrait: np.ndarray[Any, Any], tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "threads": 1, "lanes": 1, "channels": "bgr", "min_face_size": 60, "scale_factor": 0.5,
        "thresholds": (0.5, 0.6, 0.7), "compiled": False,
    }  # fmt: skip
    with Detector("numpy", **options) as here, IsolatedDetector("numpy", **options) as there:
        found = there.detect(portrait)
        assert found == here.detect(portrait)
        assert len(found.levels) == 4
        assert (there.lanes, there.compiled, there.channels) == (1, False, "bgr")
        assert there.settings == here.settings


def test_what_one_of_them_compiled_does_not_disturb_the_other(tmp_path: Path) -> None:
    """Both keep the compiler's outcome in the same place; each loads what its own kind made."""
    pytest.importorskip("numba", exc_type=ImportError)
    program = (
        "import numpy as np\n"
        "from mtcnn_doctor.isolated import IsolatedDetector\n"
        "from mtcnn_doctor.reference import Detector\n"
        "pixels = np.zeros((40, 40, 3), 'u1')\n"
        "for kind in (IsolatedDetector, Detector, IsolatedDetector, Detector):\n"
        "    with kind('numpy', lanes=1, compiled=True) as made:\n"
        "        print(made.detect(pixels).faces)\n"
    )
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True, text=True, check=False, cwd=ROOT,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "numba")},
        )  # fmt: skip
        assert (done.stdout, done.stderr) == ("()\n" * 4, "")


@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])
def test_frameworks(backend: str, portrait: np.ndarray[Any, Any]) -> None:
    pytest.importorskip(backend)
    with IsolatedDetector(backend, threads=2) as there, Detector(backend, threads=2) as here:
        assert there.detect(portrait) == here.detect(portrait)


def test_auto_passes_over_what_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("openvino", "torch", "onnxruntime", "cv2", "tensorflow", "ai_edge_litert"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('libquux.so.1: cannot open')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made = IsolatedDetector()
    made.close()
    assert made.backend == "numpy"
    texts = [str(warning.message) for warning in said]
    assert any("torch is installed but does not load (libquux.so.1" in text for text in texts)
    assert {Path(warning.filename).name for warning in said} == {"test_isolated.py"}


def test_where_warnings_are_errors_no_child_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openvino.py").write_text("raise ImportError('libquux.so.1: cannot open')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeWarning, match="openvino is installed but does not load"):
        IsolatedDetector()
    assert psutil.Process().children() == []


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        ("photo.jpg", TypeError, "read_image(path)"),
        (None, TypeError, "cv2.imread gives None"),
        ([PIXELS], TypeError, "detect_many(images)"),
        (PIXELS[:, :, 0], ValueError, "np.stack([image] * 3, axis=-1)"),
        (PIXELS.transpose(2, 0, 1), ValueError, "image.transpose(1, 2, 0)"),
        (PIXELS[:0], ValueError, "image is empty"),
        (PIXELS / 255, ValueError, "Multiply by 255"),
        (np.full((40, 50, 3), np.nan), ValueError, "NaN or infinity"),
        (PIXELS.astype(np.uint16), TypeError, "(image // 257).astype(np.uint8)"),
    ],
    ids=lambda value: None if isinstance(value, (str, type)) else type(value).__name__,
)
def test_what_is_no_image_is_refused_in_the_same_words(
    shared: IsolatedDetector, image: Any, error: type[Exception], words: str
) -> None:
    before = shared.pid
    with Detector("numpy", lanes=1) as here, pytest.raises(error) as wanted:
        here.detect(image)
    with pytest.raises(error, match=re.escape(words)) as refusal:
        shared.detect(image)
    assert str(refusal.value) == str(wanted.value)
    assert refusal.value.__cause__ is None  # raised here, not told by the child
    assert shared.pid == before


@pytest.fixture
def shared() -> Iterator[IsolatedDetector]:
    with IsolatedDetector("numpy", lanes=1) as made:
        yield made


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"backend": "caffe"}, ValueError, "unknown backend 'caffe'"),
        ({"backend": "numpy", "device": "abacus"}, ValueError, "abacus"),
        ({"threads": 0}, ValueError, "threads is 0"),
        ({"weights": "/no/such.safetensors"}, WeightsError, "/no/such.safetensors: cannot be read"),
        ({"thresholds": (0.5, 0.5)}, ValueError, "expected three"),
        ({"channels": "gbr"}, ValueError, "expected 'rgb' or 'bgr'"),
        ({"timeout": 0}, ValueError, "timeout is 0, expected seconds above 0"),
        ({"start_timeout": None}, ValueError, "start_timeout is None"),
        ({"timeout": "a"}, ValueError, "timeout is 'a', expected seconds above 0"),
        ({"python": "/no/python"}, ValueError, "python: no interpreter /no/python"),
        ({"python": "/"}, ValueError, "python: / is a folder without a Python in it"),
        ({"python": "/bin/ls"}, ValueError, "/bin/ls does not behave like a Python interpreter"),
    ],
    ids=str,
)
def test_wrong_parameters_are_named(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    if options.get("python") == "/bin/ls" and not Path("/bin/ls").exists():
        pytest.skip("no /bin/ls here")
    with pytest.raises(error, match=re.escape(words)):
        IsolatedDetector(**options)


@POSIX
def test_a_segmentation_fault_is_an_exception(
    fault: Callable[[str], Path], portrait: np.ndarray[Any, Any]
) -> None:
    trigger = fault(NULL)
    with IsolatedDetector("numpy", lanes=1) as made:
        wanted, first = made.detect(portrait), made.pid
        trigger.touch()
        with pytest.raises(DetectorDied) as death:
            made.detect(portrait)
        died = death.value
        assert (died.signal, died.exit_code, died.stage) == ("SIGSEGV", 139, "pnet")
        assert died.step is not None
        assert re.match(r"level \d+ of \d+, \d+x\d+", died.step)
        assert "matmul" in [frame["function"] for frame in died.frames]
        assert "about to strike" in died.stderr
        assert died.next_command == "mtcnn-doctor bench --backend numpy --bisect"
        for words in ("SIGSEGV", f"in pnet, {died.step}", "image 512x512", "about to strike",
                      "segmentation fault", "sitecustomize.py", died.next_command):  # fmt: skip
            assert words in str(died)
        assert made.pid is None
        # It strikes again in a fresh child, already while that one warms up.
        with pytest.raises(DetectorDied):
            made.detect(portrait)
        trigger.unlink()
        assert made.detect(portrait) == wanted
        assert made.pid not in (None, first)


@POSIX
def test_with_lanes_the_place_is_the_dead_threads(
    fault: Callable[[str], Path], portrait: np.ndarray[Any, Any]
) -> None:
    trigger = fault(NULL)
    with IsolatedDetector("numpy", lanes=2) as made:
        trigger.touch()
        with pytest.raises(DetectorDied) as death:
            made.detect(portrait)
    assert (death.value.signal, death.value.stage) == ("SIGSEGV", "pnet")
    assert str(death.value.step).startswith("level ")
    assert death.value.next_command.endswith("--lanes 2 --bisect")
    twin = pickle.loads(pickle.dumps(death.value))
    assert (str(twin), twin.stage) == (str(death.value), "pnet")


@POSIX
def test_a_child_that_dies_while_it_starts(fault: Callable[[str], Path]) -> None:
    fault(NULL).touch()
    with pytest.raises(DetectorDied, match=r"died of SIGSEGV .* in pnet, level 1 of 3"):
        IsolatedDetector("numpy", lanes=1)


@POSIX
def test_a_death_in_the_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("import ctypes; ctypes.string_at(0)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(DetectorDied, match="died of SIGSEGV") as death:
        IsolatedDetector("torch")
    assert (death.value.stage, death.value.step) == ("import", "torch")


@POSIX
def test_an_exit_without_a_word(fault: Callable[[str], Path]) -> None:
    trigger = fault("os._exit(0)")
    with IsolatedDetector("numpy", lanes=1) as made:
        trigger.touch()
        with pytest.raises(DetectorDied, match=r"ended \(exit code 0\) in pnet") as death:
            made.detect(PIXELS)
    assert death.value.signal is None


@POSIX
def test_a_hang_is_a_timeout_with_its_frames(
    fault: Callable[[str], Path], portrait: np.ndarray[Any, Any]
) -> None:
    trigger = fault("time.sleep(600)")
    with IsolatedDetector("numpy", lanes=1, timeout=1.0) as made:
        wanted, pid = made.detect(portrait), made.pid
        trigger.touch()
        with pytest.raises(TimeoutError, match=r"did not answer within 1 s") as hang:
            made.detect(portrait)
        assert isinstance(hang.value, DetectorHung)
        assert hang.value.stage == "pnet"
        assert hang.value.frames[0]["function"] == "matmul"
        assert hang.value.next_command in str(hang.value)
        assert hang.value.signal is None
        assert gone(pid)
        trigger.unlink()
        assert made.detect(portrait) == wanted


@POSIX
def test_a_start_that_hangs(fault: Callable[[str], Path]) -> None:
    fault("time.sleep(600)").touch()
    with pytest.raises(DetectorHung, match=r"did not start within 2 s .* in pnet"):
        IsolatedDetector("numpy", lanes=1, start_timeout=2.0)


@POSIX
def test_a_child_killed_between_two_images_is_replaced(shared: IsolatedDetector) -> None:
    wanted, pid = shared.detect(PIXELS), shared.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    gone(pid)
    with pytest.warns(RuntimeWarning, match=r"died of SIGKILL .* in wait.*a fresh one"):
        assert shared.detect(PIXELS) == wanted
    assert shared.pid not in (None, pid)


@POSIX
def test_a_child_killed_during_an_image(
    fault: Callable[[str], Path], portrait: np.ndarray[Any, Any]
) -> None:
    trigger = fault("time.sleep(600)")
    with IsolatedDetector("numpy", lanes=1) as made:
        pid = made.pid
        assert pid is not None
        trigger.touch()
        threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
        with pytest.raises(DetectorDied, match="died of SIGKILL") as death:
            made.detect(portrait)
    assert (death.value.signal, death.value.stage) == ("SIGKILL", "pnet")


def test_an_exception_of_the_framework_is_raised_here(
    fault: Callable[[str], Path], portrait: np.ndarray[Any, Any]
) -> None:
    trigger = fault("raise ValueError('operands could not be broadcast')")
    with IsolatedDetector("numpy", lanes=2) as made:
        wanted, pid = made.detect(portrait), made.pid
        trigger.touch()
        with pytest.raises(ValueError, match=r"^operands could not be broadcast$") as failure:
            made.detect(portrait)
        told = str(failure.value.__cause__)
        assert re.search(r"own process, in pnet level \d+ of \d+", told)
        assert "sitecustomize.py" in told
        trigger.unlink()
        # An exception is no death.
        assert made.detect(portrait) == wanted
        assert made.pid == pid


def test_an_exception_of_an_unknown_type(fault: Callable[[str], Path]) -> None:
    trigger = fault("raise type('Fail', (Exception,), {})('no kernel image')")
    with IsolatedDetector("numpy", lanes=1) as made:
        trigger.touch()
        with pytest.raises(RuntimeError, match=r"^Fail: no kernel image$"):
            made.detect(PIXELS)


def test_what_a_child_prints_stays_there(
    fault: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    trigger = fault("print('noise' * 10**5)")
    with IsolatedDetector("numpy", lanes=1) as made:
        trigger.touch()
        for _ in range(3):
            made.detect(PIXELS)
    assert capfd.readouterr() == ("", "")


@LINUX
def test_pixels_take_no_pipe_and_no_room_twice(shared: IsolatedDetector) -> None:
    """Hundreds of images of changing size: memory, descriptors and threads do not grow."""

    def held() -> tuple[int, int, int]:
        return psutil.Process().num_fds(), psutil.Process(shared.pid).num_fds(), maps()

    def maps() -> int:
        paths = (Path("/proc/self/maps"), Path(f"/proc/{shared.pid}/maps"))
        return sum(path.read_text().count("memfd:mtcnn-doctor") for path in paths)

    large = np.zeros((19, 100_000, 3), np.uint8)  # too small for a face: nothing to compute
    shared.detect(large)
    before, threads = held(), threading.active_count()
    assert before[2] == 2
    read = psutil.Process(shared.pid).io_counters().read_chars
    for size in range(1, 100_000, 500):
        assert shared.detect(large[:, :size]).faces == ()
    assert (held(), threading.active_count()) == (before, threads)
    # Some 100 bytes an image; their pixels were 500 MB.
    assert psutil.Process(shared.pid).io_counters().read_chars - read < 1e6
    shared.detect(np.zeros((19, 2_000_000, 3), np.uint8))
    assert held() == before


def test_over_the_loopback_device_and_files(portrait: np.ndarray[Any, Any]) -> None:
    """What is used where descriptors cannot be handed to a process (Windows)."""
    with IsolatedDetector("numpy", lanes=1) as made:
        wanted = made.detect(portrait)
        warm = Warm(made._launch, Line(local=False))
        warm.start()
        for image in (PIXELS, portrait, PIXELS):
            memory = warm.memory(image.nbytes)
            assert memory.path is not None
            np.copyto(np.ndarray(image.shape, image.dtype, memory.memory, OFFSET), image)
            answer = warm.ask({"shape": image.shape, "dtype": "uint8"}, 60)
            faces = len(wanted.faces) if image is portrait else 0
            assert len(answer["faces"]) == faces
        warm.end()


def test_strangers_on_the_loopback_device_are_not_heard() -> None:
    import socket

    line = Line(local=False)
    stranger = socket.create_connection(("127.0.0.1", line.address[1]))
    stranger.sendall(b"x" * 32)
    caller = socket.create_connection(("127.0.0.1", line.address[1]))
    caller.sendall(line.address[2].encode())
    line.accept(lambda: True)
    assert stranger.recv(1) == b""
    assert line.idle()
    line.close()
    assert caller.recv(1) == b""
    stranger.close()
    caller.close()


def test_threads_take_turns(shared: IsolatedDetector, portrait: np.ndarray[Any, Any]) -> None:
    images = {"face": portrait, "none": PIXELS, "part": portrait[:300, :300]}
    wanted = {name: shared.detect(image) for name, image in images.items()}
    found: dict[str, Any] = {}

    def work(name: str) -> None:
        for _ in range(3):
            found[name] = shared.detect(images[name])

    threads = [threading.Thread(target=work, args=(name,)) for name in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == wanted


def test_closing_ends_the_child() -> None:
    with IsolatedDetector("numpy", lanes=1) as made:
        pid = made.pid
        assert f"process {pid}" in repr(made)
    made.close()
    assert gone(pid)
    assert (made.pid, "closed" in repr(made)) == (None, True)
    with pytest.raises(ValueError, match="this detector is closed"):
        made.detect(PIXELS)
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="Make one in each process"):
            attempt(made)


def test_a_detector_nobody_holds_ends_its_child() -> None:
    made = IsolatedDetector("numpy", lanes=1)
    pid = made.pid
    del made
    gc.collect()
    assert gone(pid)


def program(body: str, tmp_path: Path) -> subprocess.Popen[str]:
    """A program of a user's, which prints the number of its child first."""
    script = tmp_path / "program.py"
    script.write_text(
        "import os, sys, numpy as np\n"
        "from mtcnn_doctor.isolated import IsolatedDetector\n"
        "pixels = np.full((40, 50, 3), 90, np.uint8)\n"
        "made = IsolatedDetector('numpy', lanes=1)\n"
        "print(made.pid, flush=True)\n" + body
    )
    return subprocess.Popen(
        [sys.executable, "-W", "error", script],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(
            [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])},
    )  # fmt: skip


def test_the_end_of_the_program_ends_the_child(tmp_path: Path) -> None:
    process = program("made.detect(pixels)\n", tmp_path)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert gone(int(out))


def test_an_error_in_the_program_ends_the_child(tmp_path: Path) -> None:
    process = program("1 / 0\n", tmp_path)
    out, err = process.communicate(timeout=60)
    assert err.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert gone(int(out))


@POSIX
def test_ctrl_c_during_a_call_ends_the_child(fault: Callable[[str], Path], tmp_path: Path) -> None:
    trigger = fault(f"open({str(tmp_path / 'reached')!r}, 'w').close(); time.sleep(600)")
    process = program(
        f"open({str(trigger)!r}, 'w').close()\n"
        "try:\n"
        "    made.detect(pixels)\n"
        "except KeyboardInterrupt:\n"
        f"    os.remove({str(trigger)!r})\n"
        "    print('interrupted', made.pid, len(made.detect(pixels).faces))\n",
        tmp_path,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "reached").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    first, rest = out.splitlines()
    # The interrupted child is gone at once; the next call has another.
    assert rest == "interrupted None 0"
    assert gone(int(first))


@POSIX
def test_a_killed_program_takes_its_child_with_it(tmp_path: Path) -> None:
    process = program("import time; time.sleep(600)\n", tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    pid = int(process.stdout.readline())
    process.kill()
    process.communicate()
    assert gone(pid)
    # Nobody was left to remove the folder with its orders.
    for folder in (tmp_path / "temporary").iterdir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def _ask(made: IsolatedDetector, answers: Any) -> None:
    try:
        made.detect(PIXELS)
        answers.put("an answer")
    except RuntimeError as error:
        answers.put(str(error))
    made.close()


@FORK
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_gets_an_error_and_leaves_the_child_alone(shared: IsolatedDetector) -> None:
    pid = shared.pid
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    fork = context.Process(target=_ask, args=(shared, answers))
    fork.start()
    fork.join(60)
    assert fork.exitcode == 0
    assert "make an IsolatedDetector in each process" in answers.get()
    fork.close()
    answers.close()
    shared.detect(PIXELS)
    assert shared.pid == pid


@FORK
def test_a_fork_that_ends_like_a_program_leaves_the_child_alone(tmp_path: Path) -> None:
    """It runs the interpreter's own end, with what is registered for it."""
    process = program(
        "import warnings; warnings.simplefilter('ignore')\n"
        "pid = os.fork()\n"
        "if pid == 0: sys.exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "before = made.pid\n"
        "print(made.detect(pixels).faces, made.pid == before)\n",
        tmp_path,
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1] == "() True"


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.12", "3.13"])
def test_another_interpreter(version: str, portrait: np.ndarray[Any, Any]) -> None:
    """One without NumPy says so; the doctor's own needs are none of the child's."""
    found = at_hand(version)
    if not found:
        pytest.skip(f"no other Python {version} here")
    numpy = subprocess.run([found[0], "-c", "import numpy"], capture_output=True, check=False)
    if numpy.returncode:
        with pytest.raises(ImportError, match="NumPy does not load in the child") as refusal:
            IsolatedDetector("numpy", python=found[0])
        assert f"--python {found[0]}" in str(refusal.value)
        return
    with IsolatedDetector("numpy", python=found[0]) as made:
        assert len(made.detect(portrait).faces) == 1


@pytest.mark.skipif(not Path(sys.prefix, "bin", "python").exists(), reason="no bin/python here")
def test_the_folder_of_an_environment(portrait: np.ndarray[Any, Any]) -> None:
    with IsolatedDetector("numpy", python=Path(sys.prefix)) as made:
        assert len(made.detect(portrait).faces) == 1


@POSIX
def test_in_a_deleted_folder(tmp_path: Path) -> None:
    """Some frameworks do not load there; the child works in a folder that exists."""
    gone = tmp_path / "gone"
    gone.mkdir()
    program = (
        "import os; from mtcnn_doctor.isolated import IsolatedDetector\n"
        f"os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})\n"
        "import numpy as np\n"
        "with IsolatedDetector('numpy') as made:\n"
        "    print(made.detect(np.zeros((40, 50, 3), np.uint8)).faces)\n"
        "    print(os.readlink(f'/proc/{made.pid}/cwd') if os.path.exists('/proc/self') else '/')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout.splitlines(), done.stderr) == (["()", "/"], "")


def test_the_documented_examples_run(tmp_path: Path) -> None:
    """All blocks of docs/isolation.md, one after the other, in a folder with a photo.png."""
    text = (ROOT / "docs" / "isolation.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    picture = next(p.path for p in bundled() if p.name == "portrait.png")
    (tmp_path / "photo.png").write_bytes(Path(picture).read_bytes())
    (tmp_path / "examples.py").write_text("\n".join(blocks), encoding="utf-8")
    assert blocks
    done = subprocess.run(
        [sys.executable, "-W", "error", "examples.py"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 face" in done.stdout
