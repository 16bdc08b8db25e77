"""Which Keras is active, and which one is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mtcnn_doctor.facts import Distribution, Environment, Packages
from mtcnn_doctor.model import Finding, Findings, check, error, info, warning

from ._graph import completed, keras_of, major, tensorflow_of
from ._installed import installed, label

_TRUE = ("1", "true")
# Frameworks that Keras 3 can stand on, and the distributions that bring them.
_BACKENDS = {"tensorflow": "", "torch": "torch", "jax": "jax", "openvino": "openvino"}


@check("keras-version", family="frameworks", title="the Keras that is needed is the active one")
def keras_version(packages: Packages, environment: Environment | None = None) -> Findings:
    """Find a Keras of the wrong generation, or on the wrong framework.

    ## What it checks
    Whether TensorFlow before 2.16, which is made for Keras 2, meets Keras 3, or a later one Keras
    2; whether ``TF_USE_LEGACY_KERAS`` asks for Keras 2 where tf-keras, which brings it, is not
    installed; whether ``KERAS_BACKEND`` puts Keras 3 on another framework than TensorFlow although
    the package mtcnn builds its networks with TensorFlow.

    ## Why it matters
    ``tf.keras`` is loaded at its first use only: TensorFlow is imported and computes, and then
    ``import mtcnn`` ends with "Keras cannot be imported. Check that it is installed", although it
    is.

    ## How to fix it
    Install the generation of Keras that TensorFlow asks for, install tf-keras of TensorFlow's own
    release, or leave the variable unset in the program that uses mtcnn.

    ## Sources
    - https://keras.io/getting_started/#installing-keras-3
    - https://github.com/tensorflow/tensorflow/issues/63849
    """
    present = completed(installed(packages))
    variables = (environment or {}).get("variables") or {}
    tensorflow = tensorflow_of(present)
    if tensorflow is None:
        yield from _alone(present, variables)
        return
    wanted = keras_of(present)
    is_legacy = variables.get("TF_USE_LEGACY_KERAS", "").strip().lower() in _TRUE
    if is_legacy and wanted == 3:
        if "tf-keras" not in present:
            yield _legacy(present, tensorflow, variables["TF_USE_LEGACY_KERAS"])
        return
    keras = present.get("keras")
    found = major(keras.get("version")) if keras else None
    if keras is not None and None not in (found, wanted) and found != wanted:
        yield _other_generation(present, tensorflow, keras, wanted or 0)
        return
    backend = variables.get("KERAS_BACKEND", "").strip().lower()
    if wanted == 3 and backend not in ("", "tensorflow"):
        yield _other_backend(present, backend)


def _needs(present: Mapping[str, Distribution]) -> str:
    return "mtcnn" if "mtcnn" in present else "tensorflow"


def _legacy(present: Mapping[str, Distribution], tensorflow: Distribution, value: str) -> Finding:
    kind = error if "mtcnn" in present else warning
    release = ".".join((tensorflow.get("version") or "").split(".")[:2])
    return kind(
        f"TF_USE_LEGACY_KERAS={value} asks for Keras 2, and tf-keras, which brings it, is not "
        "installed",
        about=_needs(present),
        evidence={
            "TF_USE_LEGACY_KERAS": value,
            "tensorflow": tensorflow.get("version", "?"),
            "tf-keras": "not installed",
        },
        effect="`tf.keras` ends with: Keras cannot be imported. Check that it is installed."
        + (" mtcnn builds its networks with it." if "mtcnn" in present else ""),
        cause="From TensorFlow 2.16 on Keras 2 is a distribution of its own.",
        fix=f"Install tf-keras {release}, or leave TF_USE_LEGACY_KERAS unset; mtcnn needs no "
        "Keras 2.",
        # tf-keras asks for the distribution tensorflow, which would be laid over any other build.
        commands=[
            f'pip install "tf-keras=={release}.*"'
            if tensorflow.get("key") == "tensorflow"
            else f'pip install --no-deps "tf-keras=={release}.*"'
        ],
    )


def _other_generation(
    present: Mapping[str, Distribution],
    tensorflow: Distribution,
    keras: Distribution,
    wanted: int,
) -> Finding:
    line = next(
        (row for row in tensorflow.get("requires") or [] if row.lower().startswith("keras")), ""
    )
    specifier = line.partition(";")[0].strip()[len("keras") :].strip()
    if not specifier or specifier.startswith("-"):
        specifier = "<3" if wanted == 2 else ">=3"
    return error(
        f"{label(tensorflow)} is made for Keras {wanted}, and keras {keras.get('version')} is "
        "installed",
        about=tensorflow.get("key", "tensorflow"),
        evidence={
            "tensorflow": tensorflow.get("version", "?"),
            "keras": keras.get("version", "?"),
            "asks for": f"keras{specifier}",
        },
        effect="`tf.keras` fails at its first use, and mtcnn with it.",
        cause="Keras was upgraded, or downgraded, after TensorFlow.",
        fix=f"Install keras{specifier}, or another TensorFlow.",
        commands=[f'pip install "keras{specifier}"'],
        requires=["path-pollution:keras"],
    )


def _other_backend(present: Mapping[str, Distribution], backend: str) -> Finding:
    is_used = "mtcnn" in present
    kind = error if is_used else info
    return kind(
        f"KERAS_BACKEND={backend} puts Keras 3 on another framework than TensorFlow"
        + (", which mtcnn builds its networks with" if is_used else ""),
        about=_needs(present),
        evidence={"KERAS_BACKEND": backend, "keras": _version(present, "keras")},
        effect="`import mtcnn` or its constructor fails: its networks are TensorFlow's."
        if is_used
        else "`tf.keras` cannot be used in this shell; nothing of MTCNN here needs it.",
        cause="Keras 3 reads the variable when it is first imported, and serves one framework.",
        fix="Leave KERAS_BACKEND unset, or set it to tensorflow, in the program that uses mtcnn.",
        commands=["export KERAS_BACKEND=tensorflow"] if is_used else (),
    )


def _alone(present: Mapping[str, Distribution], variables: Mapping[str, str]) -> Iterator[Finding]:
    """Yield that Keras 3 has nothing to stand on; nothing of MTCNN needs it then."""
    keras = present.get("keras")
    if keras is None or (major(keras.get("version")) or 0) < 3 or "mtcnn" in present:
        return  # mtcnn without TensorFlow is told by mtcnn-missing-backend
    backend = variables.get("KERAS_BACKEND", "").strip().lower() or "tensorflow"
    if _BACKENDS.get(backend, "?") in present:
        return
    yield info(
        f"keras {keras.get('version')} has no {backend} to stand on",
        about="keras",
        evidence={"keras": keras.get("version", "?"), "backend": backend},
        effect="`import keras` fails; MTCNN packages other than mtcnn do not need it.",
        fix="Set KERAS_BACKEND to the framework that is installed.",
    )


def _version(present: Mapping[str, Distribution], key: str) -> str:
    row = present.get(key)
    return row.get("version", "?") if row is not None else "not installed"
