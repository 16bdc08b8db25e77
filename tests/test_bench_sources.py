"""What ``bench`` can be pointed at: videos, cameras, streams, made-up scenes, other sizes."""

from __future__ import annotations

import functools
import http.server
import itertools
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from mtcnn_doctor.errors import UsageError
from mtcnn_doctor.gallery import bundled
from mtcnn_doctor.investigate.bench_source import parse_size, public_name, source_of
from mtcnn_doctor.report.json_report import schema

from .conftest import Doctor

PORTRAIT = next(picture.path for picture in bundled() if picture.name == "portrait.png")
SECRET = "s3cr3t"
QUICK = ("--backend", "numpy", "--runs", "1", "--warmup", "0")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A video of eight frames: the portrait, wandering to the right."""
    cv2 = pytest.importorskip("cv2")
    numpy = pytest.importorskip("numpy")
    path = tmp_path / "clip.avi"
    picture = cv2.resize(cv2.imread(str(PORTRAIT)), (256, 256), interpolation=cv2.INTER_AREA)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (320, 256))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no video")
    for number in range(8):
        frame = numpy.full((256, 320, 3), 90, numpy.uint8)
        frame[:, 8 * number : 8 * number + 256] = picture
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """An HTTP server for the folder; gives host and port."""
    handler = functools.partial(_Silent, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


def test_frames_are_taken_from_all_over_a_video(doctor: Doctor, video: Path) -> None:
    answer = doctor("bench", *QUICK, "--source", video, "--frames", "4", "--format", "json")
    assert answer.code == 0
    jsonschema.validate(answer.report, schema())
    (run,) = answer.report["runs"]
    assert [image["image"] for image in run["images"]] == [f"clip.avi #{n}" for n in (1, 2, 3, 4)]
    assert all((i["width"], i["height"], i["faces"]) == (320, 256, 1) for i in run["images"])
    assert answer.report["facts"]["source"]["frame_numbers"] == [0, 2, 4, 6]
    boxes = [face["box"][0] for face in run["detections"]]
    # Two frames on, sixteen pixels further right.
    assert all(12 < later - earlier < 20 for earlier, later in itertools.pairwise(boxes))


def test_a_video_shorter_than_asked_says_so(doctor: Doctor, video: Path) -> None:
    answer = doctor("bench", *QUICK, "--source", video, "--frames", "50")
    assert answer.code == 0
    assert "clip.avi: 8 frames of the 50 asked for" in answer.out


def test_a_file_that_is_no_video(doctor: Doctor, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"this is no video" * 100)
    answer = doctor("bench", *QUICK, "--source", path)
    assert answer.code == 2
    assert answer.err.startswith("error: --source broken.mp4: it cannot be opened; check that")
    assert answer.err.count("\n") == 1


def test_a_video_without_opencv(doctor: Doctor, video: Path, customize) -> None:
    hidden = customize(
        """
        import importlib.abc, sys
        class Hide(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path, target=None):
                if name == "cv2":
                    raise ModuleNotFoundError("No module named 'cv2'", name="cv2")
        sys.meta_path.insert(0, Hide())
        """
    )
    answer = doctor("bench", *QUICK, "--source", video, environment=hidden)
    assert answer.code == 2
    assert "clip.avi is a video, which takes OpenCV to read" in answer.err
    assert "pip install opencv-python-headless" in answer.err


def test_opencv_that_crashes_on_a_video_is_one_line(
    doctor: Doctor, video: Path, patch_module
) -> None:
    crash = "import ctypes\nmodule.VideoCapture = lambda *a, **k: ctypes.string_at(0)"
    answer = doctor("bench", *QUICK, "--source", video, environment=patch_module("cv2", crash))
    assert answer.code == 2
    assert "ended with SIGSEGV" in answer.err
    assert "Traceback" not in answer.err


def test_opencv_that_hangs_on_a_video_is_given_up(
    doctor: Doctor, video: Path, patch_module
) -> None:
    hang = "import time\nmodule.VideoCapture = lambda *a, **k: time.sleep(600)"
    answer = doctor(
        "bench", *QUICK, "--source", video, "--timeout", "5", environment=patch_module("cv2", hang)
    )
    assert answer.code == 2
    assert "no answer within 5 s" in answer.err


def test_a_camera_that_is_not_there(doctor: Doctor) -> None:
    pytest.importorskip("cv2")
    answer = doctor("bench", *QUICK, "--source", "99")
    assert answer.code == 2
    assert "--source camera 99: it cannot be opened; check that the camera" in answer.err


def test_a_stream_is_read_and_its_password_is_never_shown(
    doctor: Doctor, video: Path, web: str, tmp_path: Path
) -> None:
    assert video.is_file()
    address = f"http://admin:{SECRET}@{web}/clip.avi?token={SECRET}2"
    report = tmp_path / "report.json"
    answer = doctor(
        "bench", *QUICK, "--source", address, "--frames", "2", "--format", "json", "-o", report
    )
    text = report.read_text(encoding="utf-8") if report.exists() else ""
    assert SECRET not in answer.out + answer.err + text
    assert answer.code == 0, answer.err
    assert "clip.avi?token=<hidden>" in text
    assert '"frames": 2' in text
    shown = doctor("bench", *QUICK, "--source", address, "--frames", "2")
    assert SECRET not in shown.out + shown.err
    assert f"http://<hidden>@{web}/clip.avi?token=<hidden>: 2 frames" in shown.out


@pytest.mark.parametrize("listening", [True, False], ids=["mute", "refused"])
def test_a_stream_that_cannot_be_reached(doctor: Doctor, listening: bool) -> None:
    pytest.importorskip("cv2")
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        if listening:
            mute.listen()  # accepts, and never says a word
        address = f"rtsp://admin:{SECRET}@127.0.0.1:{mute.getsockname()[1]}/live"
        answer = doctor("bench", *QUICK, "--source", address, "--timeout", "6")
    assert answer.code == 2
    assert "error: --source rtsp://<hidden>@127.0.0.1" in answer.err
    assert "check the address, the password and the network" in answer.err
    assert SECRET not in answer.out + answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("rtsp://cam.example/live", "rtsp://cam.example/live"),
        ("rtsp://u:p@cam.example:554/a", "rtsp://<hidden>@cam.example:554/a"),
        ("rtsp://u:p/w@x?y@cam.example/a", "rtsp://<hidden>@cam.example/a"),
        ("rtsp://:pw@cam.example", "rtsp://<hidden>@cam.example"),
        ("http://cam/v?user=me&password=pw&ch=1", "http://cam/v?user=<hidden>&password=<hidden>&ch=1"),
        ("rtsp://cam/user=me_pw_channel=1/x", "rtsp://cam/user=<hidden>/x"),
    ],
)  # fmt: skip
def test_what_may_be_shown_of_an_address(address: str, name: str) -> None:
    assert public_name(address) == name


def test_the_synthetic_scene_holds_faces_and_is_always_the_same(doctor: Doctor) -> None:
    arguments = (
        "bench", *QUICK, "--source", "synthetic", "--size", "800x600", "--faces", "5",
        "--format", "json",
    )  # fmt: skip
    first, second = doctor(*arguments), doctor(*arguments)
    assert first.code == 0
    image = first.run("numpy")["images"][0]
    assert (image["width"], image["height"]) == (800, 600)
    assert image["faces"] == 5
    assert first.run("numpy")["detections"] == second.run("numpy")["detections"]
    sizes = [face["box"][2] for face in first.run("numpy")["detections"]]
    assert max(sizes) > 1.3 * min(sizes)


def test_a_crowd(doctor: Doctor) -> None:
    answer = doctor("bench", *QUICK, "--source", "synthetic", "--faces", "200", "--format", "json")
    assert answer.run("numpy")["images"][0]["faces"] > 120


def test_a_scene_without_faces(doctor: Doctor) -> None:
    answer = doctor("bench", *QUICK, "--source", "synthetic", "--faces", "0", "--format", "json")
    assert answer.code == 0
    assert answer.run("numpy")["images"][0]["faces"] == 0


def test_size_keeps_proportions_unless_told_not_to(doctor: Doctor, tmp_path: Path) -> None:
    shutil.copy(PORTRAIT, tmp_path / "square.png")
    sizes = {}
    for size in ("400x300", "400x300!", "1000x2000"):
        answer = doctor(
            "bench", *QUICK, "--source", tmp_path / "square.png", "--size", size, "--format", "json"
        )
        assert answer.code == 0
        image = answer.run("numpy")["images"][0]
        assert image["faces"] == 1
        sizes[size] = (image["width"], image["height"])
    assert sizes == {"400x300": (300, 300), "400x300!": (400, 300), "1000x2000": (1000, 1000)}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"given": None, "size": "12"}, "--size 12"),
        ({"given": None, "size": "0x10"}, "at least 1"),
        ({"given": None, "size": "90000x10"}, "at most"),
        ({"given": "synthetic", "faces": 5000}, "do not fit"),
        ({"given": "synthetic", "frames": 5}, "one image"),
        ({"given": None, "faces": 3}, "--faces goes with"),
        ({"given": str(PORTRAIT), "frames": 3}, "--frames is for videos"),
        ({"given": "nowhere.png"}, "no file or folder nowhere.png"),
    ],
)
def test_options_that_make_no_sense(arguments: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        source_of(**arguments)


def test_sizes() -> None:
    assert parse_size("1280x720") == ((1280, 720), False)
    assert parse_size("1280X720!") == ((1280, 720), True)
