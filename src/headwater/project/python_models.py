"""`models/**/*.py`: decorated functions, imported by themselves; what they are made of; calling them again at a run."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from headwater.errors import Location, UserCodeError
from headwater.project.files import ProjectFile
from headwater.project.imports import run_file
from headwater.project.models import CodeFacts, ReadModel, Sidecar
from headwater.project.problems import Locate, Report
from headwater.project.resources import place_in, prepare, validate
from headwater.spec.models import Model, ModelHeader
from headwater.spec.names import TableName
from headwater.spec.python import MODEL_ATTRIBUTE, MODELS_OF_FILE, ModelDecoration, TableInput

_import_lock = threading.RLock()


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """A user's file after its import. `code_hash` covers it and the project's own modules it imported."""

    module: ModuleType
    code_hash: str


@contextmanager
def importable(project_dir: Path) -> Iterator[None]:
    """Inside it, modules of the project's folder can be imported; afterwards they are forgotten, so that an edit is seen next time."""
    root = str(project_dir)
    with _import_lock:
        before = set(sys.modules)
        writes_bytecode = sys.dont_write_bytecode
        sys.path.insert(0, root)
        sys.dont_write_bytecode = True
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.dont_write_bytecode = writes_bytecode
            if root in sys.path:
                sys.path.remove(root)
            for name in set(sys.modules) - before:
                if _file_within(sys.modules[name], project_dir) is not None:
                    del sys.modules[name]


def _file_within(module: Any, project_dir: Path) -> Path | None:
    """The module's file when it belongs to the project (and not to a virtual environment inside it)."""
    file = getattr(module, "__file__", None)
    if not file:
        return None
    path = Path(file)
    if not path.is_relative_to(project_dir) or "site-packages" in path.parts:
        return None
    return path


def import_file(project_dir: Path, path: str) -> ImportedFile:
    """Runs a user's Python file under a name of its own. Raises UserCodeError with the user's traceback."""
    project_dir = project_dir.resolve()
    file = project_dir / path
    name = "headwater_project." + path.removesuffix(".py").replace("/", ".")
    with importable(project_dir):
        before = set(sys.modules)
        try:
            module = run_file(name, file)
        except (Exception, SystemExit) as error:  # the boundary around user code
            raise user_code_error(error, project_dir, f"{path} can't be imported") from error
        finally:
            sys.modules.pop(name, None)
        own = {_file_within(sys.modules[other], project_dir) for other in set(sys.modules) - before}
        digest = hashlib.sha256()
        for part in sorted({file, *(other for other in own if other is not None)}):
            digest.update(part.relative_to(project_dir).as_posix().encode())
            digest.update(hashlib.sha256(part.read_bytes().replace(b"\r\n", b"\n")).digest())
    return ImportedFile(module, digest.hexdigest())


def user_code_error(error: BaseException, project_dir: Path, what: str) -> UserCodeError:
    """The error of a user's code, with the frames of the project's files only; the message keeps the exception's own text."""
    summary = traceback.TracebackException.from_exception(error)
    kept = [frame for frame in summary.stack if _is_users(frame.filename, project_dir)]
    lines = ["Traceback (most recent call last):\n", *traceback.StackSummary.from_list(kept).format()] if kept else []
    text = "".join([*lines, *summary.format_exception_only()]).rstrip()
    return UserCodeError(f"{what}: {type(error).__name__}", user_traceback=text.replace(str(project_dir) + "/", ""))


def _is_users(filename: str, project_dir: Path) -> bool:
    path = Path(filename)
    return path.is_relative_to(project_dir) and "site-packages" not in path.parts


def load_function(project_dir: Path, model: Model) -> Callable[..., Any]:
    """The function of a Python model, imported anew. Call it inside `importable(project_dir)` if it imports lazily. Raises UserCodeError."""
    module = import_file(project_dir, model.path).module
    return dict(_decorated(module))[model.function]


def _decorated(module: ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The file's models: `name`, `list[0]` for those in a list, and those whose name another took since; each once."""
    seen: set[int] = set()
    of_file = [(MODELS_OF_FILE, vars(module).get(MODELS_OF_FILE, []))]
    for name, value in [*((name, value) for name, value in vars(module).items() if name != MODELS_OF_FILE), *of_file]:
        many = isinstance(value, (list, tuple))
        for index, item in enumerate(value if many else [value]):
            decoration = getattr(item, MODEL_ATTRIBUTE, None) if inspect.isfunction(item) else None
            if isinstance(decoration, ModelDecoration) and id(decoration) not in seen:
                seen.add(id(decoration))
                yield (f"{name}[{index}]" if many else name), item


def read_python_models(
    project_dir: Path, file: ProjectFile, table: TableName, sidecars: Mapping[TableName, Sidecar], report: Report
) -> list[tuple[ReadModel, Location]]:
    """The models of one Python file. Their mistakes go to the report, the user's traceback with them."""
    try:
        tree = ast.parse(file.text)
    except SyntaxError as error:
        report.add("python-syntax", error.msg, Location(file.path, error.lineno, error.offset))
        return []
    try:
        imported = import_file(project_dir, file.path)
    except UserCodeError as error:
        report.add("python-import-failed", f"the file can't be imported\n{error.user_traceback}\n", _place_of_failure(error, file.path))
        return []
    functions = list(_decorated(imported.module))
    if not functions:
        report.add("no-model", "the file defines no model", Location(file.path, 1, 1), expected="a function decorated with @model(..)")
        return []
    models = []
    for name, function in functions:
        place = _Places(tree, file.path, function)
        read = _read_function(file, table, name, function, imported.code_hash, place, sidecars, report, is_only=len(functions) == 1)
        if read is not None:
            models.append((read, place.decorator()))
    return models


def _place_of_failure(error: UserCodeError, path: str) -> Location:
    cause = error.__cause__
    lines = [frame.lineno for frame in traceback.extract_tb(cause.__traceback__) if frame.filename.endswith("/" + path)] if cause is not None else []
    return Location(path, lines[-1] if lines else 1, 1)


def _read_function(
    file: ProjectFile,
    table: TableName,
    function_name: str,
    function: Callable[..., Any],
    code_hash: str,
    place: _Places,
    sidecars: Mapping[TableName, Sidecar],
    report: Report,
    *,
    is_only: bool,
) -> ReadModel | None:
    decoration: ModelDecoration = getattr(function, MODEL_ATTRIBUTE)
    name = _name_of(decoration, table, place, report, is_only=is_only)
    arguments = _arguments_of(function, place, report)
    sidecar = sidecars.get(name) if name is not None else None
    header = decoration.header
    locate: Locate = place.keyword
    if sidecar is not None and header:
        report.add(
            "described-twice",
            f"{name} has a header in @model in {file.path} too",
            sidecar.document.locate(sidecar.path, True),
            expected="one of the two",
        )
        return None
    if sidecar is not None:
        header, locate = sidecar.data, place_in(sidecar.document, sidecar.path)
    errors = len(report.errors)
    prepared = prepare(_plain(header), locate, report, has_kind=True)
    validated = validate(ModelHeader, prepared, locate, report, f"the header of {name}")
    if name is None or arguments is None or validated is None or len(report.errors) != errors:
        return None
    model = Model.model_validate(
        {**prepared, "name": name, "language": "python", "path": file.path, "function": function_name, "arguments": arguments, "code_hash": code_hash}
    )
    tables = tuple(sorted({(input.schema, input.name) for input in arguments.values()}))
    return ReadModel(model, CodeFacts(tables=tables, code_hash=code_hash))


def _plain(header: Mapping[str, Any]) -> dict[str, Any]:
    """Tuples as lists: what YAML would give."""

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return value

    return {key: plain(value) for key, value in header.items()}


def _name_of(decoration: ModelDecoration, table: TableName, place: _Places, report: Report, *, is_only: bool) -> TableName | None:
    if decoration.name is None:
        if is_only:
            return table
        report.add(
            "missing-key", "the file defines several models, so each needs a name", place.decorator(), expected='@model(name="schema.table", ..)'
        )
        return None
    try:
        return TableName.parse(decoration.name)
    except ValueError:
        report.add("bad-name", f"{decoration.name!r} is not a table's name", place.keyword(["name"], False), expected="schema.table")
        return None


def _arguments_of(function: Callable[..., Any], place: _Places, report: Report) -> dict[str, TableName] | None:
    arguments: dict[str, TableName] = {}
    is_good = True
    for parameter in inspect.signature(function).parameters.values():
        if isinstance(parameter.default, TableInput) and parameter.kind is not inspect.Parameter.POSITIONAL_ONLY:
            arguments[parameter.name] = parameter.default.name
        elif parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY) or (
            parameter.default is inspect.Parameter.empty
        ):
            report.add(
                "bad-parameter",
                f"the parameter {parameter.name!r} stands for no table",
                place.parameter(parameter.name),
                expected=f'{parameter.name}=table("schema.table")',
            )
            is_good = False
    return arguments if is_good else None


class _Places:
    """Lines and columns of one function's decorator, its keywords and parameters."""

    def __init__(self, tree: ast.Module, path: str, function: Callable[..., Any]) -> None:
        self._path = path
        code = function.__code__
        self._line = code.co_firstlineno
        self._node = next(
            (
                node
                for node in ast.walk(tree)
                if isinstance(node, ast.FunctionDef) and min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) == self._line
            ),
            None,
        )

    def _at(self, node: ast.expr | ast.keyword | ast.arg) -> Location:
        return Location(self._path, node.lineno, node.col_offset + 1)

    def _call(self) -> ast.Call | None:
        calls = [decorator for decorator in self._node.decorator_list if isinstance(decorator, ast.Call)] if self._node else []
        return calls[0] if calls else None

    def decorator(self) -> Location:
        call = self._call()
        return self._at(call) if call is not None else Location(self._path, self._line, 1)

    def keyword(self, path: Sequence[str | int], at_key: bool = False) -> Location:
        """The place of a value in the decorator's arguments, as near as literals go."""
        call = self._call()
        found = next((keyword for keyword in call.keywords if path and keyword.arg == path[0]), None) if call is not None else None
        if found is None:
            return self.decorator()
        if len(path) == 1 and at_key:
            return self._at(found)
        node: ast.expr = found.value
        for index, part in enumerate(path[1:], 1):
            following = _literal_child(node, part, is_key=at_key and index == len(path) - 1)
            if following is None:
                break
            node = following
        return self._at(node)

    def parameter(self, name: str) -> Location:
        arguments = self._node.args if self._node else None
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg] if arguments else []
        found = next((argument for argument in every if argument is not None and argument.arg == name), None)
        return self._at(found) if found is not None else Location(self._path, self._line, 1)


def _literal_child(node: ast.expr, part: str | int, *, is_key: bool) -> ast.expr | None:
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == part:
                return key if is_key else value
    if isinstance(node, (ast.List, ast.Tuple)) and isinstance(part, int) and part < len(node.elts):
        return node.elts[part]
    return None
