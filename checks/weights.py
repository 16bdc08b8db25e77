"""Family weights: files that cannot be read, or must not be, as weights."""

from __future__ import annotations

from mtcnn_doctor.facts import WeightFile
from mtcnn_doctor.model import Findings, check, error, info, warning

from ._weights import NAMES, name_of

_DAMAGE = {"truncated": "is cut off", "empty": "is empty", "damaged": "is damaged"}
_CUT_ERRORS = {
    "npy": "numpy: 'ValueError: Object arrays cannot be loaded when allow_pickle=False', or with "
    "allow_pickle=True 'UnpicklingError: Failed to interpret file ... as a pickle'",
    "empty": "numpy: 'EOFError: No data left in file'; torch: 'EOFError: Ran out of input'",
    "zip": "torch: 'RuntimeError: PytorchStreamReader failed reading zip archive: failed finding "
    "central directory'",
}
_WRONG = {
    "html": "is an HTML page",
    "git-lfs": "is a Git LFS pointer",
    "text": "is a text file",
    "image": "is an image",
}


@check("weights-not-a-model", family="weights", title="the weight files are no web pages or notes")
def weights_not_a_model(weights: list[WeightFile]) -> Findings:
    """Find files that were saved under the name of weights and are something else.

    ## What it checks
    Whether the file begins as an HTML page, a Git LFS pointer, a text or an image.

    ## Why it matters
    Programs open them all the same and fail with messages that speak of pickles: "This file
    contains pickled (object) data", "Failed to interpret file as a pickle", "invalid load key".

    ## How to fix it
    Get the file itself: the raw link on GitHub, or ``git lfs pull`` in a clone.

    ## Sources
    - https://numpy.org/doc/stable/reference/generated/numpy.load.html
    - https://docs.github.com/en/repositories/working-with-files/managing-large-files
    """
    for file in weights:
        words = _WRONG.get(file.get("state", ""))
        if words is None:
            continue
        lfs = file["state"] == "git-lfs"
        yield error(
            f"{name_of(file)} {words}",
            about=name_of(file),
            evidence={"bytes": file.get("bytes"), "what it is": file.get("reason", "")},
            effect="np.load says 'ValueError: This file contains pickled (object) data', with "
            "allow_pickle=True 'UnpicklingError: Failed to interpret file ... as a pickle'; "
            "joblib.load 'KeyError: 118'; torch.load 'UnpicklingError: invalid load key'.",
            fix="Get the file itself.",
            commands=["git lfs pull"] if lfs else [],
        )


@check("weights-truncated", family="weights", title="the weight files are whole")
def weights_truncated(weights: list[WeightFile]) -> Findings:
    """Find weight files that end too early, are empty, or are damaged inside.

    ## What it checks
    Whether every array has all its bytes, and whether checksums (zip, LZ4) fit.

    ## Why it matters
    A download that was cut off keeps the name of the whole file, and the messages of the programs
    speak of something else: NumPy of ``allow_pickle``, torch of a central directory.

    ## How to fix it
    Get the file again and compare its size, or its SHA-256, with the source.

    ## Sources
    - https://github.com/davidsandberg/facenet/tree/master/src/align
    - https://github.com/ipazc/mtcnn
    """
    for file in weights:
        state = file.get("state", "")
        if state not in _DAMAGE:
            continue
        format = "empty" if state == "empty" else ""
        name = name_of(file)
        if not format:
            format = (
                "npy" if name.endswith(".npy") else "zip" if name.endswith(("pt", "pth")) else ""
            )
        yield error(
            f"{name} {_DAMAGE[state]}",
            about=name,
            evidence={"bytes": file.get("bytes"), "what": file.get("reason", "")},
            effect=f"Loading it fails ({_CUT_ERRORS[format]})." if format else "Loading it fails.",
            fix="Get the file again.",
        )


@check("weights-unsafe", family="weights", title="no weight file runs code when it is loaded")
def weights_unsafe(weights: list[WeightFile]) -> Findings:
    """Find pickles that do more than describe arrays, and files made to exhaust memory.

    ## What it checks
    Which names the pickle inside a .npy, .npz, .pkl, .lz4 or .pt file asks for, against those
    that NumPy, joblib and torch write for arrays; Lambda layers of Keras; links to other files in
    HDF5; and sizes that no MTCNN has. The file is read without running anything.

    ## Why it matters
    Unpickling calls whatever the file names. ``np.load(allow_pickle=True)``, ``joblib.load`` and
    ``torch.load(weights_only=False)`` run it with your rights; mtcnn 1.0 loads a file that is
    given to a stage with joblib.

    ## How to fix it
    Do not load it. Get weights from their publisher, or let mtcnn-doctor convert the arrays.

    ## Sources
    - https://docs.python.org/3/library/pickle.html
    - https://docs.pytorch.org/docs/stable/generated/torch.load.html
    """
    for file in weights:
        name = name_of(file)
        if file.get("state") in ("bomb", "unsafe", "crash", "timeout"):
            yield error(
                f"{name} is made to do harm, or badly damaged",
                about=name,
                evidence={"what": file.get("reason", ""), "bytes": file.get("bytes")},
                effect="Loading it may take all memory, or read other files.",
                fix="Do not load it.",
            )
            continue
        refused = list(file.get("refused") or ())
        if not refused:
            continue
        calls = list(file.get("calls") or ())
        evidence = {"asks for": refused[:8], "calls": calls[:8]}
        if calls:
            yield error(
                f"{name} runs {calls[0]} when it is loaded",
                about=name,
                evidence=evidence,
                effect="np.load(allow_pickle=True), joblib.load and torch.load(weights_only=False) "
                "call it with your rights. It was not called now.",
                fix="Do not load it; get the weights from their publisher.",
            )
        else:
            yield warning(
                f"{name} is a whole pickled object, not only its weights",
                about=name,
                evidence=evidence,
                effect="torch 2.6 and newer refuse it: 'UnpicklingError: Weights only load failed'."
                " Other programs run the code of the modules it names.",
                fix="Save model.state_dict() instead, or convert the arrays.",
            )


@check("weights-format", family="weights", title="the weight files are of a known format")
def weights_format(weights: list[WeightFile]) -> Findings:
    """Find files that are no weights, or weights in a format that is not read here.

    ## What it checks
    The first bytes of the file, and whether an MTCNN is in it.

    ## Why it matters
    A checkpoint of TensorFlow 1, a frozen graph, a TensorRT engine or TorchScript cannot be given
    to a detector that expects arrays, and a model of another kind has other layers.

    ## How to fix it
    Use the file that it was made from, or follow the advice in the evidence.

    ## Sources
    - https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    - https://github.com/huggingface/safetensors
    """
    titles = {
        "unknown": "is of no known format",
        "advice": "is of a format that holds no plain weights",
        "needs-package": "cannot be read without another package",
        "too-large": "is far too large for an MTCNN",
        "other": "holds no MTCNN",
        "special": "is no file",
        "missing": "is not there",
        "permission": "may not be read",
    }
    for file in weights:
        state = file.get("state", "")
        if state not in titles:
            continue
        package = file.get("package")
        yield error(
            f"{name_of(file)} {titles[state]}",
            about=name_of(file),
            evidence={"bytes": file.get("bytes"), "what it is": file.get("reason", "")},
            fix=f"Install {package} in the target." if package else "Name a file of weights.",
            commands=[f"pip install {package}"] if package else [],
        )


@check("weights-mixed", family="weights", title="the weight files belong together")
def weights_mixed(weights: list[WeightFile]) -> Findings:
    """Find networks under another's name, and files of different packages side by side.

    ## What it checks
    Whether the name of a file and the network in it agree (``pnet.lz4`` with R-Net inside), and
    whether files that complete each other are kept in the manner of one package.

    ## Why it matters
    A network under another's name fails with "weight shape ... is not compatible". Files of
    different packages differ in orientation and order; each has the right shapes, and the
    detector finds too little.

    ## How to fix it
    Rename the files, or convert them to one format.

    ## Sources
    - https://github.com/ipazc/mtcnn
    - https://github.com/timesler/facenet-pytorch
    """
    layouts: dict[str, list[str]] = {}
    for file in weights:
        found = file.get("networks") or {}
        for network, facts in found.items():
            like, claims = facts.get("resembles"), file.get("claims")
            claimed = network if len(found) > 1 else claims
            if like and claimed and like != claimed:
                yield error(
                    f"{name_of(file)} holds {NAMES[like]}, and is called {NAMES[claimed]}",
                    about=name_of(file),
                    evidence={"named": claimed, "shapes of": like},
                    effect="Keras says 'Layer ... weight shape ... is not compatible with provided "
                    "weight shape ...' or counts other arrays than it expects; torch says 'size "
                    "mismatch'.",
                    fix=f"Give the file of {NAMES[claimed]}, or rename this one.",
                )
        if len(found) == 1:
            (facts,) = found.values()
            layouts.setdefault(str(facts.get("layout")), []).append(name_of(file))
    single = [file["networks"] for file in weights if len(file.get("networks") or {}) == 1]
    together = [next(iter(found)) for found in single]
    if len(layouts) > 1 and len(set(together)) == len(together):
        yield warning(
            f"files in the manner of {', '.join(sorted(layouts))} are side by side",
            about="the files",
            evidence=dict(layouts),
            effect="No package takes them as they are: kernels of one are the transposed ones of "
            "the other.",
            fix="Bring them into one format: mtcnn-doctor weights merge FILE FILE FILE -o FILE.",
        )


@check("weights-modified", family="weights", title="the weights are the published ones")
def weights_modified(weights: list[WeightFile]) -> Findings:
    """Tell which layers differ from the published weights.

    ## What it checks
    Every array, bit by bit, in one order and orientation for all formats.

    ## Why it matters
    It is no fault. Whoever retrained only the last layers sees whether that is so, and whoever
    trained nothing sees that the file is not what it seems.

    ## How to fix it
    Nothing is to be fixed. Let ``check --weights FILE`` say what the networks find.

    ## Sources
    - https://github.com/kpzhang93/MTCNN_face_detection_alignment
    """
    for file in weights:
        for network, facts in (file.get("networks") or {}).items():
            rows = facts.get("layers") or ()
            if not rows or facts.get("repaired_published"):
                continue
            changed = [row["name"] for row in rows if not row["equal"] and "alternative" not in row]
            if not changed:
                continue
            same = len(rows) - len(changed)
            unrelated = [row for row in rows if not row["equal"] and row["correlation"] < 0.5]
            if len(unrelated) > len(rows) / 2:
                words = "is a network of its own: most layers have nothing of the published ones"
            elif same == 0:
                words = "was retrained in every layer"
            else:
                layers = list(dict.fromkeys(name.rsplit(".", 1)[0] for name in changed))
                words = f"differs from the published one in {', '.join(layers)}"
            yield info(
                f"{NAMES[network]} of {name_of(file)} {words}",
                about=f"{name_of(file)} ({NAMES[network]})",
                evidence={"changed": changed, "unchanged": same},
            )
