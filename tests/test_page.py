"""The HTML report in a browser: it fits a phone and a desk, and its script is let run."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mtcnn_doctor.report.formats import ReportFormat, render

from .test_formats import HOSTILE

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

#: Looks into frames of two widths; Chromium's own windows are never as narrow as a phone.
WRAP = """<!doctype html><title>waiting</title>
<iframe width="375" height="800" src="report.html"></iframe>
<iframe width="1280" height="800" src="report.html"></iframe>
<script>
onload = () => {
  document.title = JSON.stringify([...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument;
    return {
      width: frame.contentWindow.innerWidth,
      needed: page.documentElement.scrollWidth,
      buttons: page.querySelectorAll("button").length,
      commands: page.querySelectorAll("pre.command").length,
      pictures: page.querySelectorAll("figure svg").length,
      text: page.body.innerText,
    };
  }));
};
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")
def test_the_page_fits_its_window_and_shows_everything_as_text(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render(ReportFormat.HTML, HOSTILE, 1), encoding="utf-8")
    (tmp_path / "wrap.html").write_text(WRAP, encoding="utf-8")
    done = subprocess.run(
        [
            str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu",
            # A page from a file may not look into another one otherwise.
            "--disable-web-security", f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=20000", "--dump-dom", (tmp_path / "wrap.html").as_uri(),
        ],
        capture_output=True, text=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title is not None, done.stderr
    for seen in json.loads(html.unescape(title[1])):
        assert seen["needed"] <= seen["width"]
        assert seen["buttons"] == seen["commands"] > 0
        assert seen["pictures"] == 1
        assert "<script>alert(1)</script>" in seen["text"]
        assert "not shown" in seen["text"]
