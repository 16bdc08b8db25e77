"""Family weights: whether the arrays are the ones expected, in the expected order."""

from __future__ import annotations

from mtcnn_doctor.facts import WeightFile, WeightNetwork
from mtcnn_doctor.model import Findings, check, error, info, warning

from ._weights import KERAS, NAMES, PROGRAMS, TORCH, about, is_torch, name_of, networks, shape

_CONVERT = "mtcnn-doctor weights convert {} --repair --to {} -o DIR"


@check("weights-nesting", family="weights", title="the arrays lie where the program looks for them")
def weights_nesting(weights: list[WeightFile]) -> Findings:
    """Find arrays inside one container too many, or too few.

    ## What it checks
    The outermost object of the file: mtcnn 1.0 wants a flat list for each network, mtcnn 0.1 a
    dictionary of three lists, facenet a dictionary of layers, facenet-pytorch a state dictionary
    with its own names.

    ## Why it matters
    A dictionary given to Keras counts as one weight or three, and a checkpoint with the state
    dictionary inside, or names that begin with "module.", matches no parameter of the model.

    ## How to fix it
    Take the inner object, remove the prefix, or let ``mtcnn-doctor weights convert`` do it.

    ## Sources
    - https://github.com/ipazc/mtcnn
    - https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html
    """
    for file in weights:
        found = file.get("networks") or {}
        structure = file.get("structure") or {}
        if not found:
            continue
        network, facts = next(iter(found.items()))
        layout, top = facts.get("layout", ""), structure.get("top", "")
        words = effect = ""
        if layout == "mtcnn-1.0" and (top != "list" or structure.get("of") != ["array"]):
            length = structure.get("length") if top in ("list", "dictionary") else 1
            words = f"holds a {top} of {length}, not a flat list of arrays"
            effect = _count_error(network, length or 1, facts.get("expected", 0))
        elif file.get("format") == "npy with a pickle" and top != "dictionary":
            words = f"holds a {top}, not a dictionary"
            effect = "mtcnn 0.1 says 'TypeError: list indices must be integers or slices, not str'."
        elif is_torch(facts) and (top != "dictionary" or facts.get("prefix")):
            prefix = facts.get("prefix", "")
            words = f"has {prefix}. before each name" if prefix else f"holds an {top}"
            first = (facts.get("layers") or [{"name": "conv1.weight"}])[0]["name"]
            effect = (
                f"torch says 'Error(s) in loading state_dict for {TORCH[network]}: Missing key(s) "
                f'in state_dict: "{first}", ... Unexpected key(s) in state_dict: '
                f'"{prefix or "state_dict"}{"." + first if prefix else ""}", ...\'.'
            )
        if words:
            yield error(
                f"{name_of(file)} {words}",
                about=name_of(file),
                evidence={"outermost": top, "keys": structure.get("keys") or [], "of": layout},
                effect=effect,
                fix="Save the inner object, under the names of the model.",
                commands=[f"mtcnn-doctor weights convert {name_of(file)} --to {layout} -o DIR"]
                if facts.get("complete") and layout not in ("torch", "keras", "list")
                else [],
            )


def _count_error(network: str, given: int, expected: int) -> str:
    return (
        f"Keras says \"You called `set_weights(weights)` on layer '{KERAS[network]}' with a weight "
        f'list of length {given}, but the layer was expecting {expected} weights."'
    )


@check("weights-count", family="weights", title="no array is missing, and none is left over")
def weights_count(weights: list[WeightFile]) -> Findings:
    """Find networks with fewer or more arrays than MTCNN has.

    ## What it checks
    P-Net has 13 arrays, R-Net 16 and O-Net 21: kernel, bias and slope of each layer, kernel and
    bias of each head.

    ## Why it matters
    Keras refuses the whole list, torch names the keys. Missing slopes come of ReLU in place of
    PReLU; missing landmarks of a training without them.

    ## How to fix it
    Build the network as it was trained, or train the one that is expected.

    ## Sources
    - https://github.com/kpzhang93/MTCNN_face_detection_alignment
    - https://github.com/keras-team/keras/blob/master/keras/src/layers/layer.py
    """
    for file, network, facts in networks(weights):
        missing, extra = facts.get("missing") or [], facts.get("extra") or []
        count, expected = facts.get("arrays", 0), facts.get("expected", 0)
        if not missing and not extra:
            continue
        words = []
        if missing:
            words.append(f"misses {', '.join(missing[:3])}" + (" ..." if missing[3:] else ""))
        if extra:
            words.append(f"has {len(extra)} arrays too many")
        hint = ""
        if missing and all(name.endswith(".slope") for name in missing):
            hint = "All slopes are missing: trained with ReLU in place of PReLU?"
        elif missing and all(name.startswith("landmarks") for name in missing):
            hint = "Trained without landmarks?"
        make = error if missing else warning
        yield make(
            f"{about(file, network)} has {count} arrays, {expected} are expected: "
            + " and ".join(words),
            about=about(file, network),
            evidence={"missing": missing[:8], "too many": extra[:8]},
            effect=_count_effect(network, facts, count, expected),
            cause=hint,
            fix="Give the network's own weights.",
            requires=[f"weights-nesting:{name_of(file)}", f"weights-mixed:{name_of(file)}"],
        )


def _count_effect(network: str, facts: WeightNetwork, count: int, expected: int) -> str:
    missing = facts.get("missing") or []
    if is_torch(facts):
        key = f'Missing key(s) in state_dict: "{missing[0]}"' if missing else (
            f'Unexpected key(s) in state_dict: "{(facts.get("extra") or ["?"])[0].split(" ")[0]}"'
        )  # fmt: skip
        return f"torch says 'Error(s) in loading state_dict for {TORCH[network]}: {key}'."
    if count == expected:
        return "Keras says 'weight shape ... is not compatible with provided weight shape ...'."
    return _count_error(network, count, expected)


@check("weights-shape", family="weights", title="every array has the shape expected")
def weights_shape(weights: list[WeightFile]) -> Findings:
    """Find arrays of another shape than MTCNN's.

    ## What it checks
    Each array against the published definition, whatever the order of the axes.

    ## Why it matters
    Keras and torch compare shapes one by one and stop at the first that differs. PReLU without
    ``shared_axes=[1, 2]`` has a slope for every place of its map, not for every channel.

    ## How to fix it
    Train the published layers; convert a network of one's own only as a network of one's own.

    ## Sources
    - https://keras.io/api/layers/activation_layers/prelu/
    - https://github.com/kpzhang93/MTCNN_face_detection_alignment
    """
    for file, network, facts in networks(weights):
        wrong = facts.get("wrong") or []
        if not wrong:
            continue
        first = wrong[0]
        found, expected = shape(first["found"]), shape(first["expected"])
        if is_torch(facts):
            effect = (
                f"torch says 'size mismatch for {first['layer']}: copying a param with shape "
                f"torch.Size({list(first['found'])}) from checkpoint, the shape in current model "
                f"is torch.Size({list(first['expected'])})'."
            )
        else:
            effect = (
                f"Keras says 'Layer {KERAS[network]} weight shape ... is not compatible with "
                f"provided weight shape {found}.'"
            )
        slopes = all(one["layer"].endswith(".slope") for one in wrong)
        yield error(
            f"{about(file, network)}: {first['layer']} has the shape {found}, not {expected}",
            about=about(file, network),
            evidence={
                one["layer"]: f"{shape(one['found'])}, expected {shape(one['expected'])}"
                for one in wrong[:8]
            },
            effect=effect,
            cause="PReLU was built without shared_axes=[1, 2]." if slopes else "",
            fix="Give the network's own weights.",
            requires=[f"weights-mixed:{name_of(file)}"],
        )


@check("weights-orientation", family="weights", title="kernels lie as their program expects them")
def weights_orientation(weights: list[WeightFile]) -> Findings:
    """Find kernels with height and width exchanged, and features flattened in another order.

    ## What it checks
    Whether the kernels equal, or resemble, the published ones only after height and width are
    exchanged (or the inputs of the fully connected layer reordered), given the program whose
    format the file has.

    ## Why it matters
    The published networks were trained on transposed images. mtcnn 0.1, facenet and Caffe keep
    their kernels so, and transpose the image; mtcnn 1.0 and facenet-pytorch keep them upright.
    All shapes fit, nothing is raised, and P-Net still fires: faces get lost or land beside.

    ## How to fix it
    Convert the file with ``--repair``, or use it with the program it was made for.

    ## Sources
    - https://github.com/kpzhang93/MTCNN_face_detection_alignment
    - https://github.com/ipazc/mtcnn
    """
    for file, network, facts in networks(weights):
        if facts.get("orientation") != "otherwise":
            continue
        rows = [row for row in facts.get("layers") or () if _turned(row.get("alternative", ""))]
        layout = facts.get("layout", "")
        exact = all(row.get("alternative_equal") for row in rows)
        yield error(
            f"{about(file, network)} is not oriented as {PROGRAMS.get(layout, layout)} expects",
            about=about(file, network),
            evidence={
                row["name"]: f"{'equals' if row['alternative_equal'] else 'resembles'} the "
                f"published one with {row['alternative']}"
                + ("" if exact else f" ({row['alternative_correlation']:.2f} against "
                   f"{row['correlation']:.2f})")
                for row in rows
            },
            effect="Nothing is raised: all shapes fit. Faces get lost or land beside.",
            cause="The arrays were saved for a program that keeps them otherwise (mtcnn 0.1, "
            "facenet and Caffe transposed; mtcnn 1.0 and facenet-pytorch upright).",
            fix="Convert it.",
            commands=[_CONVERT.format(name_of(file), layout)],
        )  # fmt: skip


def _turned(words: str) -> bool:
    return words.startswith(("height and width", "flattened"))


@check("weights-head-order", family="weights", title="the heads are in their program's order")
def weights_head_order(weights: list[WeightFile]) -> Findings:
    """Find face, box and landmark heads in another order than the program reads them.

    ## What it checks
    For lists: whether the heads come as mtcnn 0.1 has them (face, box, landmarks) or as mtcnn 1.0
    (box, landmarks, face). For all files: whether the rows within a head equal the published ones
    only after reordering (face and background exchanged, y before x, points together).

    ## Why it matters
    Keras refuses a list in the other order: "Layer p_net weight shape (1, 1, 32, 4) is not
    compatible with provided weight shape (1, 1, 32, 2)." Rows in another order raise nothing: the
    detector takes background for faces, or moves its boxes sideways.

    ## How to fix it
    Convert the file with ``--repair``, or write the heads in the order that is expected.

    ## Sources
    - https://github.com/ipazc/mtcnn
    """
    for file, network, facts in networks(weights):
        heads, expected = facts.get("heads") or [], facts.get("expected_heads") or []
        rows = [
            row for row in facts.get("layers") or ()
            if row.get("alternative") and not _turned(row["alternative"])
        ]  # fmt: skip
        listed = facts.get("positional") and not facts.get("assumed") and len(heads) > 1
        if listed and expected and heads != expected:
            width = {"face": 2, "box": 4, "landmarks": 10}
            sizes = [shape(_kernel(network, width[name])) for name in (expected[0], heads[0])]
            layout = facts.get("layout", "")
            yield error(
                f"{about(file, network)} has its heads in the order {', '.join(heads)}; "
                f"{PROGRAMS.get(layout, layout)} expects {', '.join(expected)}",
                about=about(file, network),
                evidence={"found": heads, "expected": expected},
                effect=f"Keras says 'Layer {KERAS[network]} weight shape {sizes[0]} is not "
                f"compatible with provided weight shape {sizes[1]}.'",
                fix="Convert it.",
                commands=[_CONVERT.format(name_of(file), layout)],
            )
        if rows:
            words = sorted({row["alternative"] for row in rows})
            yield error(
                f"{about(file, network)}: {', '.join(words)}",
                about=f"{about(file, network)} rows",
                evidence={
                    row["name"]: f"{'equals' if row['alternative_equal'] else 'resembles'} the "
                    f"published one with {row['alternative']}"
                    for row in rows
                },
                effect="Nothing is raised: all shapes fit. Background is taken for faces, or "
                "boxes and points are moved along the wrong axis.",
                fix="Write the rows in the published order: background, face; x1, y1, x2, y2; "
                "five x, then five y.",
            )


def _kernel(network: str, width: int) -> tuple[int, ...]:
    inputs = {"pnet": (1, 1, 32), "rnet": (128,), "onet": (256,)}[network]
    return (*inputs, width)


@check("weights-dtype", family="weights", title="the numbers are float32")
def weights_dtype(weights: list[WeightFile]) -> Findings:
    """Tell of numbers that are kept in another type than the networks use.

    ## What it checks
    The element type of every array.

    ## Why it matters
    Half precision has three digits: the networks work, and scores differ in the third digit.
    Integers are no weights but something that was scaled, and the scale is not in the file.

    ## How to fix it
    Save float32; of integers, use the file they were made from.

    ## Sources
    - https://numpy.org/doc/stable/reference/arrays.dtypes.html
    """
    for file, network, facts in networks(weights):
        codes = [code for code in facts.get("dtypes") or () if code[1:] != "f4"]
        if not codes:
            continue
        whole = any(code[1] in "iu" and code[1:] != "bf2" for code in codes)
        yield (warning if whole else info)(
            f"{about(file, network)} is kept as {', '.join(codes)}, not as float32",
            about=about(file, network),
            evidence={"types": facts.get("dtypes")},
            effect="Scores differ from the third digit on." if "f2" in str(codes) else "",
            fix=f"Save {NAMES[network]} as float32.",
        )
