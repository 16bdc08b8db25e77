"""What a person sees: the magics on a page of JupyterLab, in a real browser."""

from __future__ import annotations

import struct
from pathlib import Path

from . import jupyterlab

PHOTO = Path(__file__).parent.parent / "reference_images" / "border_faces.png"


def test_a_page_of_jupyterlab(tmp_path: Path) -> None:
    cells = [
        "%load_ext mtcnn_doctor",
        "%mtcnn_doctor check --level 1",
        f"import cv2\nimg = cv2.imread({str(PHOTO)!r})\n%mtcnn_inspect img --subject none",
        "%%mtcnn_guard\nimport ctypes\nctypes.string_at(0)",
        "1 + 1",
    ]
    with jupyterlab.page(tmp_path, cells) as page:
        page.run_all(len(cells))
        check, inspected, died, after = (page.output(cell) for cell in range(1, 5))
        assert len(page.pictures(2)) == 1
        for theme in ("Light", "Dark"):
            page.themed(f"JupyterLab {theme}")
            picture = page.photograph(f"page-{theme.lower()}.png").read_bytes()
            # It was drawn: an empty page of this size takes a tenth of that.
            assert struct.unpack(">I", picture[16:20])[0] == 1100
            assert len(picture) > 50_000
    assert "PASS nothing is wrong" in check
    assert "whole report" in check
    assert "warning channel-order img is BGR" in inspected
    assert "cv2.COLOR_BGR2RGB" in inspected
    assert "error the cell died of SIGSEGV" in died
    assert "line 2: ctypes.string_at(0)" in died
    assert "%mtcnn_doctor bench --backend all --bisect" in died
    # Said once, not in the traceback again.
    assert died.count("segmentation fault") == 1
    assert after.split() == ["[5]:", "2"]
    # What runs leaves nothing on the page.
    assert not any("…" in text for text in (check, inspected, died))
