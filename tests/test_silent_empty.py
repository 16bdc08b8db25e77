"""The predictor of ``mtcnn-silent-empty`` against the package itself."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from mtcnn_doctor.pyramid import is_silently_empty

from .input_faults import PORTRAIT
from .test_subjects import packages

__all__ = ["packages"]

pytestmark = pytest.mark.environments

#: Detects on the portrait in random sizes, with random settings; one line of JSON each.
SCRIPT = """
import json, random, sys
import cv2
from mtcnn import MTCNN
count, portrait = int(sys.argv[1]), sys.argv[2]
chance = random.Random(7)
image = cv2.cvtColor(cv2.imread(portrait), cv2.COLOR_BGR2RGB)
detector = MTCNN()
for _ in range(count):
    height = chance.randint(48, 420)
    width = int(height * chance.uniform(0.8, 1.25))
    face = chance.choice([20, 20, chance.uniform(15, 30), chance.uniform(8, 60)])
    factor = chance.choice([0.709, chance.uniform(0.5, 0.85)])
    picture = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    try:
        found = detector.detect_faces(picture, min_face_size=face, scale_factor=factor)
        answer = "faces" if found else "none"
    except ValueError as error:
        answer = "raises" if "empty output" in str(error) else repr(error)
    print(json.dumps([width, height, face, factor, answer]))
"""


@pytest.mark.parametrize("count", [40, pytest.param(200, marks=pytest.mark.exhaustive)])
def test_the_predictor_agrees_with_the_package(packages: Path, count: int) -> None:
    """What is predicted empty shows no face, ever; what is not is looked at."""
    done = subprocess.run(
        [packages / "bin" / "python", "-I", "-c", SCRIPT, str(count), PORTRAIT],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(rows) == count, done.stderr[-2000:]
    answers = Counter((is_silently_empty(*row[:4]), row[4]) for row in rows)
    assert set(answers) <= {(True, "none"), (True, "raises"), (False, "faces"), (False, "none")}
    # The face of a small portrait may be too blurred for the networks, but not often.
    assert answers[False, "faces"] >= 0.95 * (answers[False, "faces"] + answers[False, "none"])
    assert answers[True, "none"] + answers[True, "raises"] >= count / 8
