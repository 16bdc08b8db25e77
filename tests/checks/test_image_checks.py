import pytest
from mtcnn_doctor.checks.images import (
    image_alpha,
    image_dtype,
    image_grayscale,
    image_orientation,
    image_size,
    image_unreadable,
)

from mtcnn_doctor.model import Severity

ALL = (
    image_unreadable,
    image_grayscale,
    image_alpha,
    image_dtype,
    image_orientation,
    image_size,
)
PHOTO = {
    "path": "/home/user/faces/photo.jpg",
    "format": "jpeg",
    "size_bytes": 50000,
    "width": 640,
    "height": 480,
    "channels": 3,
    "bit_depth": 8,
}


def test_ordinary_photo(judge):
    for check in ALL:
        assert judge(check, images=[PHOTO, {**PHOTO, "path": "b.png", "decoder": "cv2"}]) == []


@pytest.mark.parametrize(
    ("format", "words"),
    [
        ("empty", "is empty"),
        ("html", "is a web page, not an image"),
        ("git-lfs", "is a Git LFS pointer, not an image"),
        ("npy", "is a NumPy array, not an image"),
        ("directory", "is a folder"),
        ("missing", "does not exist"),
        ("permission", "may not be read"),
        ("unknown", "has no format that is known"),
        ("heic", "is a HEIC image"),
    ],
)
def test_files_that_are_no_images(problems, format, words):
    [finding] = problems(image_unreadable, images=[{"path": "/data/face.jpg", "format": format}])
    assert finding.title == f"face.jpg {words}"
    assert finding.severity is Severity.ERROR
    assert finding.about == "face.jpg"


def test_cut_image(problems):
    [finding] = problems(image_unreadable, images=[{**PHOTO, "error": "truncated: it ends"}])
    assert finding.title == "photo.jpg cannot be read: truncated: it ends"


def test_image_that_no_reader_decoded(problems):
    assert problems(image_unreadable, images=[{**PHOTO, "decoder": None}])


def test_odd_format_that_was_decoded(problems):
    image = {"path": "a.heic", "format": "heic", "decoder": "PIL", "error": None}
    assert problems(image_unreadable, images=[image]) == []


def test_grey_file(problems):
    [finding] = problems(image_grayscale, images=[{**PHOTO, "channels": 1}])
    assert finding.severity is Severity.WARNING
    [finding] = problems(image_grayscale, images=[{**PHOTO, "palette": True}])
    assert "palette" in finding.title


def test_colour_file_that_shows_grey(judge):
    [finding] = judge(image_grayscale, images=[{**PHOTO, "equal_channels": True}])
    assert finding.severity is Severity.INFO


def test_four_channels(problems):
    [finding] = problems(image_alpha, images=[{**PHOTO, "channels": 4}])
    assert "alpha" in finding.title
    [finding] = problems(image_alpha, images=[{**PHOTO, "channels": 4, "cmyk": True}])
    assert "CMYK" in finding.title


def test_sixteen_bits(problems):
    [finding] = problems(image_dtype, images=[{**PHOTO, "bit_depth": 16}])
    assert finding.severity is Severity.WARNING


def test_turned_image(problems):
    [finding] = problems(image_orientation, images=[{**PHOTO, "orientation": 6}])
    assert finding.title == "photo.jpg is stored turned by 90° (EXIF orientation 6)"
    [finding] = problems(image_orientation, images=[{**PHOTO, "orientation": 2}])
    assert "mirrored" in finding.title
    assert problems(image_orientation, images=[{**PHOTO, "orientation": 1}]) == []


def test_small_image(problems):
    [finding] = problems(image_size, images=[{**PHOTO, "width": 19}])
    assert finding.severity is Severity.WARNING
    assert problems(image_size, images=[{**PHOTO, "width": 20, "height": 20}]) == []


def test_windows_paths_give_file_names(problems):
    [finding] = problems(
        image_unreadable, images=[{"path": "C:\\faces\\a.jpg", "format": "missing"}]
    )
    assert finding.about == "a.jpg"
