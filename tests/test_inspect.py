"""``inspect``: each input fault gives its id and nothing else; the good images give none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy
import pytest

from mtcnn_doctor import registry
from mtcnn_doctor.examine import judge_facts
from mtcnn_doctor.gallery import bundled
from mtcnn_doctor.report.json_report import schema
from mtcnn_doctor.target.probes.array import describe

from .conftest import Doctor
from .input_faults import PORTRAIT, arrays, encoded, files, huge, portrait, write

pytest.importorskip("cv2")
pytest.importorskip("PIL")

PACKAGE_FREE = ("--subject", "none")
#: TensorFlow takes seconds to be imported; the first test has it.
QUICK = (*PACKAGE_FREE, "--decoder", "cv2", "--decoder", "PIL")


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], dict[str, Any]]:
    """The ids that are wanted of each file, and the report on all of them."""
    folder = tmp_path_factory.mktemp("faults")
    wanted = write(folder)
    done = subprocess.run(
        [sys.executable, "-m", "mtcnn_doctor", "inspect", folder, *PACKAGE_FREE,
         "--format", "json"],
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    return wanted, json.loads(done.stdout)


def problems(report: dict[str, Any]) -> dict[str, list[str]]:
    """The ids of errors and warnings by what they are about."""
    found: dict[str, list[str]] = {}
    for finding in report["findings"]:
        if finding["severity"] in ("error", "warning"):
            found.setdefault(finding["about"], []).append(finding["id"])
    return found


def test_each_file_gives_its_id_and_nothing_else(
    inspected: tuple[dict[str, str], dict[str, Any]],
) -> None:
    wanted, report = inspected
    jsonschema.validate(report, schema())
    assert len([name for name, id in wanted.items() if id]) > 40
    assert problems(report) == {name: [id] for name, id in wanted.items() if id}
    assert report["incomplete"] == []


def test_what_mends_an_array_was_run_and_shows_the_face(
    inspected: tuple[dict[str, str], dict[str, Any]],
) -> None:
    _, report = inspected
    looks = {look["name"]: look for look in report["facts"]["looks"]}
    for name in ("chw", "batch", "grey", "rgba", "unit", "signed", "uint16", "int64", "nan"):
        look = looks[f"{name}.npy"]
        assert look["repairs"], name
        assert look["refused"], name
        assert len(look["faces"]) == 1, name
        assert look["faces"][0]["confidence"] > 0.99, name


def test_loaders_disagree_where_they_should(
    inspected: tuple[dict[str, str], dict[str, Any]],
) -> None:
    _, report = inspected
    shapes = {
        (row["name"], row["decoder"]): (row["array"] or {}).get("shape")
        for row in report["facts"]["decodings"]
    }
    assert shapes["alpha.png", "cv2"] == [256, 256, 3]
    assert shapes["alpha.png", "PIL"] == [256, 256, 4]
    assert shapes["grey.png", "PIL"] == [256, 256]
    assert shapes["cmyk.jpg", "PIL"] == [256, 256, 4]


@pytest.mark.parametrize("name", arrays())
def test_arrays_as_they_lie_in_memory(name: str) -> None:
    """The way a notebook asks: facts of a live array, judged without a child."""
    make, wanted = arrays()[name]
    if wanted == "channel-order":
        pytest.skip("takes a run of the reference")
    facts = {"images": [], "arrays": [describe(make(), name)]}
    checks = [check for check in registry.load(()).checks if check.family == "input"]
    report = judge_facts(facts, checks, expect_gpu=False, command=[], plugin_failures=[])
    assert [f.id for f in report.findings if f.is_problem] == ([wanted] if wanted else [])


def test_none_is_told_as_none() -> None:
    checks = [check for check in registry.load(()).checks if check.family == "input"]
    facts = {"images": [], "arrays": [describe(None, "image"), describe("a.jpg", "path")]}
    report = judge_facts(facts, checks, expect_gpu=False, command=[], plugin_failures=[])
    titles = [f.title for f in report.findings if f.is_problem]
    assert titles == ["image is None", "path is no array"]


def test_the_bundled_images_are_healthy(doctor: Doctor, tmp_path: Path) -> None:
    paths = [picture.path for picture in bundled()]
    answer = doctor("inspect", *paths, *QUICK, "--draw", tmp_path, "--format", "json")
    assert answer.code == 0, answer.err
    assert answer.findings() == []
    looks = {look["name"]: len(look["faces"]) for look in answer.report["facts"]["looks"]}
    assert looks == {
        "portrait.png": 1, "no_face.png": 0, "crowd.png": 16, "small_faces.png": 30,
        "border_faces.png": 9,
    }  # fmt: skip
    drawn = sorted(tmp_path.glob("*.png"))
    assert len(drawn) == 5
    assert not list(tmp_path.glob("*.part"))


def test_the_drawing_shows_box_and_confidence(doctor: Doctor, tmp_path: Path) -> None:
    from PIL import Image

    out = tmp_path / "out.png"
    answer = doctor("inspect", PORTRAIT, *QUICK, "--draw", out, "--format", "json")
    (face,) = answer.report["facts"]["looks"][0]["faces"]
    with Image.open(out) as image:
        assert image.size == (512, 512)
        pixels = numpy.asarray(image)
    x, y, width, height = (round(value) for value in face["box"])
    for row, column in ((y, x + width // 2), (y + height, x + 3), (y + height // 2, x)):
        assert pixels[row, column].tolist() == [0, 255, 0]
    eye = face["keypoints"]["left_eye"]
    assert pixels[round(eye[1]), round(eye[0])].tolist() == [255, 0, 0]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space")
def test_100_megapixels_under_a_memory_limit(doctor: Doctor, tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(huge())
    answer = doctor(
        "inspect", path, *QUICK, "--format", "json",
        prefix=("bash", "-c", 'ulimit -v 4000000; exec "$@"', "limited"),
    )  # fmt: skip
    assert problems(answer.report) == {"huge.png": ["image-size"]}
    (finding,) = answer.findings("error")
    assert finding["title"] == (
        "huge.png is 10000×10000 pixels (100 megapixels): more than fits into memory"
    )
    assert "Faces of less than 104 pixels of the original are lost" in finding["remedy"]["text"]
    assert answer.report["facts"]["decodings"] == []


def test_a_file_that_kills_the_decoder_is_a_finding_and_the_rest_goes_on(
    doctor: Doctor, tmp_path: Path, patch_module: Callable[[str, str], dict[str, str]]
) -> None:
    for name in ("a.png", "bad.png", "c.png"):
        (tmp_path / name).write_bytes(encoded(portrait(), "PNG"))
    crash = """
        import ctypes
        read = module.imread
        module.imread = lambda path: ctypes.string_at(0) if "bad" in path else read(path)
    """
    answer = doctor(
        "inspect", tmp_path, *QUICK, "--format", "json",
        environment=patch_module("cv2", crash),
    )  # fmt: skip
    rows = {
        (row["name"], row["decoder"]): row["error"] for row in answer.report["facts"]["decodings"]
    }
    assert rows["bad.png", "cv2"] == "the process ended with SIGSEGV"
    assert rows["a.png", "cv2"] is rows["c.png", "cv2"] is rows["bad.png", "PIL"] is None


def test_text_names_the_line_that_mends(doctor: Doctor, tmp_path: Path) -> None:
    numpy.save(tmp_path / "unit.npy", portrait().astype("float32") / 255)
    answer = doctor("inspect", tmp_path / "unit.npy")
    assert answer.code == 1
    assert 'fix                image = (image * 255).astype("uint8")' in answer.out
    assert "facenet-pytorch 2.6.0 finds nothing, and says nothing" in answer.out
    assert "reference          1 face" in answer.out


def test_bad_usage_is_one_line(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.png").write_bytes(encoded(portrait(), "PNG"))
    for arguments, said in (
        ((tmp_path / "absent.png",), "no file or folder"),
        ((tmp_path / "empty",), "holds no images, arrays or videos"),
        ((tmp_path / "a.png", "--draw", tmp_path / "x" / "o.png"), "its folder does not exist"),
        ((tmp_path / "a.png", "--draw", "o.jpg"), "ends in .png"),
        ((tmp_path / "a.png", tmp_path / "a.png", "--draw", "o.png"), "name a folder"),
        ((tmp_path / "a.png", "--subject", "mtcn"), "no subject 'mtcn'"),
    ):
        answer = doctor("inspect", *arguments)
        assert answer.code == 2, arguments
        assert said in answer.err.splitlines()[-1]
        assert "Traceback" not in answer.err


def test_a_stream_that_is_not_there_hides_its_password(doctor: Doctor) -> None:
    address = "rtsp://user:s3cr3t@127.0.0.1:9/live"
    answer = doctor("inspect", address, *QUICK, "--format", "json", "--timeout", "30")
    assert answer.code == 1
    assert "s3cr3t" not in answer.out + answer.err
    (finding,) = answer.findings()
    assert finding["id"] == "image-unreadable"
    assert "FFMPEG" in finding["evidence"]["needed"]
    assert finding["evidence"]["backends"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/video")
def test_a_camera_that_is_not_there(doctor: Doctor) -> None:
    if os.path.exists("/dev/video97"):
        pytest.skip("there is such a camera")
    answer = doctor("inspect", "97", *QUICK)
    assert answer.code == 1
    assert "There is no /dev/video97" in answer.out


def test_frames_of_a_video_are_arrays(doctor: Doctor, tmp_path: Path) -> None:
    import cv2

    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (256, 256))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no video")
    for _ in range(4):
        writer.write(numpy.ascontiguousarray(portrait()[:, :, ::-1]))
    writer.release()
    answer = doctor("inspect", path, *QUICK, "--frames", "2", "--format", "json")
    assert answer.code == 0, answer.out
    (recording,) = answer.report["facts"]["recordings"]
    assert (recording["width"], recording["frames"], recording["codec"]) == (256, 2, "MJPG")
    assert [len(look["faces"]) for look in answer.report["facts"]["looks"]] == [1, 1]


def test_there_are_enough_faults() -> None:
    assert len(files()) + len(arrays()) >= 40


def test_files_of_arrays_are_never_unpickled(doctor: Doctor, tmp_path: Path) -> None:
    import pickle

    trace = tmp_path / "trace"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trace,)

    (tmp_path / "evil.npy").write_bytes(pickle.dumps(Evil()))
    numpy.save(tmp_path / "objects.npy", numpy.array([Evil()]), allow_pickle=True)
    numpy.savez(tmp_path / "more.npz", a=numpy.array([Evil()]), b=numpy.uint8(3), good=portrait())
    (tmp_path / "page.npy").write_bytes(b"<!DOCTYPE html><html></html>")
    (tmp_path / "zip.npz").write_bytes(b"PK\x03\x04" + bytes(60))
    trace.unlink(missing_ok=True)
    answer = doctor("inspect", tmp_path, *QUICK, "--format", "json")
    assert not trace.exists()
    assert problems(answer.report) == {
        "evil.npy": ["image-unreadable"],
        "objects.npy": ["image-dtype"],
        "more.npz['a']": ["image-dtype"],
        "more.npz['b']": ["image-shape"],
        "page.npy": ["image-unreadable"],
        "zip.npz": ["image-unreadable"],
    }
    assert answer.code == 1


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is said of the portrait's order in bad light, in tints, and in both orders."""
    import importlib.util

    path = Path(__file__).parent.parent / "benchmarks" / "channel_order.py"
    spec = importlib.util.spec_from_file_location("channel_order", path)
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    folder = tmp_path_factory.mktemp("orders")
    image, face = portrait().astype(float), [[95.0, 30.0, 60.0, 80.0]]
    chosen = {
        "as photographed": ("plain",), "skin tones": ("very dark", "pale"),
        "white light of 2500 to 20000 K": ("tungsten", "blue sky"),
        "coloured light": ("blue",), "coloured light on the faces alone": ("blue", "deep blue"),
        "tints and monochrome": ("monochrome", "strong sepia", "cyanotype"),
        "backgrounds": ("red", "blue"),
    }  # fmt: skip
    for group, labels in chosen.items():
        for label in labels:
            varied = benchmark.rounded(benchmark.VARIATIONS[group][label](image, face))
            stem = f"{group}-{label}".replace(" ", "_")
            (folder / f"{stem}+RGB.png").write_bytes(encoded(varied, "PNG"))
            reverse = numpy.ascontiguousarray(varied[:, :, ::-1])
            (folder / f"{stem}+BGR.png").write_bytes(encoded(reverse, "PNG"))
    done = subprocess.run(
        [sys.executable, "-m", "mtcnn_doctor", "inspect", folder, *QUICK, "--format", "json"],
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    return {look["name"]: look["order"] for look in json.loads(done.stdout)["facts"]["looks"]}


def test_the_order_is_never_wrong_where_it_is_claimed(orders: dict[str, str]) -> None:
    assert len(orders) == 26
    wrong = [
        (name, answer)
        for name, answer in orders.items()
        if answer not in (name.rsplit("+", 1)[1].split(".")[0], "cannot tell")
    ]
    assert wrong == []
    assert orders["as_photographed-plain+RGB.png"] == "RGB"
    assert orders["as_photographed-plain+BGR.png"] == "BGR"


def test_of_a_monochrome_or_tinted_print_nobody_can_tell(orders: dict[str, str]) -> None:
    for name in ("monochrome", "strong_sepia", "cyanotype"):
        for order in ("RGB", "BGR"):
            assert orders[f"tints_and_monochrome-{name}+{order}.png"] == "cannot tell"


def test_faces_of_other_networks_stand_beside_the_published_ones(
    doctor: Doctor, tmp_path: Path
) -> None:
    import mtcnn_doctor

    weights = Path(mtcnn_doctor.__file__).parent / "target" / "reference" / "weights.safetensors"
    content = weights.read_bytes()
    length = int.from_bytes(content[:8], "little")
    bias = json.loads(content[8 : 8 + length])
    name = next(key for key in bias if key.startswith("onet") and bias[key]["shape"] == [2])
    start, stop = (8 + length + place for place in bias[name]["data_offsets"])
    blind = tmp_path / "blind.safetensors"
    # O-Net is made sure that nothing is a face.
    numbers = numpy.array([100, -100], numpy.float32).tobytes()
    assert stop - start == len(numbers)
    blind.write_bytes(content[:start] + numbers + content[stop:])
    answer = doctor("inspect", PORTRAIT, *QUICK, "--weights", blind, "--format", "json")
    [look] = answer.report["facts"]["looks"]
    assert (look["faces"], look["faces_published"]) == ([], 1)
    text = doctor("inspect", PORTRAIT, *QUICK, "--weights", blind)
    assert "0 faces with these weights, 1 with the published ones" in text.out
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing of the kind")
    refused = doctor("inspect", PORTRAIT, *QUICK, "--weights", broken, "--quiet")
    assert refused.code == 2
    assert refused.err.startswith("error: --weights ")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("/dev/null", "not a regular file"),
        ("", "an empty name"),
        ("https://example.org/a.jpg?x=1", "is an image; download it"),
    ],
)
def test_what_is_neither_file_nor_camera(doctor: Doctor, given: str, words: str) -> None:
    answer = doctor("inspect", given)
    assert answer.code == 2
    assert words in answer.err
    assert len(answer.err.splitlines()) == 1
