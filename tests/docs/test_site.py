"""The site builds without a warning, has a page for every finding, and fetches nothing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mtcnn_doctor import registry
from mtcnn_doctor.cli.app import _COMMANDS
from mtcnn_doctor.knowledge import signatures
from mtcnn_doctor.knowledge.issues import issues
from mtcnn_doctor.lint import rules

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as a browser gets them, built from a copy as CONTRIBUTING.md says."""
    pytest.importorskip("sphinx")
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(DOCS, folder / "docs", ignore=shutil.ignore_patterns("_build", "findings"))
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "docs", "html"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder / "html"


class _Links(HTMLParser):
    """What a page links to, what it loads, and the places in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.places.add(values.get("id", ""))
        if tag == "a":
            self.links.append(values.get("href", ""))
        elif tag in ("script", "img", "iframe", "link"):
            self.loaded.append(values.get("src") or values.get("href", ""))


def test_no_page_has_the_name_of_one_that_sphinx_makes(site: Path) -> None:
    names = {path.stem for path in DOCS.glob("*.md")}
    assert names & {"search", "genindex", "py-modindex"} == set()


def test_every_finding_has_a_page(site: Path) -> None:
    ids = {check.id for check in registry.load(()).checks} | {rule.id for rule in rules()}
    pages = {path.stem for path in (site / "findings").glob("*.html")}
    assert pages == ids | {"index", "known-failures", "known-releases"}
    text = (site / "findings" / "numpy-abi.html").read_text(encoding="utf-8")
    assert "An extension built with the older headers" in text
    assert 'href="known-failures.html#numpy-abi-array-api"' in text


def test_every_row_of_the_knowledge_base_has_a_place(site: Path) -> None:
    for page, rows in (("known-failures", signatures()), ("known-releases", issues())):
        places = _Links((site / "findings" / f"{page}.html").read_text(encoding="utf-8")).places
        assert {row.id for row in rows} <= places


def test_every_finding_says_how_severe_it_is(site: Path) -> None:
    index = (site / "findings" / "index.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr.*?</tr>", index, re.DOTALL)
    silent = [row for row in rows if not re.search(r"error|warning|info|severity", row)]
    assert (silent, len(rows) > 100) == ([], True)


def test_every_command_has_one_page_with_its_options(site: Path) -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")}
    shown = [
        name for text in sources.values() for name in re.findall(r"<!-- options: (.+) -->", text)
    ]
    assert sorted(shown) == sorted(_COMMANDS), "each command wants a page: see CONTRIBUTING.md"
    assert "<code" in (bench := (site / "bench.html").read_text(encoding="utf-8"))
    assert "--min-face-size" in bench.partition('id="all-options"')[2]


def test_every_link_leads_somewhere_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = {path: _Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    lost = []
    for path, page in pages.items():
        lost += [f"{path.name}: loads {one}" for one in page.loaded if "//" in one]
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            name, _, place = link.partition("#")
            aim = (path.parent / name).resolve() if name else path.resolve()
            known = pages.get(aim)
            if not aim.exists() or (known is not None and place not in known.places):
                lost.append(f"{path.name}: {link}")
    assert lost == []
