"""Image files that the user gave: whether they can be read, and what loaders make of them."""

from __future__ import annotations

import posixpath

from mtcnn_doctor.facts import ImageFile
from mtcnn_doctor.model import Findings, check, error, info, warning

from ._installed import given

#: Smallest face, in pixels, that detectors look for unless told otherwise.
MIN_FACE = 20
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
    "heic": ("Convert it to JPEG or PNG, or install pillow-heif.", "pip install pillow-heif"),
}


def name_of(image: ImageFile) -> str:
    """Return the file name of an image."""
    return posixpath.basename(image.get("path", "").replace("\\", "/")) or "image"


def _decoded(image: ImageFile) -> bool:
    return bool(image.get("decoder")) and not image.get("error")


@check("image-unreadable", family="input", title="the images can be read")
def image_unreadable(images: list[ImageFile]) -> Findings:
    """Find files that no reader makes an image of.

    ## What it checks
    Whether each file exists, is not empty, begins like an image, ends like one, and was decoded
    where decoding was tried. Web pages, Git LFS pointers and NumPy arrays are told apart.

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
        fix, command = _FIXES.get(kind, ("Get the file again, or convert it to PNG or JPEG.", ""))
        if kind in ("directory", "missing", "permission"):
            fix = "Check the path and its permissions."
        yield error(
            f"{name} {words}",
            about=name,
            evidence=given(
                path=image.get("path"), format=kind, bytes=image.get("size_bytes"), error=failed
            ),
            effect="Some readers raise an error; cv2.imread returns None without a word, or for "
            "a cut JPEG a picture that is filled only in part.",
            cause=cause,
            fix=fix,
            commands=[command] if command else [],
        )


@check("image-grayscale", family="input", title="the images have three channels")
def image_grayscale(images: list[ImageFile]) -> Findings:
    """Find images without colour channels.

    ## What it checks
    Whether a file stores one channel, or indexes into a palette. A colour file whose channels are
    all equal is told as information.

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


@check("image-alpha", family="input", title="the images have no fourth channel")
def image_alpha(images: list[ImageFile]) -> Findings:
    """Find images with transparency or in CMYK.

    ## What it checks
    Whether a file stores four channels: red, green, blue and transparency, or the four inks of
    print.

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


@check("image-dtype", family="input", title="the images have 8 bits a channel")
def image_dtype(images: list[ImageFile]) -> Findings:
    """Find images of more than 8 bits a channel.

    ## What it checks
    Whether a file stores 16 or more bits for a channel.

    ## Why it matters
    Readers that keep the depth give values up to 65535 to detectors that expect 0 to 255. mtcnn
    1.0 then returns many boxes of confidence 1 that show nothing; facenet-pytorch may refuse the
    type.

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


@check("image-orientation", family="input", title="the images are stored upright")
def image_orientation(images: list[ImageFile]) -> Findings:
    """Find images that are turned only by a note in their EXIF data.

    ## What it checks
    Whether the EXIF orientation is other than 1.

    ## Why it matters
    Cameras store the picture as the sensor saw it and note how to turn it. ``cv2.imread`` applies
    the note, Pillow and imageio do not, and MTCNN does not find faces that lie on their side: the
    same file has faces with one reader and none with the other.

    ## How to fix it
    With Pillow apply the note: ``ImageOps.exif_transpose(Image.open(path))``.

    ## Sources
    - https://pillow.readthedocs.io/en/stable/reference/ImageOps.html
    """
    turns = {3: "by 180°", 6: "by 90°", 8: "by 90°", 5: "by 90°", 7: "by 90°", 4: "by 180°"}
    for image in images:
        orientation = image.get("orientation") or 1
        if orientation == 1:
            continue
        name = name_of(image)
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


@check("image-size", family="input", title="the images are large enough")
def image_size(images: list[ImageFile]) -> Findings:
    """Find images in which no face can be found for their size.

    ## What it checks
    Whether a side of the image is shorter than the smallest face that detectors look for (20
    pixels unless told otherwise).

    ## Why it matters
    The image pyramid of such an image is empty. mtcnn returns nothing; facenet-pytorch raises
    "torch.cat(): expected a non-empty list of Tensors".

    ## How to fix it
    Use the image in its original size, or pad it.

    ## Sources
    - https://github.com/timesler/facenet-pytorch/issues/109
    """
    for image in images:
        width, height = image.get("width"), image.get("height")
        if not width or not height or min(width, height) >= MIN_FACE:
            continue
        name = name_of(image)
        yield warning(
            f"{name} is {width}×{height} pixels, smaller than the smallest face ({MIN_FACE})",
            about=name,
            evidence={"width": width, "height": height, "min_face_size": MIN_FACE},
            effect="The image pyramid is empty: nothing is found, or an error is raised.",
            fix="Use the image in its original size.",
            requires=[f"image-unreadable:{name}"],
        )
