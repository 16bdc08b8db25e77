"""``%%mtcnn_guard`` and ``%mtcnn_inspect`` in a real kernel that has to outlive what they do."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .kernel import Cell, Kernel, kernel

REPORT = "application/vnd.mtcnn-doctor.report+json"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A notebook with the extension loaded and a few variables."""
    folder = tmp_path_factory.mktemp("guarded")
    with kernel(folder, {"JUPYTER_DATA_DIR": str(folder / "none")}) as running:
        cell = running.run(
            "%load_ext mtcnn_doctor\n"
            "import os, sys, warnings\nimport numpy as np\nfrom pathlib import Path\n"
            "image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)\nkernel = os.getpid()"
        )
        assert cell.status == "ok", cell
        yield running


@pytest.fixture
def guarded(page: Kernel) -> Iterator[object]:
    """Run a guarded cell; afterwards the kernel must answer, and be the same."""

    def run(arguments: str, code: str) -> Cell:
        return page.run(f"%%mtcnn_guard {arguments}\n{code}")

    yield run
    assert page.run("print(os.getpid() == kernel, image.sum())").stdout == "True 1128\n"


# -- a cell that is well --------------------------------------------------------------------------


def test_values_go_in_and_come_back(page: Kernel, guarded) -> None:
    cell = guarded(
        "-i image -o boxes,where,many",
        "boxes = image.astype('float32') * 2\nimage[:] = 0\nwhere = {'pid': os.getpid()}\n"
        "many = [boxes[0], boxes[1]]",
    )
    assert cell.status == "ok", cell
    told = page.run(
        "print(boxes.sum(), boxes.dtype, boxes.flags.writeable, boxes.flags.owndata,\n"
        "      where['pid'] != kernel, many[1].shape)"
    )
    # Not its own data: the array lies in the memory that the child has written to.
    assert told.stdout == "2256.0 float32 True False True (4, 3)\n"


def test_it_appears_as_if_it_ran_here(guarded) -> None:
    cell = guarded(
        "",
        "class Picture:\n    def _repr_png_(self): return b'png'\n"
        "print('out')\nprint('err', file=sys.stderr)\nos.write(1, b'native\\n')\n"
        "warnings.warn('careful')\ndisplay(Picture())\nPath('x') / 'y'",
    )
    assert cell.stdout == "out\nnative\n"
    assert cell.stderr.startswith("err\n")
    assert "UserWarning: careful" in cell.stderr
    assert cell.shown[0]["image/png"] == "cG5n"
    assert cell.result["text/plain"] == "PosixPath('x/y')"


def test_a_cell_that_awaits(page: Kernel, guarded) -> None:
    cell = guarded(
        "-o late", "import asyncio\nlate = await asyncio.sleep(0.01, 5)\nawait asyncio.sleep(0, 6)"
    )
    assert cell.status == "ok", cell
    assert cell.result["text/plain"] == "6"
    assert page.run("print(late)").stdout == "5\n"


def test_an_exception_has_its_own_traceback(guarded) -> None:
    cell = guarded("", "def divide(a):\n    return a / 0\ndivide(1)")
    assert "ZeroDivisionError" in cell.error
    assert "return a / 0" in cell.traceback
    assert "mtcnn_doctor" not in cell.traceback
    assert "-i image" in guarded("", "print(image)").traceback


def test_what_cannot_be_handed_over_is_said(page: Kernel, guarded) -> None:
    assert "q is not defined" in guarded("-o q", "x = 1").traceback
    assert "cannot be handed over" in guarded("-o q", "q = lambda: 1").traceback
    guarded("-o good,q", "good = 5\nq = lambda: 1")
    assert page.run("print(good); del good").stdout == "5\n"
    # The kernel gets no package that it has not imported itself.
    cell = guarded("-o q", "import mailbox\nq = mailbox.Maildir")
    assert "mailbox is not imported in this kernel" in cell.error
    assert "File " not in cell.traceback
    page.run("lock = __import__('threading').Lock()\ndef mine(): return 1")
    assert "define it in the cell" in guarded("-i mine", "mine()").stderr
    assert "lock cannot be handed over" in guarded("-i image,lock", "x = 1").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("-i nothing", "x = 1", "no variable nothing"),
        ("-i a-b", "x = 1", "a-b is no variable's name"),
        ("--memory lots", "x = 1", "give a size such as 4G"),
        ("--timeout -1", "x = 1", "positive number"),
        ("--nope", "x = 1", "unrecognized arguments"),
        ("", "%time x = 1", "no other magic"),
    ],
)
def test_bad_input(guarded, arguments: str, code: str, words: str) -> None:
    cell = guarded(arguments, code)
    assert cell.status == "error"
    assert words in cell.stderr + cell.error
    assert "File " not in cell.traceback


# -- a cell that dies -----------------------------------------------------------------------------


def test_a_null_pointer(guarded) -> None:
    cell = guarded("-i image", "import ctypes\n\nctypes.string_at(0)")
    assert cell.error == "CellDied: the cell died of SIGSEGV"
    assert "line 3: ctypes.string_at(0)" in cell.result["text/plain"]
    assert "139" in cell.result["text/plain"]
    assert "<guarded cell>:3 <module>" in cell.result["text/plain"]
    assert "%mtcnn_doctor bench --backend all --bisect" in cell.result["text/plain"]
    assert "SIGSEGV" in cell.result["text/html"]


def test_an_abort_in_a_function(guarded) -> None:
    cell = guarded("", "def end():\n    os.abort()\nend()")
    assert "died of SIGABRT" in cell.error
    assert "<guarded cell>:2 end" in cell.result["text/plain"]


def test_an_endless_loop(guarded) -> None:
    cell = guarded("--timeout 3", "def turn():\n    while True:\n        pass\nturn()")
    assert "had not ended after 3 s" in cell.error
    assert "turn" in cell.result["text/plain"]


def test_too_much_memory(guarded) -> None:
    # Memory that no limit of the process counts, but the system's killer does.
    code = "import mmap\nheld = []\nwhile True:\n    held.append(mmap.mmap(-1, 1 << 24))\n"
    cell = guarded("--memory 300M", code + "    held[-1].write(b'x' * (1 << 24))")
    assert "took more memory than allowed" in cell.error
    cell = guarded("--memory 300M", "held = np.ones(1 << 28)")
    assert "MemoryError" in cell.error
    assert "--memory allows 300 MiB" in cell.traceback


def test_an_early_exit(guarded) -> None:
    assert "exit code 3" in guarded("", "os._exit(3)").error


def test_the_stop_button(page: Kernel, guarded) -> None:
    stop = threading.Timer(2, page.stop)
    stop.start()
    cell = guarded("", "import time\nprint('begun')\ntime.sleep(600)")
    stop.cancel()
    assert cell.error.startswith("KeyboardInterrupt")
    assert cell.stdout == "begun\n"


# -- a variable looked at -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(page: Kernel) -> Kernel:
    """Four pictures of the same people, of which one is as it should be."""
    folder = Path(__file__).parent.parent / "reference_images"
    cell = page.run(
        f"import cv2; bgr = cv2.imread({str(folder / 'border_faces.png')!r})\n"
        "good = np.ascontiguousarray(bgr[..., ::-1])\n"
        "grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)\n"
        "unit = (good / 255).astype('float32')\n"
        "view = bgr[..., ::-1]\nnone = cv2.imread('nowhere.png')"
    )
    assert cell.status == "ok", cell
    return page


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("good", None),
        ("bgr", "channel-order"),
        ("grey", "image-grayscale"),
        ("unit", "image-range"),
        ("view", "image-layout"),
    ],
)
def test_a_variable_gets_the_right_answer(pictures: Kernel, name: str, id: str | None) -> None:
    cell = pictures.run(f"%mtcnn_inspect {name} --subject none")
    assert cell.status == "ok", cell
    findings = cell.result[REPORT]["findings"]
    problems = [f for f in findings if f["severity"] in ("error", "warning")]
    assert [f["id"] for f in problems] == ([] if id is None else [id])
    assert ".npy" not in cell.result["text/plain"]
    assert all(f["about"] == name for f in problems)


def test_the_faces_are_drawn_on_the_page(pictures: Kernel) -> None:
    assert pictures.complete("%mtcnn_inspect uni") == ["unit"]
    assert "--subject" in pictures.complete("%mtcnn_inspect unit --su")
    cell = pictures.run("found = %mtcnn_inspect unit --subject none\nfound")
    assert "src='data:image/png;base64,iVBOR" in cell.result["text/html"]
    assert "drawn" not in cell.result["text/plain"]
    names = "print(list(found.pictures), found.pictures['unit'][1:4])"
    assert pictures.run(names).stdout == "['unit'] b'PNG'\n"


def test_a_plan_and_a_sweep_are_objects(pictures: Kernel) -> None:
    cell = pictures.run("plan = %mtcnn_doctor plan 640x480 --no-time\nplan")
    assert "640x480" in cell.result["text/plain"]
    assert pictures.run("print(plan.data['width'])").stdout == "640\n"
    photo = Path(__file__).parent.parent / "reference_images" / "portrait.png"
    line = f"%mtcnn_doctor sweep blur {photo} --values 0,2 --backend numpy --runs 1"
    cell = pictures.run(line)
    assert "src='data:image/svg+xml;base64," in cell.result["text/html"]
    assert cell.result[REPORT]["values"] == [0, 2]
    assert "no file nope.png" in pictures.run("%mtcnn_doctor plan nope.png").stderr


def test_what_lint_says_is_an_object_as_well(pictures: Kernel, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("def f(:\n")
    (tmp_path / "more.py").write_text("import cv2\n")
    cell = pictures.run(f"found = %mtcnn_doctor lint {tmp_path}\nfound")
    assert "0 errors" in cell.result["text/plain"]
    assert pictures.run("print(len(found.data['files']))").stdout == "1\n"


def test_what_is_no_image(pictures: Kernel) -> None:
    assert "cv2.imread returns that" in pictures.run("%mtcnn_inspect none").stderr
    assert "no variable nope" in pictures.run("%mtcnn_inspect nope").stderr
    assert "name a variable" in pictures.run("%mtcnn_inspect").stderr
    assert "image = them[0]" in pictures.run("them = [good]\n%mtcnn_inspect them").stderr


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are not to be seen")
def test_no_memory_is_left_behind(page: Kernel) -> None:
    count = (
        "import pathlib, gc; gc.collect()\n"
        "print(sum('mtcnn-doctor' in str(p.readlink()) for p in pathlib.Path('/proc/self/fd')"
        ".iterdir() if p.is_symlink()))"
    )
    before = int(page.run(count).stdout)
    page.run("%%mtcnn_guard -i image -o other\nother = image * 2")
    # One that would be left by a death, too.
    page.run("%%mtcnn_guard -i image\nimport os; os._exit(1)")
    # It lives as long as the array in it, and no longer.
    assert int(page.run(count).stdout) == before + 1
    assert int(page.run(f"del other\n{count}").stdout) == before
