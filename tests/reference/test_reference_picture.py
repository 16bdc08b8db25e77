from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from mtcnn_doctor.target.reference import picture, png

RNG = np.random.default_rng(3)
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def paeth(left, above, corner):
    estimate = left + above - corner
    distances = [abs(estimate - left), abs(estimate - above), abs(estimate - corner)]
    return (left, above, corner)[distances.index(min(distances))]


def encode(image, colour, filters, depth=8, interlace=0, extra=b"") -> bytes:
    """A PNG with the given filter for each row, straight from the definition of the filters."""
    height, width = image.shape[:2]
    rows = image.astype(int)
    out = bytearray()
    for y in range(height):
        out.append(filters[y % len(filters)])
        for x in range(width):
            for c in range(rows.shape[2]):
                left = rows[y, x - 1, c] if x else 0
                above = rows[y - 1, x, c] if y else 0
                corner = rows[y - 1, x - 1, c] if x and y else 0
                guess = (0, left, above, (left + above) // 2, paeth(left, above, corner))
                out.append((rows[y, x, c] - guess[filters[y % len(filters)]]) % 256)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    packed = zlib.compress(bytes(out))
    data = chunk(b"IDAT", packed[:20]) + chunk(b"IDAT", packed[20:])
    return png.SIGNATURE + chunk(b"IHDR", header) + extra + data + chunk(b"IEND", b"")


def random_image(colour, height=13, width=17):
    return RNG.integers(0, 256, (height, width, CHANNELS[colour]), dtype=np.uint8)


@pytest.mark.parametrize("colour", CHANNELS)
@pytest.mark.parametrize("filters", [[0], [1], [2], [3], [4], [4, 3, 2, 1, 0]], ids=str)
def test_every_filter_and_colour_type_agrees_with_opencv(colour, filters):
    cv2 = pytest.importorskip("cv2")
    image = random_image(colour)
    content = encode(image, colour, filters)
    ours = png.pixels(png.parse(content))
    channels = image if colour & 2 else image[:, :, [0, 0, 0]]
    assert np.array_equal(ours, channels[:, :, :3])
    theirs = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(ours, theirs[:, :, ::-1])


def test_the_bundled_images_decode_as_in_opencv_and_without_pixel_loops(expected, images):
    cv2 = pytest.importorskip("cv2")
    folder = Path(__file__).resolve().parents[2] / "reference_images"
    for name, image in images.items():
        content = (folder / name).read_bytes()
        assert not png.parse(content).slow
        theirs = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert np.array_equal(image, theirs[:, :, ::-1])


def test_the_builtin_decoder_takes_fast_files_and_opencv_the_slow_ones(tmp_path):
    pytest.importorskip("cv2")
    image = random_image(2)
    for filters, decoder in (([0, 1, 2], "builtin"), ([4], "cv2")):
        file = tmp_path / "image.png"
        file.write_bytes(encode(image, 2, filters))
        found, name = picture.read_rgb_with_decoder(str(file))
        assert name == decoder
        assert np.array_equal(found, image)
        assert found.flags.c_contiguous


@pytest.fixture
def no_decoders(monkeypatch):
    for name in ("cv2", "PIL", "tensorflow"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("no_decoders")
def test_slow_files_are_read_without_any_decoder(tmp_path):
    image = random_image(6)
    file = tmp_path / "image.png"
    file.write_bytes(encode(image, 6, [4, 3]))
    found, name = picture.read_rgb_with_decoder(str(file))
    assert name == "builtin"
    assert np.array_equal(found, image[:, :, :3])


@pytest.mark.usefixtures("no_decoders")
def test_without_a_decoder_the_remedy_is_named(tmp_path):
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"\xff\xd8\xff\xe0 not really")
    with pytest.raises(picture.PictureError, match="install opencv-python-headless") as caught:
        picture.read_rgb(str(file))
    assert str(file) in str(caught.value)
    assert "cv2 is not usable" in str(caught.value)


def exif(orientation: int) -> bytes:
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    return b"Exif\0\0" + tiff


@pytest.mark.parametrize("decoder", ["cv2", "PIL"])
def test_the_exif_orientation_is_applied(tmp_path, monkeypatch, decoder):
    cv2 = pytest.importorskip("cv2")
    pytest.importorskip(decoder)
    if decoder == "PIL":
        monkeypatch.setitem(sys.modules, "cv2", None)
    image = np.zeros((32, 64, 3), np.uint8)
    image[:, :32] = 255
    jpeg = cv2.imencode(".jpg", image)[1].tobytes()
    body = exif(6)  # turn clockwise
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    file = tmp_path / "turned.jpg"
    file.write_bytes(jpeg[:2] + segment + jpeg[2:])
    found, name = picture.read_rgb_with_decoder(str(file))
    assert name == decoder
    assert found.shape == (64, 32, 3)
    assert found[:24].min() > 200
    assert found[40:].max() < 50


def test_kinds_left_to_other_decoders():
    image = random_image(2)
    with pytest.raises(png.UnsupportedPngError):
        png.parse(encode(image, 2, [0], depth=16))
    with pytest.raises(png.UnsupportedPngError):
        png.parse(encode(image, 2, [0], interlace=1))
    with pytest.raises(png.UnsupportedPngError):
        png.parse(encode(image, 2, [0], extra=chunk(b"eXIf", exif(6)[6:])))


def sound() -> bytes:
    return encode(np.zeros((40, 40, 3), np.uint8) + 7, 2, [0])


def with_rows(packed: bytes) -> bytes:
    """A 4 x 3 RGB file with this IDAT."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 8, 2, 0, 0, 0))
    return png.SIGNATURE + header + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (sound()[:30], "truncated"),
        (sound()[:-20], "truncated"),
        (sound()[:20] + b"\xff" + sound()[21:], "checksum"),
        (png.SIGNATURE + chunk(b"IEND", b""), "no header"),
        (encode(np.zeros((0, 4, 3), np.uint8), 2, [0]), "impossible size"),
        (with_rows(b"\x78\x9c garbage"), "cannot be inflated"),
        (with_rows(zlib.compress(bytes(30))), "ends early: 30 of 39 bytes"),
        (with_rows(zlib.compress(b"\5" + bytes(38))), "unknown row filter 5"),
    ],
)
def test_damaged_files_say_what_is_wrong(tmp_path, content, message):
    file = tmp_path / "damaged.png"
    file.write_bytes(content)
    with pytest.raises(picture.PictureError, match=message) as caught:
        picture.read_rgb(str(file))
    assert str(caught.value).startswith(str(file))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(picture.PictureError, match="cannot be read: No such file"):
        picture.read_rgb(str(tmp_path / "none.png"))
