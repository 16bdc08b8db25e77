"""Make reference_images/previews/*.jpg: the bundled images, small, for the HTML report.

python scripts/make_previews.py        (needs Pillow)
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "reference_images"
LONGEST_PX = 640
QUALITY = 70


def main() -> None:
    """Write a preview of each image."""
    from PIL import Image

    previews = FOLDER / "previews"
    previews.mkdir(exist_ok=True)
    for path in sorted(FOLDER.glob("*.png")):
        image = Image.open(path).convert("RGB")
        image.thumbnail((LONGEST_PX, LONGEST_PX))
        image.save(previews / f"{path.stem}.jpg", quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main()
