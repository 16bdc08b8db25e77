"""Image files that the user gave, and arrays: whether they are what a detector can work with.

Files are told by their headers, which loaders read in ways of their own: most of it is a warning.
An array is what the detector gets, and the same faults are errors.
"""

from __future__ import annotations

from collections.abc import Sequence

from mtcnn_doctor.facts import ImageArray, ImageFile, Look, Memory, Recording
from mtcnn_doctor.knowledge.inputs import MIN_FACE, WINDOW, sides_of, takes
from mtcnn_doctor.knowledge.inputs import usable as usable_memory
from mtcnn_doctor.model import Findings, check, error, info, warning

from ._inputs import evidence, fix, found_in, name_of, says
from ._installed import given

#: From so many pixels on a detection takes minutes with the slowest package.
_SLOW_PIXELS = 24_000_000
#: Longest side of the smaller copy that is proposed.
_COPY = 1920
_MIB = 2**20
_READABLE = ("png", "jpeg", "gif", "bmp", "webp", "tiff", "pnm", "jpeg2000", "avif")
_WORDS = {
    "empty": ("is empty", "The file has no content: a download or a copy was interrupted."),
    "html": ("is a web page, not an image", "A download saved an error or login page."),
    "git-lfs": (
        "is a Git LFS pointer, not an image",
        "The repository was cloned without Git LFS, which keeps the image elsewhere.",
    ),
    "npy": ("is a NumPy array, not an image", "Image readers do not know this format."),
    "directory": ("is a folder", "A file is expected here."),
    "missing": ("does not exist", "The path is wrong, or relative to another folder."),
    "permission": ("may not be read", "The user of this process has no permission."),
    "special": ("is a device or a pipe", "A regular file is expected here."),
    "heic": ("is a HEIC image", "Neither OpenCV nor plain Pillow reads this format."),
    "jxl": ("is a JPEG XL image", "Neither OpenCV nor plain Pillow reads this format."),
    "svg": ("is a drawing (SVG)", "Image readers do not know this format."),
    "pdf": ("is a PDF", "Image readers do not know this format."),
    "zip": ("is an archive", "Image readers do not know this format."),
    "video": ("is a video", "Image readers do not know this format."),
    "json": ("is JSON text", "Image readers do not know this format."),
    "xml": ("is XML text", "Image readers do not know this format."),
    "unreadable": ("cannot be read", ""),
    "unknown": ("has no format that is known", "The first bytes belong to no image format."),
}
_FIXES = {
    "git-lfs": ("Fetch the content of the pointers.", "git lfs pull"),
    "npy": ("Load it with numpy.load and give the array to the detector.", ""),
    "array": ("Save the array again with numpy.save, as numbers.", ""),
    "heic": ("Convert it to JPEG or PNG, or install pillow-heif.", "pip install pillow-heif"),
}


def _decoded(image: ImageFile) -> bool:
    return bool(image.get("decoder")) and not image.get("error")


@check("image-unreadable", family="input", title="the images can be read")
def image_unreadable(images: list[ImageFile], recordings: Sequence[Recording] = ()) -> Findings:
    """Find files that no reader makes an image of.

    ## What it checks
    Whether each file exists, is not empty, begins like an image, ends like one, and was decoded
    where decoding was tried. Web pages, Git LFS pointers and NumPy arrays are told apart. Of a
    video, a camera or a stream: whether OpenCV got a picture out of it.

    ## Why it matters
    ``cv2.imread`` returns None for such a file without an error; the detector then fails with a
    message about None. mtcnn 1.0 given the path returns no faces.

    ## How to fix it
    Get the file again, or convert it to PNG or JPEG.

    ## Sources
    - https://github.com/ipazc/mtcnn/issues/31
    """
    for image in images:
        kind, failed = image.get("format", "unknown"), image.get("error")
        if _decoded(image):
            continue
        if kind in _READABLE and not failed:
            if "decoder" in image and image["decoder"] is None:
                failed = "no reader could decode it"
            else:
                continue
        name = name_of(image)
        words, cause = _WORDS.get(kind, (f"cannot be read: {failed}", ""))
        remedy, command = _FIXES.get(
            kind, ("Get the file again, or convert it to PNG or JPEG.", "")
        )
        if kind in ("directory", "missing", "permission"):
            remedy = "Check the path and its permissions."
        yield error(
            f"{name} {words}",
            about=name,
            evidence=given(
                path=image.get("path"), format=kind, bytes=image.get("size_bytes"), error=failed
            ),
            effect="numpy.load raises an error, or runs what is in it where pickles are allowed."
            if kind == "array"
            else "Some readers raise an error; cv2.imread returns None without a word, or for "
            "a cut JPEG a picture that is filled only in part.",
            cause=cause,
            fix=remedy,
            commands=[command] if command else [],
        )
    for recording in recordings:
        if recording.get("frames"):
            continue
        name = recording.get("name", "video")
        yield error(
            f"{name}: {recording.get('error') or 'no picture came'}",
            about=name,
            evidence=given(
                OpenCV=recording.get("opencv"),
                backends=recording.get("backends"),
                needed=recording.get("needs"),
            ),
            effect="cv2.VideoCapture gives no picture, and read() answers (False, None).",
            cause=recording.get("cause", ""),
            fix=recording.get("fix", ""),
        )


@check("image-grayscale", family="input", title="the images have three channels")
def image_grayscale(images: list[ImageFile], arrays: Sequence[ImageArray] = ()) -> Findings:
    """Find images without colour channels.

    ## What it checks
    Whether a file stores one channel, or indexes into a palette, or an array has no three
    channels but one. A colour image whose channels are all equal is told as information.

    ## Why it matters
    Pillow, scikit-image and imageio load one channel as an array of height by width, on which
    the MTCNN packages raise an error. ``cv2.imread`` makes three equal channels of it by default;
    detection then works, a little less well than in colour.

    ## How to fix it
    Convert on loading: ``Image.open(path).convert("RGB")``.

    ## Sources
    - https://github.com/timesler/facenet-pytorch/issues/129
    - https://github.com/habrman/FaceRecognition/issues/2
    """
    for image in images:
        name, channels = name_of(image), image.get("channels")
        if channels in (1, 2) or image.get("palette"):
            how = "with a palette" if image.get("palette") else "in grey"
            yield warning(
                f"{name} is stored {how}",
                about=name,
                evidence=given(channels=channels, palette=image.get("palette")),
                effect="Loaded with Pillow, scikit-image or imageio it has no third dimension, and"
                " MTCNN packages raise an error; cv2.imread makes three channels of it.",
                fix='Convert on loading: Image.open(path).convert("RGB").',
                requires=[f"image-unreadable:{name}"],
            )
        elif image.get("equal_channels"):
            yield info(
                f"{name} is grey: its three channels are equal",
                about=name,
                effect="Detection works; scores may be a little lower than in colour.",
            )
    for array in arrays:
        name = array.get("name", "array")
        condition = found_in(array, "gray-2d", "gray-hw1", "gray-alpha")
        if condition is not None:
            yield error(
                f"{name} {says(condition)}",
                about=name,
                evidence=evidence(array),
                effect="Detectors raise an error about shapes or channels.",
                fix=fix(condition),
            )
        elif array.get("equal_channels") and array.get("minimum") != array.get("maximum"):
            yield info(
                f"{name} is grey: its three channels are equal",
                about=name,
                effect="Detection works; scores may be a little lower than in colour.",
            )


@check("image-alpha", family="input", title="the images have no fourth channel")
def image_alpha(images: list[ImageFile], arrays: Sequence[ImageArray] = ()) -> Findings:
    """Find images with transparency or in CMYK.

    ## What it checks
    Whether a file stores, or an array has, four channels: red, green, blue and transparency, or
    the four inks of print.

    ## Why it matters
    Readers that keep the fourth channel (Pillow, ``cv2.IMREAD_UNCHANGED``, imageio) give the
    detector an array it does not accept. ``cv2.imread`` drops it by default.

    ## How to fix it
    Convert on loading: ``Image.open(path).convert("RGB")``.

    ## Sources
    - https://github.com/habrman/FaceRecognition/issues/2
    - https://github.com/timesler/facenet-pytorch/issues/129
    """
    for image in images:
        if image.get("channels") != 4 and not image.get("cmyk"):
            continue
        name = name_of(image)
        what = "four inks (CMYK)" if image.get("cmyk") else "an alpha channel"
        yield warning(
            f"{name} has {what}",
            about=name,
            evidence=given(channels=image.get("channels"), format=image.get("format")),
            effect="Readers that keep it give arrays of height by width by 4, which MTCNN packages"
            " refuse; cv2.imread drops it by default.",
            fix='Convert on loading: Image.open(path).convert("RGB").',
            requires=[f"image-unreadable:{name}"],
        )
    for array in arrays:
        if found_in(array, "alpha") is None:
            continue
        name = array.get("name", "array")
        yield error(
            f"{name} {says('alpha')}",
            about=name,
            evidence=evidence(array),
            effect="Detectors raise an error about channels.",
            fix=fix("alpha"),
        )


@check("image-dtype", family="input", title="the images have 8 bits a channel")
def image_dtype(images: list[ImageFile], arrays: Sequence[ImageArray] = ()) -> Findings:
    """Find images of more than 8 bits a channel, and arrays of a type that detectors mishandle.

    ## What it checks
    Whether a file stores 16 or more bits for a channel; whether an array is of another type than
    uint8, float32 or float64.

    ## Why it matters
    Readers that keep the depth give values up to 65535 to detectors that expect 0 to 255. mtcnn
    1.0 then returns many boxes of confidence 1 that show nothing; facenet-pytorch may refuse the
    type. Other integers work with some packages and not with others (mtcnn 0.1 resizes with
    OpenCV, which knows few types), and of a bool nothing is found.

    ## How to fix it
    Scale to 8 bits first: ``(image / 257).astype("uint8")``.

    ## Sources
    - https://github.com/ipazc/mtcnn
    - https://github.com/timesler/facenet-pytorch
    """
    for image in images:
        depth = image.get("bit_depth") or 8
        if depth > 8:
            name = name_of(image)
            yield warning(
                f"{name} stores {depth} bits a channel",
                about=name,
                evidence={"bits a channel": depth, "format": image.get("format")},
                effect="Readers that keep the depth give values far above 255; the boxes found"
                " then mean nothing. cv2.imread reduces it to 8 bits by default.",
                fix='Scale to 8 bits first: (image / 257).astype("uint8").',
                requires=[f"image-unreadable:{name}"],
            )
    for array in arrays:
        condition = found_in(array, "uint16", "integer", "bool", "float16", "byte-order", "object")
        if condition is None:
            continue
        name = array.get("name", "array")
        yield error(
            f"{name} {says(condition)}",
            about=name,
            evidence=evidence(array),
            effect="Detectors take uint8, or float32 and float64 of 0 to 255; with others some"
            " raise errors, and some return nothing or nonsense.",
            fix=fix(condition)
            or "Give the detector numbers: np.stack makes an array of images of one size.",
        )


@check("image-orientation", family="input", title="the images are upright")
def image_orientation(images: list[ImageFile], looks: Sequence[Look] = ()) -> Findings:
    """Find images that are turned only by a note in their EXIF data, or not turned at all.

    ## What it checks
    Whether the EXIF orientation is other than 1; with ``inspect`` also whether large, certain
    faces appear only when the image is turned by 90 or 180 degrees.

    ## Why it matters
    Cameras store the picture as the sensor saw it and note how to turn it. ``cv2.imread`` applies
    the note, Pillow and imageio do not, and MTCNN does not find faces that lie on their side: the
    same file has faces with one reader and none with the other.

    ## How to fix it
    With Pillow apply the note: ``ImageOps.exif_transpose(Image.open(path))``. Where there is no
    note, turn the array: ``image = np.rot90(image)``.

    ## Sources
    - https://pillow.readthedocs.io/en/stable/reference/ImageOps.html
    """
    turns = {3: "by 180°", 6: "by 90°", 8: "by 90°", 5: "by 90°", 7: "by 90°", 4: "by 180°"}
    noted = set()
    for image in images:
        orientation = image.get("orientation") or 1
        if orientation == 1:
            continue
        name = name_of(image)
        noted.add(name)
        how = f"turned {turns[orientation]}" if orientation in turns else "mirrored"
        yield warning(
            f"{name} is stored {how} (EXIF orientation {orientation})",
            about=name,
            evidence={"EXIF orientation": orientation},
            effect="cv2.imread turns it upright and Pillow does not; faces that lie on their side"
            " are not found.",
            fix="With Pillow: ImageOps.exif_transpose(Image.open(path)).",
            requires=[f"image-unreadable:{name}"],
        )
    for look in looks:
        turned, name = look.get("turned"), look.get("name", "image")
        if not turned or name in noted:
            continue
        quarters = turned["quarters"]
        yield warning(
            f"{name} shows faces only when it is turned by {_degrees(quarters)}",
            about=name,
            evidence={"faces as it is": 0, "faces when turned": turned["faces"]},
            effect="No MTCNN finds faces that lie on their side or stand on their head.",
            fix=f"image = np.rot90(image, {quarters})",
        )


def _degrees(quarters: int) -> str:
    """Return what ``numpy.rot90`` does with a number of quarters."""
    return {1: "90° to the left", 2: "180°", 3: "90° to the right"}[quarters]


@check("image-size", family="input", title="the images are neither too small nor too large")
def image_size(
    images: list[ImageFile],
    arrays: Sequence[ImageArray] = (),
    memory: Memory | None = None,
) -> Findings:
    """Find images in which no face can be found for their size, and those too large to run.

    ## What it checks
    Whether a side of the image is shorter than the smallest face that detectors look for (20
    pixels unless told otherwise), or than one window of P-Net (12 pixels). Whether the memory that
    the MTCNN packages were measured to take for so many pixels (56 bytes a pixel beside 329 MiB
    for facenet-pytorch 2.6, 160 beside 582 MiB for mtcnn 1.0) is more than may be used here.

    ## Why it matters
    The image pyramid of a tiny image is empty: mtcnn returns nothing, facenet-pytorch raises
    "torch.cat(): expected a non-empty list of Tensors". A huge one ends the process, or takes
    minutes: mtcnn 1.0 took 50 s for 12 megapixels on two cores.

    ## How to fix it
    Use a tiny image in its original size, or pad it. Make a smaller copy of a huge one: what is
    lost are the faces that become smaller than 20 pixels, and the finding says which those are.

    ## Sources
    - https://github.com/timesler/facenet-pytorch/issues/109
    - https://github.com/timesler/facenet-pytorch/issues/176
    """
    usable = usable_memory(memory or {})
    for image in images:
        width, height = image.get("width"), image.get("height")
        if width and height:
            yield from _judged_size(name_of(image), width, height, usable)
    for array in arrays:
        sides = sides_of(array)
        if sides is not None:
            yield from _judged_size(array.get("name", "array"), *sides, usable)


def _judged_size(name: str, width: int, height: int, usable: int | None) -> Findings:
    size = {"width": width, "height": height}
    root = [f"image-unreadable:{name}"]
    if min(width, height) < MIN_FACE:
        hopeless = min(width, height) < WINDOW
        smallest = f"one window of P-Net ({WINDOW})" if hopeless else f"a face ({MIN_FACE})"
        yield (error if hopeless else warning)(
            f"{name} is {width}×{height} pixels, smaller than {smallest}",
            about=name,
            evidence={**size, "min_face_size": MIN_FACE},
            effect="The image pyramid is empty: nothing is found, or an error is raised.",
            fix="Use the image in its original size.",
            requires=root,
        )
        return
    pixels = width * height
    least, most = takes(pixels)
    too_much = usable is not None and least > usable
    near = usable is not None and most > usable
    if pixels < _SLOW_PIXELS and not near:
        return
    factor = max(width, height) / _COPY
    smaller = f"{round(width / factor)}×{round(height / factor)}"
    yield (error if too_much else warning)(
        f"{name} is {width}×{height} pixels ({pixels / 1e6:.0f} megapixels)"
        + (": more than fits into memory" if too_much else ""),
        about=name,
        evidence={
            **size,
            "memory it takes": f"{least / _MIB:.0f} MiB (facenet-pytorch 2.6) to "
            f"{most / _MIB:.0f} MiB (mtcnn 1.0), measured on smaller images",
            **given(**{"memory that may be used": usable and f"{usable / _MIB:.0f} MiB"}),
        },
        effect="The process ends for want of memory, or a detection takes minutes.",
        fix=f"Detect on a copy of {smaller}: image = cv2.resize(image, None, fx={1 / factor:.4f}, "
        f"fy={1 / factor:.4f}, interpolation=cv2.INTER_AREA), and divide the boxes by the same "
        f"number. Faces of less than {MIN_FACE * factor:.0f} pixels of the original are lost.",
        # Where the detectors that would run are known, their memory is told more exactly.
        requires=[*root, "ram-headroom"],
    )
