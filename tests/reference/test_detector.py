"""The library's door: what people meet who import the detector into their own program."""

from __future__ import annotations

import copy
import importlib
import json
import multiprocessing
import os
import pickle
import re
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

from mtcnn_doctor import gallery, reference
from mtcnn_doctor.backends import BACKENDS
from mtcnn_doctor.reference import Box, Detector, Face, Keypoints, Point, read_image
from mtcnn_doctor.target.reference import cascade, networks

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "reference_images"
DOCS = ROOT / "docs" / "reference.md"


@pytest.fixture(scope="module")
def detector():
    with Detector("numpy", lanes=1) as made:
        yield made


@pytest.fixture(params=networks.BACKENDS)
def installed(request):
    """Name of a backend whose framework loads here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            importlib.import_module(BACKENDS[request.param].module)
        except ImportError as error:
            pytest.skip(f"{request.param} cannot be imported: {error}")
    return request.param


def test_every_backend_finds_the_expected_faces(installed, expected, images):
    entry = next(e for e in expected["images"] if e["file"] == "border_faces.png")
    tolerance = gallery.tolerance(installed)
    with Detector(installed) as made:
        assert made.backend == installed
        found = made.detect(images["border_faces.png"]).to_dicts()
    assert len(found) == len(entry["faces"])
    for face in entry["faces"]:
        nearest = min(found, key=lambda f: np.abs(np.subtract(f["box"], face["box"])).sum())
        assert nearest["box"] == pytest.approx(face["box"], abs=tolerance["box_px"])
        assert nearest["confidence"] == pytest.approx(
            face["confidence"], abs=tolerance["confidence"]
        )


def test_auto_takes_the_fastest_that_is_installed(images):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Detector() as made:
            here = [n for n in reference.FASTEST_FIRST if n in networks.BACKENDS]
            loadable = [n for n in here if importlib.util.find_spec(BACKENDS[n].module)]
            assert made.backend == loadable[0]
            assert len(made.detect(images["portrait.png"]).faces) == 1


def test_the_order_of_auto_knows_every_backend():
    assert set(networks.BACKENDS) <= set(reference.FASTEST_FIRST)


def test_auto_imports_no_more_than_it_takes_and_says_what_is_broken(tmp_path):
    # Broken frameworks in front of the installed ones on the path.
    for name in ("openvino", "torch", "onnxruntime", "cv2", "tensorflow", "ai_edge_litert"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('libquux.so.1: cannot open')\n")
    program = (
        "import sys, warnings\n"
        "from mtcnn_doctor.reference import Detector\n"
        "with warnings.catch_warnings(record=True) as said:\n"
        "    warnings.simplefilter('always')\n"
        "    print(Detector().backend)\n"
        "print(*{'openvino', 'torch', 'onnxruntime', 'tensorflow'} & set(sys.modules))\n"
        "print([str(warning.message) for warning in said if 'torch is' in str(warning.message)])\n"
    )
    done = run(program, PYTHONPATH=str(tmp_path))
    backend, modules, said = done.splitlines()
    assert (backend, modules) == ("numpy", "")
    assert "torch is installed but does not load (libquux.so.1: cannot open)" in said
    assert "mtcnn-doctor check tells why" in said


def test_a_missing_framework_is_an_error_with_the_command():
    # -I keeps the working directory out; the site-packages with the frameworks stay out by -S.
    program = (
        f"import sys; sys.path[:0] = {[str(ROOT), str(Path(np.__file__).parents[1] / 'none')]!r}\n"
        "import importlib.machinery as m\n"
        f"sys.path.append({str(Path(np.__file__).parents[1])!r})\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'torch': raise ModuleNotFoundError('No module torch')\n"
        "sys.meta_path.insert(0, Hide())\n"
        "from mtcnn_doctor.reference import Detector\n"
        "try: Detector('torch')\n"
        "except ImportError as error: print(error)\n"
    )
    assert run(program).strip() == (
        "backend 'torch' needs torch, which is not installed: pip install torch"
    )


def test_compiled_or_not_the_faces_are_the_same(images):
    pytest.importorskip("numba", exc_type=ImportError)
    for lanes in (1, 2):
        with Detector("numpy", lanes=lanes) as made, Detector("numpy", compiled=False) as plain:
            assert (made.compiled, plain.compiled) == (True, False)
            for image in images.values():
                one, other = made.detect(image), plain.detect(image)
                assert len(one.faces) == len(other.faces)
                for face, twin in zip(one.faces, other.faces, strict=True):
                    assert face.box == pytest.approx(twin.box, abs=0.01)
                    assert face.confidence == pytest.approx(twin.confidence, abs=1e-5)


def test_without_numba_nothing_is_compiled_and_asking_for_it_names_the_command():
    program = (
        "import sys; sys.modules['numba'] = None\n"
        "from mtcnn_doctor.reference import Detector\n"
        "try: Detector('numpy', compiled=True)\n"
        "except ImportError as error: print(error)\n"
        "print(Detector('numpy').compiled)\n"
    )
    message, compiled = run(program).splitlines()
    assert 'pip install "mtcnn-doctor[fast]"' in message
    assert compiled == "False"


def test_a_numba_that_does_not_fit_is_said_and_passed_over(tmp_path):
    broken = "raise ImportError('Numba needs NumPy 2.1 or less. Got NumPy 2.4.')\n"
    (tmp_path / "numba.py").write_text(broken)
    program = (
        "import warnings\n"
        "from mtcnn_doctor.reference import Detector\n"
        "with warnings.catch_warnings(record=True) as said:\n"
        "    warnings.simplefilter('always')\n"
        "    print(Detector('numpy').compiled, [str(warning.message) for warning in said])\n"
    )
    answer = run(program, PYTHONPATH=str(tmp_path))
    assert answer.startswith("False ")
    assert "numba is not used: Numba needs NumPy 2.1 or less" in answer


def test_compiled_where_nothing_can_be_written(tmp_path):
    """The compiler's outcome is kept beside the module or in the user's cache, if it can be."""
    pytest.importorskip("numba", exc_type=ImportError)
    blocked = tmp_path / "file"
    blocked.write_text("")
    program = (
        "import numpy as np\n"
        "from mtcnn_doctor.reference import Detector\n"
        "print(len(Detector('numpy', compiled=True).detect(np.zeros((40, 40, 3), 'u1')).faces))\n"
    )
    assert run(program, NUMBA_CACHE_DIR=str(blocked)).strip() == "0"


def run(program, **environment):
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


PIXELS = np.full((40, 50, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        ("photo.jpg", TypeError, "read_image(path)"),
        (Path("photo.jpg"), TypeError, "read_image(path)"),
        (b"\x89PNG", TypeError, "read_image(path)"),
        (None, TypeError, "cv2.imread gives None"),
        ([PIXELS], TypeError, "detect_many(images)"),
        (PIXELS[None], ValueError, "detect_many(images)"),
        (PIXELS[:, :, 0], ValueError, "np.stack([image] * 3, axis=-1)"),
        (PIXELS[:, :, :1], ValueError, "np.repeat(image, 3, axis=2)"),
        (np.zeros((40, 50, 4), np.uint8), ValueError, "image[..., :3]"),
        (PIXELS.transpose(2, 0, 1), ValueError, "image.transpose(1, 2, 0)"),
        (np.zeros((0, 50, 3), np.uint8), ValueError, "image is empty"),
        (PIXELS / 255, ValueError, "Multiply by 255"),
        (PIXELS / 127.5 - 1, ValueError, "expected 0 to 255"),
        (np.full((40, 50, 3), np.nan), ValueError, "NaN or infinity"),
        (np.full((40, 50, 3), np.inf, np.float32), ValueError, "NaN or infinity"),
        (PIXELS.astype(int), TypeError, "image.clip(0, 255).astype(np.uint8), scaled first"),
        (PIXELS.astype(np.uint16), TypeError, "(image // 257).astype(np.uint8)"),
        (PIXELS.astype(np.float16), TypeError, "image.astype(np.float32)"),
        (PIXELS > 3, TypeError, "image.astype(np.uint8) * 255"),
        (PIXELS.astype(complex), TypeError, "expected uint8, float32 or float64"),
        (PIXELS.astype(object), TypeError, "expected uint8, float32 or float64"),
    ],
    ids=lambda value: None if isinstance(value, (str, type)) else type(value).__name__,
)
def test_what_is_no_image_is_refused_with_the_way_out(detector, image, error, words):
    with pytest.raises(error, match=re.escape(words)):
        detector.detect(image)


def test_pillow_and_torch_images_are_told_how_to_become_arrays(detector):
    pillow = pytest.importorskip("PIL.Image")
    with pytest.raises(TypeError, match=re.escape('np.asarray(image.convert("RGB"))')):
        detector.detect(pillow.fromarray(PIXELS))
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=re.escape("image.permute(1, 2, 0).cpu().numpy()")):
        detector.detect(torch.zeros(3, 40, 50))


@pytest.mark.parametrize("shape", [(1, 1, 3), (12, 12, 3), (19, 300, 3), (20, 20, 3), (37, 41, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_images_of_any_size_have_an_answer(detector, shape, dtype):
    image = np.random.default_rng(2).integers(0, 256, shape).astype(dtype)
    before = image.copy()
    result = detector.detect(image)
    assert result.faces == ()
    assert bool(result.levels) == (min(shape[:2]) >= 20)
    assert np.array_equal(image, before)


def test_float_pixels_views_and_read_only_arrays_are_as_good(detector, images):
    image = images["portrait.png"]
    wanted = detector.detect(image)
    fixed = image.copy()
    fixed.setflags(write=False)
    wide = np.zeros((512, 1024, 4), np.uint8)
    wide[:, ::2, :3] = image
    for other in (fixed, np.asfortranarray(image), wide[:, ::2, :3]):
        assert detector.detect(other) == wanted
    near = detector.detect(image.astype(np.float32))
    assert near.faces[0].box == pytest.approx(wanted.faces[0].box, abs=0.05)


def test_bgr_is_rgb_turned_round(detector, images):
    image = images["small_faces.png"]
    with Detector("numpy", lanes=1, channels="bgr") as turned:
        assert turned.detect(image[..., ::-1]) == detector.detect(image)
        assert turned.detect(np.ascontiguousarray(image[..., ::-1])) == detector.detect(image)


def test_many_images_are_the_images_one_by_one(detector, images):
    several = [images["portrait.png"], PIXELS, images["small_faces.png"][:300, :400]]
    wanted = [detector.detect(image) for image in several]
    assert detector.detect_many(several) == wanted
    assert detector.detect_many(image for image in several) == wanted
    assert detector.detect_many(np.stack([PIXELS, PIXELS])) == [wanted[1]] * 2
    assert detector.detect_many([]) == []


def test_a_bad_image_among_many_is_named(detector):
    with pytest.raises(ValueError, match="image 1: image is empty"):
        detector.detect_many([PIXELS, PIXELS[:0]])
    with pytest.raises(ValueError, match=re.escape("for one image call detect(image)")):
        detector.detect_many(PIXELS)
    with pytest.raises(TypeError, match="images is a str"):
        detector.detect_many("folder")


def test_the_same_image_has_the_same_answer_in_any_order_and_thread(images):
    with Detector("numpy") as made:
        wanted = {name: made.detect(image) for name, image in images.items() if name != "crowd.png"}
        found = {}

        def work(name):
            found[name] = made.detect(images[name])

        threads = [threading.Thread(target=work, args=(name,)) for name in reversed(wanted)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == wanted


def test_settings_change_what_is_found(images):
    image = images["portrait.png"]
    with Detector("numpy", min_face_size=400) as large:
        assert large.detect(image).faces == ()
    with Detector("numpy", min_face_size=60, scale_factor=0.5) as coarse:
        result = coarse.detect(image)
        assert len(result.faces) == 1
        assert len(result.levels) == 4
    with Detector("numpy", thresholds=[0.6, 0.7, 1.0]) as never:
        assert never.detect(image).faces == ()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"backend": "caffe"}, ValueError, "unknown backend 'caffe'"),
        ({"backend": "numpy", "device": "abacus"}, ValueError, "abacus"),
        ({"device": "abacus"}, ValueError, "no backend can be used with device 'abacus'"),
        ({"threads": 0}, ValueError, "threads is 0"),
        ({"lanes": 1.5}, ValueError, "lanes is 1.5"),
        ({"weights": "/no/such.safetensors"}, ValueError, "/no/such.safetensors: cannot be read"),
        ({"min_face_size": -1}, ValueError, "min_face_size is -1"),
        ({"scale_factor": 1.0}, ValueError, "scale_factor is 1.0"),
        ({"thresholds": (0.5, 0.5)}, ValueError, "expected three"),
        ({"channels": "gbr"}, ValueError, "expected 'rgb' or 'bgr'"),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")
def test_wrong_parameters_are_named(options, error, words):
    with pytest.raises(error, match=re.escape(words)):
        Detector(**options)


def test_stages_show_what_the_networks_said(detector, images):
    image = images["portrait.png"]
    stages, result = detector.stages(image), detector.detect(image)
    assert [(level.height, level.width) for level in stages.pnet] == list(result.levels)
    for level in stages.pnet:
        grid = ((level.height - 1) // 2 - 4, (level.width - 1) // 2 - 4)
        assert (level.logits.shape, level.offsets.shape) == ((2, *grid), (4, *grid))
    assert len(stages.rnet.boxes) == len(stages.rnet.offsets) == result.candidates["pnet"]
    assert len(stages.onet.boxes) == result.candidates["rnet"]
    assert stages.onet.landmarks.shape == (result.candidates["rnet"], 10)
    # What the cascade reports is what the raw answers say.
    margin = stages.onet.logits[:, 1].astype(float) - stages.onet.logits[:, 0]
    assert 1 / (1 + np.exp(-margin.max())) == pytest.approx(result.faces[0].confidence, abs=1e-9)
    box, moves = stages.onet.boxes[margin.argmax()], stages.onet.offsets[margin.argmax()]
    assert box[0] + moves[0] * (box[2] - box[0] + 1) == pytest.approx(result.faces[0].box.x)


def test_stages_of_an_image_too_small_are_empty(detector):
    stages = detector.stages(PIXELS[:10])
    assert (stages.pnet, stages.rnet, stages.onet) == ([], None, None)


EYES = Keypoints(*(Point(float(i), float(i)) for i in range(5)))


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ((10, 10, 20, 20), (10, 10, 20, 20)),
        ((-4.5, 0.0, 20, 20), (1, 1, 14.5, 19)),
        ((90, 70, 20, 20), (90, 70, 10, 10)),
        ((-50, -50, 20, 20), (1, 1, 0, 0)),
        ((500, 10, 20, 20), (100, 10, 0, 20)),
    ],
)
def test_a_clipped_box_lies_on_the_image(box, clipped):
    face = Face(Box(*box), 0.9, EYES)
    assert face.clip(100, 80) == Face(Box(*clipped), 0.9, EYES)


def test_boxes_and_keypoints_point_at_the_documented_pixels(detector, images):
    image = images["portrait.png"]
    face = detector.detect(image).faces[0]
    moved = detector.detect(np.pad(image, ((7, 0), (11, 0), (0, 0)))).faces[0]
    assert moved.box.x - face.box.x == pytest.approx(11, abs=1.5)
    assert moved.box.y - face.box.y == pytest.approx(7, abs=1.5)
    # The pupils are the darkest things near the eyes: below any cheek.
    gray = image.mean(axis=2)
    for eye in (face.keypoints.left_eye, face.keypoints.right_eye):
        x, y = round(eye.x), round(eye.y)
        assert gray[y - 3 : y + 4, x - 3 : x + 4].min() < 90


def test_results_become_json_in_the_form_of_the_reports(detector, images):
    found = json.loads(json.dumps(detector.detect(images["portrait.png"]).to_dicts()))
    assert [sorted(face) for face in found] == [["box", "confidence", "keypoints"]]
    assert list(found[0]["keypoints"]) == list(cascade.KEYPOINTS)


def test_a_detector_is_not_pickled_nor_copied(detector):
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="Make one in each process"):
            attempt(detector)


def test_a_closed_detector_says_so(images):
    made = Detector("numpy")
    with made:
        pass
    made.close()
    assert "closed" in repr(made)
    with pytest.raises(ValueError, match="this detector is closed"):
        made.detect(PIXELS)


def _ask(made, answers):
    try:
        made.detect(PIXELS)
        answers.put("an answer")
    except RuntimeError as error:
        answers.put(str(error))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_after_a_fork_there_is_an_error_and_no_hang():
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    with Detector("numpy", threads=2) as made:
        made.detect(PIXELS)
        child = context.Process(target=_ask, args=(made, answers))
        child.start()
        child.join(60)
        assert child.exitcode == 0
    assert "make a Detector in each process" in answers.get()


def test_reading_a_file_that_is_no_image_names_it(tmp_path):
    with pytest.raises(reference.PictureError, match=r"nothing\.png: cannot be read"):
        read_image(tmp_path / "nothing.png")


def blocks():
    text = DOCS.read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_documented_examples_run(tmp_path):
    """All blocks of docs/reference.md, one after the other, in a folder with a photo.png."""
    (tmp_path / "photo.png").write_bytes((IMAGES / "border_faces.png").read_bytes())
    program = tmp_path / "examples.py"
    program.write_text("\n".join(blocks()), encoding="utf-8")
    assert len(blocks()) >= 5
    done = subprocess.run(
        [sys.executable, program],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "confidence" in done.stdout
