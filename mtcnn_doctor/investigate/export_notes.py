"""What stands beside exported models: how to feed them and what comes out of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtcnn_doctor import __version__

#: The names of the notes.
NAMES = ("metadata.json", "README.md")

_SIZES = {"pnet": ("H", "W"), "rnet": (24, 24), "onet": (48, 48)}
_WIDTHS = {"face": 2, "box": 4, "landmarks": 10}
_MEANINGS = {
    "face": "logits: no face, face; probability = softmax, second value",
    "box": "dx1, dy1, dx2, dy2 in units of the box's width and height",
    "landmarks": "x1..x5, y1..y5 in units of the box: left eye, right eye, nose, left and right "
    "corner of the mouth",
}
_LICENCE = (
    "The weights are those of the package mtcnn 1.0.0, which are those of the original MTCNN by "
    "Kaipeng Zhang, under the MIT License; keep the notice below with them."
)
_NOTICE = """Copyright (c) 2019-2024 Iván de Paz Centeno

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE."""
_OWN_LICENCE = "The weights were given by whoever exported them; their licence applies."


def write(folder: Path, result: Mapping[str, Any]) -> None:
    """Write both notes for the result of an export into a folder."""
    document = metadata(result)
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    (folder / "metadata.json").write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(_readme(document), encoding="utf-8")


def metadata(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of ``metadata.json``."""
    last = result["kind"] in ("tflite", "savedmodel")
    verification = result["verification"]
    return {
        "format": result["kind"],
        "tool": f"mtcnn-doctor {__version__}",
        "input": {
            "name": "image",
            "layout": "NHWC" if last else "NCHW",
            "dtype": "float32",
            "colour": "RGB",
            "normalisation": "(value - 127.5) / 128 for values 0 to 255",
        },
        "networks": {
            network: {
                "file": one["name"],
                "sha256": one["sha256"],
                "weights_sha256": one["weights_sha256"],
                "input_shape": _shape(3, _SIZES[network], last),
                "outputs": _outputs(network, last),
            }
            for network, one in result["networks"].items()
        },
        "verified": None
        if verification is None
        else {key: verification[key] for key in ("reader", "version", "max_error")},
        "licence": _LICENCE if result["weights"]["published"] else _OWN_LICENCE,
    }


def _shape(channels: int, size: tuple[Any, Any], last: bool) -> list[Any]:
    return ["N", *size, channels] if last else ["N", channels, *size]


def _outputs(network: str, last: bool) -> list[dict[str, Any]]:
    names = ["face", "box", *(["landmarks"] if network == "onet" else [])]
    small = ("(H - 1) // 2 - 4", "(W - 1) // 2 - 4")
    return [
        {
            "name": name,
            "shape": _shape(_WIDTHS[name], small, last)
            if network == "pnet"
            else ["N", _WIDTHS[name]],
            "meaning": _MEANINGS[name],
        }
        for name in names
    ]


def _readme(document: Mapping[str, Any]) -> str:
    given = document["input"]
    lines = [
        f"# MTCNN as {document['format']}",
        "",
        f"Written by {document['tool']}. The three networks of MTCNN (Zhang et al., 2016), without",
        "the cascade around them; `metadata.json` says the same for programs.",
        "",
        f"Input `{given['name']}`: {given['dtype']}, {given['layout']}, {given['colour']}, "
        f"{given['normalisation']}. N is free; P-Net takes any size from 11 x 11 on.",
        "",
        "| network | file | input | outputs, in this order |",
        "|---|---|---|---|",
    ]
    for network, one in document["networks"].items():
        outputs = "; ".join(f"`{row['name']}` {_text(row['shape'])}" for row in one["outputs"])
        shape = _text(one["input_shape"])
        lines.append(f"| {network} | `{one['file']}` | {shape} | {outputs} |")
    lines += ["", *(f"- `{name}`: {meaning}." for name, meaning in _MEANINGS.items()), ""]
    if document["format"] == "torchscript":
        lines += ["The outputs come as a tuple.", ""]
    checked = document["verified"]
    if checked is None:
        lines.append("Not verified: nothing that reads this format was installed.")
    else:
        lines.append(
            f"Verified with {checked['reader']} {checked['version'] or ''}".rstrip()
            + f": within {checked['max_error']:.1e} of a float64 computation."
        )
    lines += ["", document["licence"], ""]
    if document["licence"] == _LICENCE:
        lines += [_NOTICE, ""]
    return "\n".join(lines)


def _text(shape: list[Any]) -> str:
    return "(" + ", ".join(map(str, shape)) + ")"
