"""What the names of a program hold, as far as that can be known without running it.

One walk over the statements in their order. What cannot be followed (attributes of objects, values
from other functions) is unknown, and of what is unknown no rule speaks.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

#: Names of the constructor, by the distribution it belongs to.
_DETECTORS = {
    "mtcnn.MTCNN": "mtcnn",
    "mtcnn.mtcnn.MTCNN": "mtcnn",
    "facenet_pytorch.MTCNN": "facenet-pytorch",
    "facenet_pytorch.models.mtcnn.MTCNN": "facenet-pytorch",
}
_DETECT = {"mtcnn": ("detect_faces",), "facenet-pytorch": ("detect",)}
_TO_RGB = ("COLOR_BGR2RGB", "COLOR_BGRA2RGB")
_TO_BGR = ("COLOR_RGB2BGR",)
_TO_GREY = ("COLOR_BGR2GRAY", "COLOR_RGB2GRAY")
_FROM_GREY = ("COLOR_GRAY2RGB", "COLOR_GRAY2BGR")
#: Methods and functions that leave order, channels and range as they are.
_SAME = {
    "copy", "astype", "cv2.resize", "numpy.array", "numpy.asarray", "numpy.ascontiguousarray",
    "cv2.GaussianBlur", "cv2.flip", "cv2.rotate", "PIL.Image.fromarray", "numpy.uint8",
    "numpy.rot90", "resize", "rotate", "numpy.copy", "numpy.float32",
}  # fmt: skip


@dataclass(frozen=True)
class Detector:
    """A detector that was built here."""

    package: str
    call: ast.Call


@dataclass(frozen=True)
class Picture:
    """An image: where it comes from, and what was done to it on the way."""

    origin: ast.Call
    order: str | None = None  # "BGR", "RGB"
    grey: ast.AST | None = None
    scaled: ast.AST | None = None
    unchecked: bool = False
    negative: bool = False
    resized: ast.Call | None = None
    resized_from: str | None = None


@dataclass(frozen=True)
class Other:
    """Something else of interest: "dataset", "capture", "boxes" of a detection."""

    kind: str
    call: ast.AST
    source: Picture | None = None


Value = Detector | Picture | Other | None


@dataclass(frozen=True)
class Detection:
    """A call that detects: on what, by what, and in which scope."""

    call: ast.Call
    detector: Detector
    given: Value
    name: str | None
    scope: ast.AST


@dataclass
class Flow:
    """What was found out about a program: see :func:`follow`.

    ``calls`` holds each call with its full name, in the order of the program, and whether it stands
    in a loop; ``values`` what each expression holds, where known.
    """

    imports: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[ast.Call, str, ast.AST | None]] = field(default_factory=list)
    detections: list[Detection] = field(default_factory=list)
    detectors: list[tuple[Detector, ast.AST | None]] = field(default_factory=list)
    values: dict[int, Value] = field(default_factory=dict)
    assignments: dict[int, tuple[ast.stmt, str]] = field(default_factory=dict)

    def full_name(self, node: ast.AST) -> str:
        """Return the dotted name of an expression with imports resolved, "" for others."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.imports.get(node.id, node.id), *reversed(parts)])

    def uses(self, package: str) -> bool:
        """Whether the program imports a package, or something of it."""
        return any(f"{name}.".startswith(f"{package}.") for name in self.imports.values())


def follow(tree: ast.Module) -> Flow:
    """Walk over a program and return what its names hold."""
    flow = Flow()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.split(".")[0]
                flow.imports[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                flow.imports[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    _Scope(flow, tree, {}, None).run(tree.body)
    return flow


class _Scope:
    """The names of the module or of one function."""

    def __init__(
        self, flow: Flow, node: ast.AST, outer: dict[str, Value], loop: ast.AST | None
    ) -> None:
        self.flow = flow
        self.node = node
        self.names: dict[str, Value] = dict(outer)
        self.loop = loop

    def run(self, body: list[ast.stmt]) -> None:
        """Go through statements in their order; functions last, when the module is known."""
        later: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
        for statement in body:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                later.append(statement)
            else:
                self.statement(statement)
        for function in later:
            inner: dict[str, Value] = {
                name: value
                for name, value in self.names.items()
                if isinstance(value, Detector)  # images of the module may change before a call
            }
            for argument in ast.walk(function.args):
                if isinstance(argument, ast.arg):
                    inner.pop(argument.arg, None)
            _Scope(self.flow, function, inner, None).run(function.body)

    def statement(self, node: ast.stmt) -> None:
        """Follow one statement and what is nested in it."""
        if isinstance(node, ast.ClassDef):
            _Scope(self.flow, node, self.names, None).run(node.body)
            return
        if isinstance(node, (ast.For, ast.AsyncFor)):
            self.value(node.iter)
            self.bind(node.target, None, node)
            self.block(node.body, node)
            self.block(node.orelse, self.loop)
            return
        if isinstance(node, ast.While):
            self.value(node.test)
            self.block(node.body, node)
            self.block(node.orelse, self.loop)
            return
        if isinstance(node, (ast.If, ast.Assert)):
            self.value(node.test)
            self.checked(node.test)
            if isinstance(node, ast.If):
                self.branches([node.body, node.orelse])
            return
        if isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                value = self.value(item.context_expr)
                if item.optional_vars is not None:
                    self.bind(item.optional_vars, value, node)
            self.block(node.body, self.loop)
            return
        if isinstance(node, ast.Try):
            self.block(node.body, self.loop)
            for handler in node.handlers:
                self.block(handler.body, self.loop)
            self.block(node.orelse, self.loop)
            self.block(node.finalbody, self.loop)
            return
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            value = self.value(node.value)
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                self.bind(target, value, node)
            return
        if isinstance(node, ast.AugAssign):
            self.value(node.value)
            if isinstance(node.target, ast.Name):
                held = self.names.get(node.target.id)
                if isinstance(held, Picture) and isinstance(node.op, ast.Div):
                    self.names[node.target.id] = _scaled(held, node.value, node)
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child)
            elif isinstance(child, ast.stmt):
                self.statement(child)

    def block(self, body: list[ast.stmt], loop: ast.AST | None) -> None:
        """Follow statements in or out of a loop."""
        before, self.loop = self.loop, loop
        for statement in body:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                _Scope(self.flow, statement, {}, None).run(statement.body)
            else:
                self.statement(statement)
        self.loop = before

    def branches(self, bodies: list[list[ast.stmt]]) -> None:
        """Follow alternatives; a name that holds different things after them is unknown."""
        start = dict(self.names)
        ends = []
        for body in bodies:
            self.names = dict(start)
            self.block(body, self.loop)
            if not (
                body and isinstance(body[-1], (ast.Return, ast.Raise, ast.Continue, ast.Break))
            ):
                ends.append(self.names)
        merged = ends[0] if ends else start
        for other in ends[1:]:
            merged = {n: v for n, v in merged.items() if n in other and other[n] == v}
        self.names = dict(merged)

    def checked(self, test: ast.expr) -> None:
        """A name that a condition speaks of is one that somebody looked at."""
        for node in ast.walk(test):
            if isinstance(node, ast.Name):
                held = self.names.get(node.id)
                if isinstance(held, Picture) and held.unchecked:
                    self.names[node.id] = replace(held, unchecked=False)

    def bind(self, target: ast.expr, value: Value, node: ast.stmt) -> None:
        """Let a name hold a value; tuples of a capture's and a detection's answer are known."""
        if isinstance(target, ast.Name):
            self.names[target.id] = value
            if value is not None:
                self.flow.assignments[id(value)] = (node, target.id)
                call = getattr(value, "origin", None) or getattr(value, "call", None)
                if call is not None:
                    self.flow.assignments.setdefault(id(call), (node, target.id))
        elif isinstance(target, (ast.Tuple, ast.List)):
            parts: list[Value] = [None] * len(target.elts)
            if isinstance(value, Other) and value.kind == "read" and len(parts) == 2:
                assert isinstance(value.call, ast.Call)
                parts[1] = Picture(value.call, order="BGR")
            if isinstance(value, Other) and value.kind == "boxes" and parts:
                parts[0] = value
            for element, part in zip(target.elts, parts, strict=True):
                self.bind(element, part, node)
        elif isinstance(target, ast.Starred):
            self.bind(target.value, None, node)

    # -- expressions ----------------------------------------------------------------------------

    def value(self, node: ast.expr) -> Value:
        """Return what an expression holds; calls in it are noted."""
        found = self._value(node)
        if found is not None:
            self.flow.values[id(node)] = found
        return found

    def _value(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Subscript):
            held = self.value(node.value)
            self.value(node.slice)
            return _sliced(held, node) if isinstance(held, Picture) else None
        if isinstance(node, ast.BinOp):
            left, right = self.value(node.left), self.value(node.right)
            if isinstance(left, Picture):
                if isinstance(node.op, ast.Div):
                    return _scaled(left, node.right, node)
                if isinstance(node.op, ast.Mult):
                    return replace(left, scaled=None, unchecked=False)
                return left if left.scaled is not None else None
            return right if isinstance(right, Picture) and right.scaled is not None else None
        if isinstance(node, ast.NamedExpr):
            held = self.value(node.value)
            if isinstance(node.target, ast.Name):
                self.names[node.target.id] = held
            return held
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            for generator in node.generators:
                self.value(generator.iter)
            before, self.loop = self.loop, node
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self.value(child)
            self.loop = before
            return None
        if isinstance(node, ast.Lambda):
            return None
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child)
        return None

    def _call(self, node: ast.Call) -> Value:
        name = self.flow.full_name(node.func)
        owner: Value = None
        if isinstance(node.func, ast.Attribute):
            owner = self.value(node.func.value)
        elif isinstance(node.func, ast.Name):
            owner = self.names.get(node.func.id)
        given = [self.value(argument) for argument in node.args]
        for keyword in node.keywords:
            self.value(keyword.value)
        self.flow.calls.append((node, name, self.loop))
        if name in _DETECTORS:
            detector = Detector(_DETECTORS[name], node)
            self.flow.detectors.append((detector, self.loop))
            return detector
        if isinstance(owner, Detector):
            return self._detected(node, owner, given)
        return self._picture(node, name, owner, given)

    def _detected(self, node: ast.Call, owner: Detector, given: list[Value]) -> Value:
        method = node.func.attr if isinstance(node.func, ast.Attribute) else "__call__"
        if method == "to" or method == "eval":
            return owner
        called = owner.package == "facenet-pytorch" and method == "__call__"
        if not called and method not in _DETECT[owner.package]:
            return None
        first = node.args[0] if node.args else None
        self.flow.detections.append(
            Detection(
                node,
                owner,
                given[0] if given else None,
                first.id if isinstance(first, ast.Name) else None,
                self.node,
            )
        )
        picture = given[0] if given and isinstance(given[0], Picture) else None
        kind = "crops" if called else "boxes" if owner.package == "facenet-pytorch" else "faces"
        return Other(kind, node, picture)

    def _picture(self, node: ast.Call, name: str, owner: Value, given: list[Value]) -> Value:
        first = given[0] if given else None
        if name == "cv2.imread":
            grey = _flag(node) in ("IMREAD_GRAYSCALE", "0")
            plain = not (len(node.args) > 1 or node.keywords) or _flag(node) in (
                "IMREAD_COLOR", "1", "IMREAD_GRAYSCALE", "0",
            )  # fmt: skip
            return Picture(
                node, "BGR" if plain and not grey else None, node if grey else None, unchecked=True
            )
        if name == "cv2.VideoCapture":
            return Other("capture", node)
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if isinstance(owner, Other) and owner.kind == "capture" and method == "read":
            return Other("read", node)
        if name.startswith("tensorflow.data.Dataset.") or (
            isinstance(owner, Other) and owner.kind == "dataset"
        ):
            return Other("dataset", node)
        if name == "cv2.cvtColor" and isinstance(first, Picture) and len(node.args) > 1:
            return _converted(first, _last(node.args[1]), node)
        if name == "PIL.Image.open":
            return Picture(node, "RGB")
        if method == "convert" and isinstance(owner, Picture) and node.args:
            mode = node.args[0]
            if isinstance(mode, ast.Constant) and mode.value == "L":
                return replace(owner, grey=node)
            return replace(owner, grey=None)
        if name == "numpy.flip" and isinstance(first, Picture):
            return replace(first, order=None, negative=True)
        if name == "cv2.resize" and isinstance(first, Picture):
            source = node.args[0]
            taken = source.id if isinstance(source, ast.Name) else None
            return replace(first, resized=node, resized_from=taken, unchecked=False)
        if name in _SAME and isinstance(first, Picture):
            fresh = name in ("numpy.array", "numpy.ascontiguousarray", "numpy.copy")
            return replace(first, negative=first.negative and not fresh)
        if method in _SAME and isinstance(owner, Picture):
            negative = owner.negative and method not in ("copy", "astype")
            return replace(owner, negative=negative, unchecked=False)
        return None


def _flag(node: ast.Call) -> str:
    """Return the flags of an imread as they are written, "" where there are none."""
    given = node.args[1] if len(node.args) > 1 else None
    for keyword in node.keywords:
        if keyword.arg == "flags":
            given = keyword.value
    if isinstance(given, ast.Constant):
        return str(given.value)
    return _last(given) if given is not None else ""


def _last(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _converted(picture: Picture, code: str, node: ast.Call) -> Picture | None:
    picture = replace(picture, negative=False, unchecked=False)
    if code in _TO_RGB:
        return replace(picture, order="RGB")
    if code in _TO_BGR:
        return replace(picture, order="BGR")
    if code in _TO_GREY:
        return replace(picture, grey=node, order=None)
    if code in _FROM_GREY:
        return replace(picture, grey=None, order="RGB")
    return None


def _scaled(picture: Picture, by: ast.expr, node: ast.AST) -> Picture:
    constant = isinstance(by, ast.Constant) and isinstance(by.value, (int, float))
    if constant and by.value >= 127:  # type: ignore[attr-defined]
        return replace(picture, scaled=node, unchecked=False)
    return picture


def _sliced(picture: Picture, node: ast.Subscript) -> Picture | None:
    """Return a picture after ``[...]``: reversed channels, a crop, or something else."""
    steps = list(_steps(node.slice))
    picture = replace(picture, unchecked=False)  # None has no items: that would have been heard
    backwards = [at for at, step in enumerate(steps) if step is not None and step < 0]
    if not backwards:
        return picture if all(step is None for step in steps) else None
    ellipsis = isinstance(node.slice, ast.Tuple) and any(
        isinstance(e, ast.Constant) and e.value is Ellipsis for e in node.slice.elts
    )
    channels = backwards == [len(steps) - 1] and (len(steps) == 3 or ellipsis)
    order = {"BGR": "RGB", "RGB": "BGR"}.get(picture.order or "") if channels else picture.order
    return replace(picture, order=order, negative=True)


def _steps(node: ast.expr) -> Iterator[int | None]:
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    for part in parts:
        if not isinstance(part, ast.Slice):
            # An index, or "...": no step.
            yield None if isinstance(part, ast.Constant) and part.value is Ellipsis else 0
            continue
        step = part.step
        if isinstance(step, ast.UnaryOp) and isinstance(step.op, ast.USub):
            step = step.operand
            if isinstance(step, ast.Constant) and isinstance(step.value, int):
                yield -step.value
                continue
        yield step.value if isinstance(step, ast.Constant) and step.value != 1 else None  # type: ignore[misc]
