"""Rules on the frameworks under the detectors."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from packaging.version import InvalidVersion, Version

from mtcnn_doctor.lint.edits import replaced
from mtcnn_doctor.lint.flow import Flow, Other
from mtcnn_doctor.lint.model import Problem, Unit, rule

_FRAMEWORKS = ("torch", "tensorflow", "cv2", "mtcnn", "facenet_pytorch", "keras", "onnxruntime")
#: Names of TensorFlow 1 that TensorFlow 2 has below ``compat.v1`` alone.
_TF1 = {
    "Session", "InteractiveSession", "ConfigProto", "GPUOptions", "placeholder",
    "global_variables_initializer", "get_default_graph", "reset_default_graph", "layers",
    "get_variable", "variable_scope", "GraphDef", "gfile", "logging", "set_random_seed",
}  # fmt: skip
_GROWTH = "tensorflow.config.experimental.set_memory_growth"
#: Calls after which the devices of TensorFlow are fixed.
_INITIALISES = {
    "tensorflow.constant", "tensorflow.Variable", "tensorflow.zeros", "tensorflow.ones",
    "tensorflow.test.is_gpu_available", "tensorflow.config.list_logical_devices",
    "tensorflow.config.experimental.list_logical_devices", "tensorflow.random.normal",
    "tensorflow.keras.Sequential", "tensorflow.keras.models.load_model",
    "tensorflow.convert_to_tensor",
}  # fmt: skip


@rule("lint-import-error", "imports of frameworks are guarded against all that they raise")
def import_error(unit: Unit, flow: Flow) -> Iterable[Problem]:
    """Note imports of frameworks that are guarded against ImportError alone.

    ## What it checks
    Whether an ``import`` of a framework stands alone in a ``try`` whose only handler is for
    ``ImportError`` or ``ModuleNotFoundError``. It is told as information: where the framework is
    optional and well installed that is right.

    ## Why it matters
    A broken installation raises other errors, too: OSError for a missing library, AttributeError
    and SystemError for another NumPy, RuntimeError for another torchvision. A framework that
    crashes is caught by no handler at all.

    ## How to fix it
    ``except Exception``, and say what was raised.

    ## Sources
    - https://numpy.org/doc/stable/user/troubleshooting-importerror.html
    """
    for node in ast.walk(unit.tree):
        if not isinstance(node, ast.Try) or len(node.handlers) != 1:
            continue
        caught = node.handlers[0].type
        if not (isinstance(caught, ast.Name) and caught.id in _IMPORT_ERRORS):
            continue
        for statement in node.body:
            names = []
            if isinstance(statement, ast.Import):
                names = [alias.name for alias in statement.names]
            elif isinstance(statement, ast.ImportFrom) and not statement.level:
                names = [statement.module or ""]
            framework = next((n for n in names if n.split(".")[0] in _FRAMEWORKS), None)
            if framework is not None:
                yield Problem(
                    statement.lineno,
                    f"a broken {framework.split('.')[0]} raises other errors than {caught.id}",
                    "info",
                    "catch Exception, and say what was raised",
                    replaced(unit, caught, "Exception"),
                )
                break


_IMPORT_ERRORS = ("ImportError", "ModuleNotFoundError")


@rule("lint-memory-growth-late", "GPU memory growth is set before anything is on the GPU")
def memory_growth_late(unit: Unit, flow: Flow) -> Iterable[Problem]:
    """Find set_memory_growth behind what initialises TensorFlow's devices.

    ## What it checks
    Whether ``tf.config.experimental.set_memory_growth`` is called after an MTCNN of TensorFlow was
    built, or a tensor or model was made, in the order of the program.

    ## Why it matters
    It raises "Physical devices cannot be modified after being initialized", where there is a GPU.

    ## How to fix it
    Call it right after TensorFlow was imported.

    ## Sources
    - https://www.tensorflow.org/guide/gpu
    """
    inside = {
        id(inner)
        for function in ast.walk(unit.tree)
        if isinstance(function, (ast.FunctionDef, ast.Lambda, ast.AsyncFunctionDef))
        for inner in ast.walk(function)
    }
    built = {id(d.call) for d, _ in flow.detectors if d.package == "mtcnn"}
    earlier: ast.Call | None = None
    # Of functions nobody knows when they are called.
    for call, name, _ in sorted(flow.calls, key=lambda one: one[0].lineno):
        if id(call) in inside:
            continue
        if earlier is None and (id(call) in built or name in _INITIALISES):
            earlier = call
        elif earlier is not None and name == _GROWTH and call.lineno > earlier.lineno:
            yield Problem(
                call.lineno,
                f"TensorFlow's devices are initialised by then, in line {earlier.lineno}: "
                "RuntimeError where there is a GPU",
                "error",
                "call it right after the import of TensorFlow",
            )


@rule("lint-tf1", "nothing of TensorFlow 1 is used with TensorFlow 2")
def tf1(unit: Unit, flow: Flow) -> Iterable[Problem]:
    """Find names of TensorFlow 1 that TensorFlow 2 does not have.

    ## What it checks
    ``tf.Session``, ``tf.ConfigProto``, ``tf.placeholder``, ``tf.get_default_graph``, ``tf.contrib``
    and their kind, where ``tf`` is TensorFlow itself and not its ``compat.v1``. Nothing is said
    where TensorFlow 1 is installed.

    ## Why it matters
    "module 'tensorflow' has no attribute 'Session'".

    ## How to fix it
    ``tf.compat.v1.Session``, or better the way of TensorFlow 2, which needs none.

    ## Sources
    - https://www.tensorflow.org/guide/migrate
    """
    try:
        installed = next(
            (v for k, v in unit.versions.items() if k.startswith("tensorflow") and k in _TF), None
        )
        if installed and Version(installed).major < 2:
            return
    except InvalidVersion:
        pass
    # A program that asks hasattr or the version works with both.
    guarded = any(
        "__version__" in (ast.dump(n.test)) or "hasattr" in ast.dump(n.test)
        for n in ast.walk(unit.tree)
        if isinstance(n, ast.If)
    )
    for node in ast.walk(unit.tree):
        if not isinstance(node, ast.Attribute):
            continue
        name = flow.full_name(node)
        first, _, last = name.rpartition(".")
        if first != "tensorflow" or not (last in _TF1 or last == "contrib"):
            continue
        source = ast.get_source_segment(unit.text, node.value)
        fixed = replaced(unit, node, f"{source}.compat.v1.{last}") if last != "contrib" else ()
        yield Problem(
            node.lineno,
            f"TensorFlow 2 has no tf.{last}",
            "info" if guarded else "error",
            f"tf.compat.v1.{last}" if last != "contrib" else "it has no successor of that name",
            fixed,
        )


_TF = {"tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-intel", "tensorflow-macos"}


@rule("lint-dataset-class-weight", "class_weight is given to fit, not to a dataset")
def dataset_class_weight(unit: Unit, flow: Flow) -> Iterable[Problem]:
    """Find class_weight taken for something that datasets have.

    ## What it checks
    Whether ``class_weight`` is read or called on what is known to be a ``tf.data.Dataset``.

    ## Why it matters
    There is no such attribute: "object has no attribute 'class_weight'".

    ## How to fix it
    ``model.fit(dataset, class_weight={0: 1.0, 1: 3.0})``, or weights as third part of the samples.

    ## Sources
    - https://www.tensorflow.org/api_docs/python/tf/data/Dataset
    - https://www.tensorflow.org/api_docs/python/tf/keras/Model#fit
    """
    for node in ast.walk(unit.tree):
        if isinstance(node, ast.Attribute) and node.attr == "class_weight":
            held = flow.values.get(id(node.value))
            if isinstance(held, Other) and held.kind == "dataset":
                yield Problem(
                    node.lineno,
                    "a tf.data.Dataset has no class_weight: AttributeError",
                    "error",
                    "give class_weight to model.fit",
                )


@rule("lint-load-weights-only", "files of weights alone are loaded as weights")
def load_weights_only(unit: Unit, flow: Flow) -> Iterable[Problem]:
    """Find load_model on a file that by its name holds weights alone.

    ## What it checks
    Whether ``load_model`` of Keras is given a literal path that ends in ``.weights.h5`` (error), or
    an ``.h5`` file whose name speaks of weights (warning).

    ## Why it matters
    Such a file holds no architecture: "No model config found in the file".

    ## How to fix it
    Build the model first, then ``model.load_weights(path)``.

    ## Sources
    - https://keras.io/api/models/model_saving_apis/weights_saving_and_loading/
    """
    for call, name, _ in flow.calls:
        known = name.startswith(("tensorflow.", "keras.", "tf_keras."))
        if not (known and name.endswith("load_model") and call.args):
            continue
        path = call.args[0]
        if not (isinstance(path, ast.Constant) and isinstance(path.value, str)):
            continue
        file = path.value.replace("\\", "/").rsplit("/", 1)[-1].lower()
        if not (file.endswith((".h5", ".hdf5")) and "weight" in file):
            continue
        sure = file.endswith(".weights.h5")
        yield Problem(
            call.lineno,
            f"{path.value} holds weights alone"
            + ("" if sure else ", by its name")
            + ": load_model finds no model in it",
            "error" if sure else "warning",
            "build the model, then model.load_weights(...)",
        )


RULES = (
    import_error, memory_growth_late, tf1, dataset_class_weight, load_weights_only,
)  # fmt: skip
