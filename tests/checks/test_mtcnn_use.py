"""How mtcnn is called, and the settings with which it finds nothing."""

import ast

import pytest
from mtcnn_doctor.checks.mtcnn_use import mtcnn_api_change, mtcnn_silent_empty

from mtcnn_doctor.model import Severity
from mtcnn_doctor.target.probes import calls as probe


@pytest.fixture
def program(tmp_path):
    """Return a function that gives the fact `calls` of a program in a folder."""

    def write(text, name="detect.py"):
        (tmp_path / name).write_text(text)
        return probe.collect({"working_directory": str(tmp_path)})

    return write


OLD = """
from mtcnn import MTCNN
detector = MTCNN(min_face_size=40, steps_threshold=[0.5, 0.6, 0.7])
faces = detector.detect_faces(image)
"""
NEW = """
import mtcnn
detector = mtcnn.MTCNN(device="CPU:0")
faces = detector.detect_faces(image, min_face_size=20, threshold_onet=0.7)
"""


def test_a_program_for_the_old_release(problems, judge, installed, program):
    facts = {"calls": program(OLD)}
    [finding] = problems(mtcnn_api_change, packages=installed("mtcnn==1.0.0"), **facts)
    assert (finding.about, finding.severity) == ("detect.py", Severity.ERROR)
    assert "does not take min_face_size, steps_threshold of MTCNN()" in finding.title
    assert finding.evidence == {"line 3": "MTCNN(min_face_size, steps_threshold)"}
    assert "threshold_onet" in finding.remedy.text
    assert judge(mtcnn_api_change, packages=installed("mtcnn==0.1.1"), **facts) == []
    assert judge(mtcnn_api_change, packages=installed("torch==2.9.0"), **facts) == []


def test_a_program_for_the_new_release(problems, judge, installed, program):
    facts = {"calls": program(NEW)}
    assert judge(mtcnn_api_change, packages=installed("mtcnn==1.0.0"), **facts) == []
    [finding] = problems(mtcnn_api_change, packages=installed("mtcnn==0.1.1"), **facts)
    assert "MTCNN()" in finding.title
    assert finding.remedy.commands == ('pip install "mtcnn>=1.0"',)


def test_an_argument_that_is_silently_ignored(problems, installed, program):
    facts = {"calls": program("from mtcnn import MTCNN\nMTCNN().detect_faces(x, margin=3)\n")}
    [finding] = problems(mtcnn_api_change, packages=installed("mtcnn==1.0.0"), **facts)
    assert "ignores margin of detect_faces()" in finding.title
    assert "no effect" in finding.effect


@pytest.mark.parametrize(
    "text",
    [
        "from facenet_pytorch import MTCNN\nMTCNN(min_face_size=40)\n",
        "from mtcnn import MTCNN\nMTCNN(**options)\n",
        "# mtcnn\nMTCNN(min_face_size=40)\n",
        "import mtcnn\nthis is no Python\n",
    ],
)
def test_calls_of_which_nothing_is_known(judge, installed, program, text):
    facts = {"calls": program(text)}
    assert judge(mtcnn_api_change, packages=installed("mtcnn==1.0.0"), **facts) == []


def test_what_the_probe_reads_is_never_run(program, tmp_path):
    text = f"import mtcnn\nopen({str(tmp_path / 'ran')!r}, 'w')\nmtcnn.MTCNN(device='CPU:0')\n"
    ast.parse(text)
    [call] = program(text)["found"]
    assert (call["function"], call["arguments"], call["line"]) == (
        "MTCNN",
        {"device": None},  # texts do not get into a report
        3,
    )
    assert not (tmp_path / "ran").exists()


def image(width, height):
    return [{"path": "team.jpg", "format": "jpeg", "width": width, "height": height}]


def call(**arguments):
    return {
        "found": [
            {"file": "/p/a.py", "line": 7, "function": "detect_faces", "arguments": arguments}
        ]
    }


def test_settings_that_find_nothing_on_any_image(problems, installed):
    facts = {"packages": installed("mtcnn==1.0.0"), "calls": call(min_face_size=40)}
    [finding] = problems(mtcnn_silent_empty, **facts)
    assert (finding.about, finding.severity) == ("a.py:7", Severity.WARNING)
    assert "on every image" in finding.title
    assert "returns []" in finding.effect
    new = installed("mtcnn==1.0.0", "keras==3.15.1")
    [finding] = problems(mtcnn_silent_empty, packages=new, calls=call(min_face_size=40))
    assert "ValueError" in finding.effect


def test_settings_that_find_nothing_on_this_image(problems, installed):
    facts = {"packages": installed("mtcnn==1.0.0"), "settings": {"cascade": {"min_face_size": 25}}}
    [finding] = problems(mtcnn_silent_empty, images=image(480, 480), **facts)
    assert "team.jpg" in finding.title
    assert finding.evidence["largest that works"] == 23
    assert problems(mtcnn_silent_empty, images=image(720, 720), **facts) == []
    assert problems(mtcnn_silent_empty, **facts) == []  # some images do show faces
    facts["settings"]["size"] = [480, 480]
    assert len(problems(mtcnn_silent_empty, **facts)) == 1


def test_an_image_too_small_for_any_settings(problems, installed):
    [finding] = problems(
        mtcnn_silent_empty, packages=installed("mtcnn==1.0.0"), images=image(20, 40)
    )
    assert "Enlarge" in finding.remedy.text


def test_without_a_reason_nothing_is_said(judge, installed):
    packages = installed("mtcnn==1.0.0", "keras==3.12.0")
    for width in (24, 100, 561, 1920, 4000):
        assert judge(mtcnn_silent_empty, packages=packages, images=image(width, width + 7)) == []
    assert judge(mtcnn_silent_empty, packages=packages) == []
    for arguments in ({"min_face_size": None}, {"min_face_size": 20}, {"scale_factor": 2}):
        assert judge(mtcnn_silent_empty, packages=packages, calls=call(**arguments)) == []
    old = installed("mtcnn==0.1.1")
    assert judge(mtcnn_silent_empty, packages=old, calls=call(min_face_size=40)) == []
