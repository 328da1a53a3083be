"""The texts that people read, found in the source: what errors, findings and the command line say.

A value in a text stands as ``{0}``, ``{1}`` … Two choices within a text make two texts.
"""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Final, NamedTuple

SRC: Final = Path(__file__).parents[2] / "src" / "qibai"
#: Packages whose texts nobody reads in a terminal or in an answer of the API.
_OUTSIDE: Final = ("testing", "client")
#: Which arguments of a call are texts: by the name that is called, and by the folder where it means that.
_CALLS: Final = {
    **{("api", "FieldError"): (2,), ("", "Mistake"): (0, 2, 3), ("", "BindRefused"): (0,)},
    **{("cli/doctor", name): (0, 1, 2) for name in ("ok", "warn", "fail", "skip")},
    **{("cli/doctor", "guarded"): (0,), ("cli/doctor", "check_hosts"): (0,)},
    **{
        ("cli", name): (0,)
        for name in ("done", "note", "say", "local", "table", "asked_secret", "BadParameter")
    },
    **{("cli/resources/codes.py", "_say"): (1,), ("cli/resources/papers.py", "_say"): (2,)},
    **{("cli/stats", "_part"): (0, 1), ("cli/route.py", "append"): (0,), ("cli/demo", "_beside"): (0, 1)},
    **{(name, "ValueError"): (0,) for name in ("config.py", "settings")},
    **{("settings", "_note"): (1,), ("core/losses.py", "Loss"): (0, 1)},
}
#: Errors that reach logs and peers, and no person.
_UNSEEN: Final = {"BadMessage"}
#: Errors that bring their words and their code with them.
_WORDED: Final = {"Refused", "NotStarted"}
#: Functions that put a text together from parts; a test has the parts.
_BUILDERS: Final = {"wanted"}


class Text(NamedTuple):
    """One text, and where it stands."""

    text: str
    place: str


class _Module:
    """One file, with what its names stand for."""

    def __init__(self, path: Path) -> None:
        self.source = path.read_text("utf-8")
        self.tree = ast.parse(self.source)
        self.name = path.relative_to(SRC).as_posix()
        self.functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = {}
        self.values: dict[str, list[ast.expr]] = {}
        self.imported: dict[str, tuple[str, str]] = {}
        for node in ast.walk(self.tree):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self.functions[node.name] = node
                case ast.ImportFrom(module=str(module)):
                    self.imported |= {one.asname or one.name: (module, one.name) for one in node.names}
                case ast.Assign(targets=targets, value=value):
                    for target in targets:
                        self._assign(target, value)
                case ast.AnnAssign(target=target, value=ast.expr() as value):
                    self._assign(target, value)
                case ast.NamedExpr(target=target, value=value):
                    self._assign(target, value)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        match target, value:
            case ast.Name(id=name), _:
                self.values.setdefault(name, []).append(value)
            case ast.Tuple(elts=targets), ast.Tuple(elts=values) if len(targets) == len(values):
                for one, what in zip(targets, values, strict=True):
                    self._assign(one, what)


@cache
def modules() -> dict[str, _Module]:
    """Every file of the platform, by its module's name."""
    found = {}
    for path in sorted(SRC.rglob("*.py")):
        if path.relative_to(SRC).parts[0] not in _OUTSIDE:
            dotted = ".".join(("qibai", *path.relative_to(SRC).with_suffix("").parts))
            found[dotted.removesuffix(".__init__")] = _Module(path)
    return found


@cache
def error_classes() -> dict[str, str | None]:
    """The names of ``QibaiError`` and all that derive from it, and what each says unless told otherwise."""
    classes = [
        node for one in modules().values() for node in ast.walk(one.tree) if isinstance(node, ast.ClassDef)
    ]
    found: dict[str, str | None] = {"QibaiError": None}
    while True:
        more = {
            node.name: ast.get_docstring(node)
            for node in classes
            if node.name not in found and any(isinstance(b, ast.Name) and b.id in found for b in node.bases)
        }
        if not more:
            return found
        found |= more


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _arguments(module: _Module, node: ast.Call) -> Iterator[ast.expr]:
    name = _called(node)
    places = next(
        (at for (under, call), at in _CALLS.items() if call == name and module.name.startswith(under)), None
    )
    if places is None and name in error_classes() and name not in _UNSEEN:
        places = (1,) if name == "AuditBroken" else (0,)
    for place in places or ():
        if place < len(node.args):
            yield node.args[place]
    if places is not None:
        yield from (key.value for key in node.keywords if key.arg in ("message", "says", "mend", "title"))


class Reader:
    """Reads texts of expressions; ``inner`` collects the texts that values within texts may have."""

    def __init__(self, module: _Module) -> None:
        self._module = module
        self._deep = 0
        self.inner: set[str] = set()
        self.unread: list[str] = []

    def texts(self, node: ast.expr) -> list[str]:
        """The texts that the expression may be; a part that is no text is ``{}``."""
        match node:
            case ast.Constant(value=str(text)):
                return [text.replace("{", "{{").replace("}", "}}")]
            case ast.Constant(value=None):
                return []
            case ast.JoinedStr(values=parts):
                return self._joined([self.texts(one) for one in parts])
            case ast.FormattedValue(value=ast.IfExp() as value):
                return self.texts(value)
            case ast.FormattedValue(value=value, conversion=-1):
                texts = self.texts(value)
                if "" in texts and all(
                    one[:1] in ("", " ", ",") for one in texts
                ):  # a part that may be left out
                    return texts
                self.inner.update(one for one in texts if one != "{}")
                return ["{}"]
            case ast.IfExp(body=body, orelse=other):
                return [*self.texts(body), *self.texts(other)]
            case ast.BoolOp(op=ast.Or(), values=values):
                return [text for one in values for text in self.texts(one)]
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return self._joined([self.texts(left), self.texts(right)])
            case ast.Starred(value=value):
                return self.texts(value)
            case ast.Tuple(elts=elts):
                return [text for one in elts for text in self.texts(one)]
            case ast.Name(id=name) if name in self._module.values and self._deep < 4:
                return self._followed(self._module, self._module.values[name])
            case ast.Name(id=name) if name in self._module.imported:
                where, its = self._module.imported[name]
                other = modules().get(where)
                if other is not None and its in other.values and self._deep < 4:
                    return self._followed(other, other.values[its])
            case ast.Call(func=ast.Name() | ast.Attribute(value=ast.Name()) as func) if self._deep < 4:
                module, name = self._found(func)
                if name in _BUILDERS:
                    return ["{}"]
                if module is not None and name in module.functions:
                    return self._followed(module, list(_returned(module.functions[name])))
        self.unread.append(f"{self._module.name}:{node.lineno}: {ast.unparse(node)}")
        return ["{}"]

    def _found(self, func: ast.Name | ast.Attribute) -> tuple[_Module | None, str]:
        """The module and the name of the function that is called."""
        if isinstance(func, ast.Name):
            if func.id not in self._module.imported:
                return self._module, func.id
            where, name = self._module.imported[func.id]
            return modules().get(where), name
        where, name = self._module.imported.get(ast.unparse(func.value), ("", ""))
        return modules().get(f"{where}.{name}"), func.attr

    def _followed(self, module: _Module, values: Iterable[ast.expr]) -> list[str]:
        kept, self._module, self._deep = self._module, module, self._deep + 1
        try:
            return [text for value in values for text in self.texts(value)]
        finally:
            self._module, self._deep = kept, self._deep - 1

    @staticmethod
    def _joined(parts: list[list[str]]) -> list[str]:
        return ["".join(one) for one in product(*parts)]


def _returned(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value


def numbered(text: str) -> str:
    """The text with its values numbered."""
    parts = text.split("{}")
    return "".join(part + (f"{{{i}}}" if i < len(parts) - 1 else "") for i, part in enumerate(parts))


def is_text(text: str) -> bool:
    """Returns True if there is a word in it to translate."""
    plain = numbered(text)
    for i in range(20):
        plain = plain.replace(f"{{{i}}}", "")
    return any(one.isalpha() for one in plain)


def said() -> list[Text]:
    """Every text of errors, findings and output."""
    found: dict[str, str] = {}
    for module in modules().values():
        for node in ast.walk(module.tree):
            arguments: list[ast.expr] = []
            match node:
                case ast.Call():
                    arguments = list(_arguments(module, node))
                case ast.Yield(value=ast.Tuple(elts=[_, says])) if module.name == "settings/rules.py":
                    arguments = [says]
                case ast.ClassDef(name="Rule", body=body):
                    tuples = [one.value for one in body if isinstance(one, ast.Assign)]
                    arguments = [
                        part for one in tuples if isinstance(one, ast.Tuple) for part in one.elts[1:]
                    ]
            if arguments:
                for argument in arguments:
                    reader = Reader(module)
                    texts = {*reader.texts(argument), *reader.inner}
                    for text in sorted(texts):
                        if is_text(text):
                            found.setdefault(numbered(text), f"{module.name}:{node.lineno}")
    for name, says in error_classes().items():
        if (
            says
            and name not in _WORDED
            and any(
                f"class {name}(" in one.source for one in modules().values() if one.name.startswith("cli/")
            )
        ):
            found.setdefault(says, name)
    return [Text(*one) for one in found.items()]
