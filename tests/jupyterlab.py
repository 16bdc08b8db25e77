"""JupyterLab in a real browser: a page of it, run and looked at."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

#: JupyterLab asks about news and updates, and takes what is out of sight off the page.
_SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
_START_S = 90.0


class Page:
    """A notebook on the screen."""

    def __init__(self, browser: Any, folder: Path) -> None:
        self.browser, self.folder = browser, folder

    def command(self, name: str, **arguments: Any) -> None:
        """Do what stands in a menu of JupyterLab."""
        self.browser.execute_script(
            "window.jupyterapp.commands.execute(arguments[0], arguments[1])", name, arguments
        )

    def run_all(self, cells: int, limit_s: float = 180) -> None:
        """Run every cell, and wait for the number of the last one."""
        self.command("notebook:run-all-cells")
        _until(lambda: self.prompts()[cells - 1 :] == [f"[{cells}]:"], limit_s, self.prompts)

    def prompts(self) -> list[str]:
        """Return the numbers before the cells: "[*]:" while one runs."""
        return list(
            self.browser.execute_script(
                "return [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
                ".map(one => one.innerText)"
            )
        )

    def output(self, cell: int) -> str:
        """Return what stands below a cell (the first is 0) as a person reads it."""
        return str(
            self.browser.execute_script(
                "return document.querySelectorAll('.jp-CodeCell')[arguments[0]]"
                ".querySelector('.jp-Cell-outputArea').innerText",
                cell,
            )
        )

    def pictures(self, cell: int) -> list[tuple[int, int]]:
        """Return width and height of the pictures below a cell that were really drawn."""
        return [
            (width, height)
            for width, height in self.browser.execute_script(
                "return [...document.querySelectorAll('.jp-CodeCell')[arguments[0]]"
                ".querySelectorAll('.jp-Cell-outputArea img')]"
                ".map(one => [one.naturalWidth, one.naturalHeight])",
                cell,
            )
            if width
        ]

    def themed(self, theme: str) -> None:
        """Change the colours: "JupyterLab Light", "JupyterLab Dark"."""
        light = "true" if theme == "JupyterLab Light" else "false"
        self.command("apputils:change-theme", theme=theme)
        _until(
            lambda: (
                self.browser.execute_script(
                    # Its splash screen lies over the page for a moment.
                    "return document.getElementById('jupyterlab-splash') ? '' "
                    ": document.body.dataset.jpThemeLight"
                )
                == light
            ),
            30,
        )

    def photograph(self, name: str) -> Path:
        """Keep what is on the screen as a PNG file."""
        path = self.folder / name
        assert self.browser.save_screenshot(str(path))
        return path


def _until(holds: Callable[[], Any], limit_s: float, state: Callable[[], Any] = str) -> Any:
    end = time.monotonic() + limit_s
    while not (answer := holds()):
        assert time.monotonic() < end, f"waited {limit_s:g} s; it is {state()!r}"
        time.sleep(0.2)
    return answer


def notebook(path: Path, cells: Sequence[str]) -> None:
    """Write a notebook of code cells; one that fails does not keep the next from running."""
    document = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
        "cells": [
            {
                "id": f"cell-{number}",
                "cell_type": "code",
                "metadata": {"tags": ["raises-exception"]},
                "source": source,
                "outputs": [],
                "execution_count": None,
            }
            for number, source in enumerate(cells)
        ],
    }
    path.write_text(json.dumps(document), encoding="utf-8")


@contextmanager
def page(folder: Path, cells: Sequence[str], height: int = 2400) -> Iterator[Page]:
    """Show a notebook in JupyterLab; skips where that or a browser is missing."""
    pytest.importorskip("jupyterlab")
    pytest.importorskip("selenium")
    browser = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no Chromium with its chromedriver is installed")
    work = folder / "work"
    work.mkdir()
    notebook(work / "page.ipynb", cells)
    with _server(folder, work) as address, _window(browser, driver, folder, height) as window:
        window.get(f"{address}doc/tree/page.ipynb")
        shown = Page(window, folder)
        _until(
            lambda: window.execute_script(
                "return !!window.jupyterapp && "
                "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status"
                " === 'idle'"
            ),
            _START_S,
        )
        yield shown


@contextmanager
def _server(folder: Path, work: Path) -> Iterator[str]:
    """Start JupyterLab with settings and folders of its own; yields its address."""
    settings = folder / "settings" / "@jupyterlab"
    for name, values in _SETTINGS.items():
        file = settings / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
             "--ServerApp.port=0", "--IdentityProvider.token=", "--expose-app-in-browser",
             f"--ServerApp.root_dir={work}"],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield _until(
                lambda: _address(folder / "runtime"),
                _START_S,
                lambda: (folder / "server.log").read_text(encoding="utf-8")[-2000:],
            )
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(runtime: Path) -> str | None:
    for file in runtime.glob("jpserver-*.json"):
        try:
            told: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:  # it is being written
            continue
        return f"http://127.0.0.1:{told['port']}/" if told["port"] else None
    return None


@contextmanager
def _window(browser: str, driver: str, folder: Path, height: int) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--disable-background-networking", f"--window-size=1100,{height}",
        f"--user-data-dir={folder / 'profile'}",
    ):  # fmt: skip
        options.add_argument(argument)
    window = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield window
    finally:
        window.quit()
