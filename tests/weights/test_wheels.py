"""The weight files in the wheels of the packages; and what joblib makes of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mtcnn_doctor.target.reference.files.describe import read
from mtcnn_doctor.target.reference.weights import PUBLISHED_DIGESTS
from tests.conftest import Doctor

from .files import problems, write
from .test_findings import cut_lz4

pytestmark = pytest.mark.environments


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages, none of their requirements, and what reads .lz4 files."""
    folder = tmp_path_factory.mktemp("site")
    for requirement in (
        "mtcnn==0.1.1",
        "mtcnn==1.0.0",
        "facenet-pytorch==2.6.0",
        "joblib==1.4.2",
        "lz4",
    ):
        place = folder / requirement if requirement.startswith("mtcnn") else folder / "common"
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps",
             "--disable-pip-version-check", "--target", place, requirement],
            check=True,
        )  # fmt: skip
    return folder


def shipped(site: Path) -> dict[str, list[Path]]:
    return {
        "mtcnn-0.1": [site / "mtcnn==0.1.1" / "mtcnn" / "data" / "mtcnn_weights.npy"],
        "mtcnn-1.0": sorted((site / "mtcnn==1.0.0" / "mtcnn" / "assets" / "weights").glob("*.lz4")),
        "facenet-pytorch": sorted((site / "common" / "facenet_pytorch" / "data").glob("?net.pt")),
    }


def test_the_files_of_all_packages_are_the_same_published_networks(site: Path) -> None:
    for layout, paths in shipped(site).items():
        found = [read(str(path)).facts for path in paths]
        networks = {name: facts for one in found for name, facts in one["networks"].items()}
        assert {name: facts["digest"] for name, facts in networks.items()} == PUBLISHED_DIGESTS
        assert {facts["layout"] for facts in networks.values()} == {layout}
        assert not any(one["refused"] for one in found)
        assert problems(*paths) == []


def test_the_command_says_so(doctor: Doctor, site: Path) -> None:
    everything = [path for paths in shipped(site).values() for path in paths]
    answer = doctor("weights", "verify", *everything)
    assert answer.code == 0
    assert answer.out.count("the published weights") == 9


LOAD = """
import sys
sys.path.insert(0, sys.argv[1])
import joblib
for path, count in zip(sys.argv[2:], (13, 16, 21)):
    arrays = joblib.load(path)
    assert [type(array).__name__ for array in arrays] == ["ndarray"] * count
    assert all(array.flags.writeable or array.flags.aligned for array in arrays)
    print(path, sum(array.size for array in arrays))
"""


def test_joblib_loads_what_is_written_for_mtcnn_1(site: Path, tmp_path: Path) -> None:
    paths = write(tmp_path, "mtcnn-1.0")
    done = subprocess.run(
        [sys.executable, "-c", LOAD, site / "common", *paths],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["6632", "100178", "389040"]
    broken = subprocess.run(
        [sys.executable, "-c", LOAD, site / "common", cut_lz4(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert broken.returncode != 0
