"""``lint``: each rule finds its fault, its fix mends it, and good code is left alone."""

from __future__ import annotations

import ast
import json
import textwrap
from pathlib import Path

import pytest

from mtcnn_doctor.lint import Problem, Unit, lint, rules
from mtcnn_doctor.lint.edits import applied, diff

from .conftest import Doctor

MTCNN_1, MTCNN_0 = {"mtcnn": "1.0.0"}, {"mtcnn": "0.1.1"}
FACENET = {"facenet-pytorch": "2.6.0"}

#: Ends in "# <rule>" on the line where the rule is to speak.
FAULTS = {
    "unchecked": """
        import cv2
        from facenet_pytorch import MTCNN
        detector = MTCNN()
        image = cv2.imread(path)  # lint-imread-unchecked
        boxes, _ = detector.detect(image)  # lint-bgr
        """,
    "grey": """
        import cv2
        from mtcnn import MTCNN
        image = cv2.imread("a.jpg", cv2.IMREAD_GRAYSCALE)  # lint-grayscale
        if image is None:
            raise SystemExit
        MTCNN().detect_faces(image)
        """,
    "grey by number": """
        import cv2
        from mtcnn import MTCNN
        image = cv2.imread("a.jpg", 0)  # lint-grayscale
        assert image is not None
        MTCNN().detect_faces(image)
        """,
    "converted to grey": """
        import cv2
        from mtcnn.mtcnn import MTCNN
        image = cv2.imread("a.jpg")
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)  # lint-grayscale
        MTCNN().detect_faces(image)
        """,
    "frames of a camera": """
        import cv2
        from mtcnn import MTCNN
        detector = MTCNN()
        capture = cv2.VideoCapture(0)
        while True:
            ok, frame = capture.read()
            if not ok:
                break
            detector.detect_faces(frame)  # lint-bgr
        """,
    "detector of the module in a function": """
        import cv2
        from facenet_pytorch import MTCNN
        detector = MTCNN(keep_all=True)
        def find(path):
            image = cv2.imread(path)
            if image is None:
                return None
            return detector.detect(image)  # lint-bgr
        """,
    "scaled": """
        import cv2
        from mtcnn import MTCNN
        image = cv2.cvtColor(cv2.imread("a.jpg"), cv2.COLOR_BGR2RGB)
        image = image.astype("float32") / 255.0  # lint-float-scaling
        MTCNN().detect_faces(image)
        """,
    "scaled in place": """
        import numpy as np
        from PIL import Image
        from facenet_pytorch import MTCNN
        image = np.asarray(Image.open("a.jpg")).astype(float)
        image /= 255  # lint-float-scaling
        MTCNN().detect(image)
        """,
    "reversed view": """
        import torch
        tensor = torch.from_numpy(image[:, :, ::-1])  # lint-negative-strides
        """,
    "reversed view by name": """
        import cv2, torch
        image = cv2.imread("a.jpg")[..., ::-1]
        tensor = torch.as_tensor(image)  # lint-negative-strides
        """,
    "boxes of a resized copy": """
        import cv2
        from mtcnn import MTCNN
        image = cv2.cvtColor(cv2.imread("a.jpg"), cv2.COLOR_BGR2RGB)
        small = cv2.resize(image, (640, 480))
        for face in MTCNN().detect_faces(small):
            x, y, w, h = face["box"]
            cv2.rectangle(image, (x, y), (x + w, y + h), (0, 255, 0))  # lint-resize-boxes
        """,
    "a detector in every turn": """
        from facenet_pytorch import MTCNN
        from PIL import Image
        for path in paths:
            detector = MTCNN()  # lint-detector-in-loop
            detector.detect(Image.open(path))
        """,
    "a detector in a comprehension": """
        from facenet_pytorch import MTCNN
        found = [MTCNN().detect(image) for image in images]  # lint-detector-in-loop
        """,
    "boxes indexed": """
        from facenet_pytorch import MTCNN
        boxes, scores = MTCNN().detect(image)
        first = boxes[0]  # lint-facenet-none
        """,
    "boxes unpacked": """
        from facenet_pytorch import MTCNN
        detector = MTCNN()
        def draw(image):
            boxes, _ = detector.detect(image)
            for x1, y1, x2, y2 in boxes:  # lint-facenet-none
                print(x1)
        """,
    "weights without pickle": """
        import numpy as np
        weights = np.load("models/det1.npy")  # lint-pickled-weights
        """,
    "memory growth too late": """
        import tensorflow as tf
        from mtcnn import MTCNN
        detector = MTCNN()
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)  # lint-memory-growth-late
        """,
    "TensorFlow 1": """
        import tensorflow as tf
        session = tf.Session()  # lint-tf1
        """,
    "class_weight of a dataset": """
        import tensorflow as tf
        dataset = tf.data.Dataset.from_tensor_slices(x).batch(8)
        dataset = dataset.class_weight({0: 1, 1: 3})  # lint-dataset-class-weight
        """,
    "weights loaded as a model": """
        from tensorflow.keras.models import load_model
        model = load_model("runs/pnet.weights.h5")  # lint-load-weights-only
        """,
    "import guarded too narrowly": """
        try:
            import tensorflow as tf  # lint-import-error
        except ImportError:
            tf = None
        """,
}

#: Code as the packages' own pages show it, each with the release it is for.
OFFICIAL = {
    "mtcnn 0.1": (
        """
        from mtcnn import MTCNN
        import cv2

        img = cv2.cvtColor(cv2.imread("ivan.jpg"), cv2.COLOR_BGR2RGB)
        detector = MTCNN()
        detector.detect_faces(img)
        """,
        MTCNN_0,
    ),
    "mtcnn 0.1, drawing": (
        """
        import cv2
        from mtcnn import MTCNN

        detector = MTCNN()
        image = cv2.cvtColor(cv2.imread("ivan.jpg"), cv2.COLOR_BGR2RGB)
        result = detector.detect_faces(image)
        bounding_box = result[0]["box"]
        keypoints = result[0]["keypoints"]
        cv2.rectangle(image, (bounding_box[0], bounding_box[1]), (9, 9), (0, 155, 255), 2)
        cv2.circle(image, (keypoints["left_eye"]), 2, (0, 155, 255), 2)
        cv2.imwrite("ivan_drawn.jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        """,
        MTCNN_0,
    ),
    "mtcnn 1.0": (
        """
        from mtcnn import MTCNN
        from mtcnn.utils.images import load_image

        detector = MTCNN(device="CPU:0")
        image = load_image("ivan.jpg")
        result = detector.detect_faces(image)
        print(result)
        """,
        MTCNN_1,
    ),
    "mtcnn 1.0, settings": (
        """
        from mtcnn import MTCNN
        from mtcnn.stages import StagePNet, StageRNet, StageONet
        from mtcnn.utils.images import load_images_batch

        mtcnn = MTCNN(stages=[StagePNet, StageRNet, StageONet], device="GPU:0")
        images = load_images_batch(["a.jpg", "b.jpg"])
        mtcnn.detect_faces(
            images, min_face_size=20, threshold_pnet=0.6, threshold_onet=0.9,
            batch_stack_justification="center",
        )
        """,
        MTCNN_1,
    ),
    "facenet-pytorch, start": (
        """
        from PIL import Image
        from facenet_pytorch import MTCNN, InceptionResnetV1

        mtcnn = MTCNN(image_size=160, margin=0)
        resnet = InceptionResnetV1(pretrained="vggface2").eval()
        img = Image.open("face.jpg")
        img_cropped = mtcnn(img, save_path="cropped.jpg")
        img_embedding = resnet(img_cropped.unsqueeze(0))
        resnet.classify = True
        img_probs = resnet(img_cropped.unsqueeze(0))
        """,
        FACENET,
    ),
    "facenet-pytorch, a folder": (
        """
        from facenet_pytorch import MTCNN, InceptionResnetV1
        import torch
        from torch.utils.data import DataLoader
        from torchvision import datasets

        device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
        mtcnn = MTCNN(
            image_size=160, margin=0, min_face_size=20, thresholds=[0.6, 0.7, 0.7],
            factor=0.709, post_process=True, device=device,
        )
        dataset = datasets.ImageFolder("images")
        loader = DataLoader(dataset, collate_fn=lambda x: x[0])
        aligned = []
        for x, y in loader:
            x_aligned, prob = mtcnn(x, return_prob=True)
            if x_aligned is not None:
                aligned.append(x_aligned)
        aligned = torch.stack(aligned).to(device)
        """,
        FACENET,
    ),
    "facenet-pytorch, a video": (
        """
        from facenet_pytorch import MTCNN
        import torch
        import mmcv, cv2
        from PIL import Image, ImageDraw

        mtcnn = MTCNN(keep_all=True, device="cpu")
        video = mmcv.VideoReader("video.mp4")
        frames = [Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)) for frame in video]
        for i, frame in enumerate(frames):
            boxes, _ = mtcnn.detect(frame)
            frame_draw = frame.copy()
            draw = ImageDraw.Draw(frame_draw)
            for box in boxes:
                draw.rectangle(box.tolist(), outline=(255, 0, 0), width=6)
        """,
        FACENET,
    ),
}

GOOD = {
    "checked and converted": """
        import cv2
        from mtcnn import MTCNN
        detector = MTCNN()
        for path in paths:
            image = cv2.imread(path)
            if image is None:
                continue
            image = image[:, :, ::-1]
            detector.detect_faces(image)
        """,
    "converted in one of two ways": """
        import cv2
        from mtcnn import MTCNN
        image = cv2.imread(path)
        if image is None:
            raise FileNotFoundError(path)
        if swap:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        MTCNN().detect_faces(image)
        """,
    "an image from elsewhere": """
        from mtcnn import MTCNN
        from mine import load
        MTCNN().detect_faces(load("a.jpg") / scale)
        """,
    "scaled for another network": """
        import cv2
        from mtcnn import MTCNN
        image = cv2.cvtColor(cv2.imread("a.jpg"), cv2.COLOR_BGR2RGB)
        faces = MTCNN().detect_faces(image)
        small = image / 255.0
        model.predict(small)
        """,
    "a series of settings": """
        from facenet_pytorch import MTCNN
        for size in (20, 40, 80):
            detector = MTCNN(min_face_size=size)
        """,
    "boxes scaled back": """
        import cv2
        from mtcnn import MTCNN
        image = cv2.cvtColor(cv2.imread("a.jpg"), cv2.COLOR_BGR2RGB)
        small = cv2.resize(image, (640, 480))
        for face in MTCNN().detect_faces(small):
            x, y, w, h = (int(v * 2) for v in face["box"])
            cv2.rectangle(image, (x, y), (x + w, y + h), (0, 255, 0))
        """,
    "boxes looked at": """
        from facenet_pytorch import MTCNN
        boxes, _ = MTCNN().detect(image)
        if boxes is not None:
            print(boxes[0], len(boxes))
        """,
    "copied": """
        import numpy as np
        import torch
        torch.from_numpy(image[:, :, ::-1].copy())
        torch.from_numpy(np.ascontiguousarray(image[..., ::-1]))
        torch.tensor([3, 2, 1][::-1])
        """,
    "compat.v1": """
        import tensorflow.compat.v1 as tf
        import tensorflow
        tf.Session()
        tensorflow.compat.v1.placeholder("float32")
        """,
    "growth first": """
        import tensorflow as tf
        from mtcnn import MTCNN
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        detector = MTCNN()
        """,
    "weights as weights": """
        import numpy as np
        import keras
        np.load("det1.npy", allow_pickle=True, encoding="latin1")
        np.load("features.npy")
        model.load_weights("pnet.weights.h5")
        keras.models.load_model("model.keras")
        sklearn_model.class_weight
        """,
    "other people's MTCNN": """
        import cv2
        from mine import MTCNN
        MTCNN(anything=1).detect_faces(cv2.imread("a.jpg"))
        """,
    "taken out by a comment": """
        import tensorflow as tf
        tf.Session()  # mtcnn-doctor: ignore[lint-tf1]
        """,
}


def unit(code: str, versions: dict[str, str] | None = None) -> Unit:
    text = textwrap.dedent(code).lstrip("\n")
    return Unit("code.py", text, ast.parse(text), {}, versions or {})


def found(code: Unit) -> list[Problem]:
    return lint(code, rules())


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found_where_they_are_and_nothing_else(name: str) -> None:
    code = unit(FAULTS[name])
    wanted = {
        (number, line.rsplit("# ", 1)[1])
        for number, line in enumerate(code.lines, 1)
        if "# lint-" in line
    }
    assert {(problem.line, problem.rule) for problem in found(code)} == wanted


@pytest.mark.parametrize("name", FAULTS)
def test_the_fix_mends_it(name: str) -> None:
    code = unit(FAULTS[name])
    for problem in found(code):
        if not problem.edits:
            assert problem.fix
            continue
        mended = applied(code.text, problem.edits)
        after = Unit("code.py", mended, ast.parse(mended))
        assert problem.rule not in {one.rule for one in found(after)}, mended
        assert diff(code, problem).startswith("--- code.py\n+++ code.py\n")


def test_every_rule_has_a_fault_here() -> None:
    shown = {line.rsplit("# ", 1)[1] for code in FAULTS.values() for line in code.splitlines()
             if "# lint-" in line}  # fmt: skip
    assert shown | {"lint-mtcnn-arguments"} == {rule.id for rule in rules()}


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_examples_are_left_alone(name: str) -> None:
    code, versions = OFFICIAL[name]
    assert found(unit(code, versions)) == []
    # And where the release is not known nothing is more than information.
    assert [p for p in found(unit(code)) if p.severity != "info"] == []


@pytest.mark.parametrize("name", GOOD)
def test_good_code_is_left_alone(name: str) -> None:
    assert found(unit(GOOD[name])) == []


@pytest.mark.parametrize(
    ("line", "versions", "severity", "words"),
    [
        ("MTCNN(min_face_size=40)", MTCNN_1, "error", "takes no min_face_size"),
        ("MTCNN(weights_file='w.npy')", MTCNN_1, "error", "takes no weights_file"),
        ("MTCNN(device='CPU:0')", MTCNN_0, "error", "takes no device"),
        ("MTCNN(min_face_size=40)", {}, "info", "mtcnn 0.x alone"),
        ("MTCNN(min_size=40)", {}, "error", "no known release"),
        ("MTCNN(min_face_size=40)", MTCNN_0, None, ""),
        ("MTCNN().detect_faces(x, steps_threshold=[1])", MTCNN_1, "error", "ignores steps_thres"),
        ("MTCNN().detect_faces(x, min_face_size=40)", MTCNN_1, None, ""),
        ("MTCNN().detect_faces(x, min_face_size=40)", MTCNN_0, "error", "takes no min_face_size"),
        ("MTCNN(**settings)", MTCNN_1, None, ""),
    ],
)  # fmt: skip
def test_arguments(line: str, versions: dict[str, str], severity: str | None, words: str) -> None:
    problems = found(unit(f"from mtcnn import MTCNN\n{line}\n", versions))
    assert [problem.severity for problem in problems] == ([severity] if severity else [])
    assert all(words in problem.message for problem in problems)


def test_rules_are_documented(doctor: Doctor) -> None:
    for rule in rules():
        for section in ("What it checks", "Why it matters", "How to fix it", "Sources"):
            assert f"## {section}" in rule.documentation, rule.id
    answer = doctor("explain", "lint-bgr")
    assert answer.code == 0
    assert "cv2.COLOR_BGR2RGB" in answer.out


def test_a_notebook_with_magics(doctor: Doctor, tmp_path: Path) -> None:
    cells = [
        ("markdown", "# Faces"),
        ("code", "%matplotlib inline\n!pip install mtcnn\nimport cv2\nfrom mtcnn import MTCNN"),
        ("code", "%%bash\nif [ 1 ]; then echo; fi"),
        ("code", "%%time\nimage = cv2.imread('a.jpg')\nfiles = !ls\nassert image is not None"),
        ("code", "detector = MTCNN()\ndetector.detect_faces(image)\nimage?"),
    ]
    path = tmp_path / "faces.ipynb"
    path.write_text(
        json.dumps({"cells": [{"cell_type": k, "source": s.splitlines(True)} for k, s in cells]})
    )
    answer = doctor("lint", path, "--format", "json")
    (problem,) = json.loads(answer.out)["problems"]
    assert (problem["rule"], problem["cell"], problem["line"]) == ("lint-bgr", 4, 2)
    assert "+detector.detect_faces(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))" in problem["diff"]
    assert answer.code == 0  # a warning
    assert doctor("lint", path, "--fail-on", "warning").code == 1


def test_formats_and_exit_codes(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("import tensorflow as tf\ntf.Session()\n")
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "other.py").write_text("import tensorflow as tf\ntf.Session()\n")
    answer = doctor("lint", tmp_path)
    assert answer.code == 1
    assert "bad.py:2  lint-tf1  [error]" in answer.out
    assert "+tf.compat.v1.Session()" in answer.out
    assert "1 error, 0 warnings, 0 info in 1 file. Exit 1." in answer.out
    assert "not linted:" in answer.err
    assert "broken.py: line 1 is no Python 3" in answer.err
    answer = doctor("lint", tmp_path, "--format", "github")
    (line,) = answer.out.splitlines()
    assert line.startswith("::error file=")
    assert ",line=2,title=lint-tf1::TensorFlow 2 has no tf.Session" in line
    answer = doctor("lint", tmp_path, "--ignore", "lint-tf*")
    assert answer.code == 0
    # Named one by one, as pre-commit does: one that is no Python hides nothing of the others.
    answer = doctor("lint", tmp_path / "bad.py", tmp_path / "broken.py")
    assert answer.code == 2
    assert "bad.py:2  lint-tf1  [error]" in answer.out
    assert "broken.py: line 1 is no Python 3" in answer.err
    (tmp_path / "bad.py").unlink()
    assert doctor("lint", tmp_path).code == 2  # nothing could be looked at


def test_bad_usage_is_one_line(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / "null.py").write_bytes(b"\0\0")
    (tmp_path / "no.ipynb").write_text("[]")
    (tmp_path / "empty").mkdir()
    (tmp_path / "good.py").write_text("pass\n")
    for arguments, said in (
        ((tmp_path / "absent.py",), "no file or folder"),
        ((tmp_path / "broken.py",), "line 1 is no Python 3"),
        ((tmp_path / "null.py",), "cannot be linted"),
        ((tmp_path / "no.ipynb",), "it is no notebook"),
        ((tmp_path / "empty",), "holds no Python files"),
        ((tmp_path / "good.py", "--select", "lint-nothing"), "no rule fits 'lint-nothing'"),
    ):
        answer = doctor("lint", *arguments)
        assert answer.code == 2, arguments
        assert said in answer.err
        assert "Traceback" not in answer.err


def test_this_repository_is_left_alone(doctor: Doctor) -> None:
    answer = doctor("lint", Path(__file__).parent.parent / "mtcnn_doctor")
    assert answer.code == 0
    assert "0 errors, 0 warnings" in answer.out
