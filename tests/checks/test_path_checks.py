"""Copies of a package from outside the environment."""

import pytest
from mtcnn_doctor.checks.paths import path_pollution

from mtcnn_doctor.model import Severity

OWN = "/venv/lib/python3.11/site-packages"


@pytest.fixture
def facts(python311, installed):
    """Return a function that makes facts of copies (name==version at a folder), as on the path."""

    def make(*copies, pythonpath="", user_site=None):
        packages = installed(*(line for line, _ in copies))
        for row, (_, folder) in zip(packages["distributions"], copies, strict=True):
            row["location"] = folder
        return {
            "packages": packages,
            "python": {**python311, "user_site": user_site},
            "environment": {"variables": {"PYTHONPATH": pythonpath} if pythonpath else {}},
        }

    return make


def test_another_numpy_through_pythonpath(problems, facts):
    about = facts(("numpy==1.26.4", "/opt/x"), ("numpy==1.24.0", OWN), pythonpath="/a:/opt/x/")
    [finding] = problems(path_pollution, **about)
    assert (finding.about, finding.severity) == ("numpy", Severity.WARNING)
    assert finding.title == "numpy 1.26.4 comes from PYTHONPATH, not the 1.24.0 of the environment"


def test_another_torch_through_the_user_site(problems, facts):
    user = "/home/me/.local/lib/python3.11/site-packages"
    about = facts(("torch==2.6.0", user), ("torch==2.9.0", OWN), user_site=user)
    [finding] = problems(path_pollution, **about)
    assert "the user site" in finding.title
    assert "PYTHONNOUSERSITE" in finding.remedy.text


def test_a_copy_that_another_package_refuses_is_an_error(problems, facts):
    about = facts(
        ("keras==3.12.0", "/opt/x"),
        ("keras==2.15.0", OWN),
        ("tensorflow==2.15.1: keras<2.16,>=2.15.0", OWN),
        pythonpath="/opt/x",
    )
    [finding] = problems(path_pollution, **about)
    assert finding.severity is Severity.ERROR
    assert "the environment's own would do" in finding.effect


def test_a_numpy_of_the_other_generation_is_an_error(problems, facts):
    about = facts(("numpy==2.2.6", "/opt/x"), ("numpy==1.26.4", OWN), pythonpath="/opt/x")
    [finding] = problems(path_pollution, **about)
    assert finding.severity is Severity.ERROR


def test_a_copy_that_does_not_load_is_an_error(problems, facts):
    about = facts(("torch==2.6.0", "/opt/x"), ("torch==2.9.0", OWN), pythonpath="/opt/x")
    [finding] = problems(path_pollution, torch={"state": "not-loadable"}, **about)
    assert finding.severity is Severity.ERROR


def test_a_copy_for_another_python_is_an_error(problems, facts):
    about = facts(("torch==2.6.0", "/opt/x"), ("torch==2.9.0", OWN), pythonpath="/opt/x")
    about["packages"]["distributions"][0]["wheel_tags"] = ["cp39-cp39-linux_x86_64"]
    [finding] = problems(path_pollution, **about)
    assert finding.severity is Severity.ERROR
    assert "cp39" in finding.effect


@pytest.mark.parametrize(
    ("copies", "pythonpath"),
    [
        ([("numpy==2.2.6", OWN)], ""),
        ([("numpy==2.2.6", OWN)], "/opt/x"),
        ([("numpy==2.2.6", "/opt/x")], "/opt/x"),  # nothing of the environment's own is hidden
        ([("numpy==2.2.6", "/opt/x"), ("numpy==2.2.6", OWN)], "/opt/x"),
        ([("numpy==2.2.6", OWN), ("numpy==1.26.4", "/opt/x")], "/opt/x"),  # the own one wins
        ([("six==1.0", "/opt/x"), ("six==1.17.0", OWN)], "/opt/x"),
    ],
)
def test_no_copy_that_matters(judge, facts, copies, pythonpath):
    assert judge(path_pollution, **facts(*copies, pythonpath=pythonpath)) == []
