"""Who may import what: the borders of the design, read from the source of every module."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RUNTIME = sorted((ROOT / "runtime").rglob("*.py"))
TOOLS = sorted((ROOT / "tools").rglob("*.py"))
# Which files of the repository may import a foreign package, by its first name.
ALLOWED = {
    "flask": {"runtime/app.py"},
    "tflite_runtime": {"runtime/interpreter.py"},
    "ai_edge_litert": {"runtime/interpreter.py"},
    "onnxruntime": {"runtime/onnx.py"},
    "tensorflow": {"tools/keras_models"},
    "keras": {"tools/keras_models"},
    "tf_keras": {"tools/keras_models"},
}
# What requirements.txt installs, by the names it is imported by; and what is used where it is installed besides.
PRODUCTION = {
    "ai_edge_litert",
    "flask",
    "gunicorn",
    "numpy",
    "orjson",
    "requests",
    "requests_aws4auth",
    "simdjson",
    "tflite_runtime",
    "urllib3",
    "werkzeug",
}
EXTRAS = {"PIL", "onnxruntime"}


def imports(path: Path) -> dict[str, bool]:
    """Every module that a file imports, wherever it does so, and whether that is at its top level."""
    tree = ast.parse(path.read_text())
    top = set(map(id, ast.walk(ast.Module([n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)], []))))
    found: dict[str, bool] = {}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            found[name] = found.get(name, False) or id(node) in top
    return found


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_a_foreign_engine_is_imported_in_one_place_only(package: str) -> None:
    """Only the file that wraps an engine imports it."""
    importers = {
        relative(path) for path in RUNTIME + TOOLS if any(name.partition(".")[0] == package for name in imports(path))
    }
    strangers = {name for name in importers if not name.startswith(tuple(ALLOWED[package]))}
    assert not strangers, f"{package} is imported by {sorted(strangers)}"


@pytest.mark.parametrize("path", RUNTIME, ids=relative)
def test_the_runtime_never_imports_the_tools(path: Path) -> None:
    """Production carries no development code."""
    assert not [name for name in imports(path) if name.partition(".")[0] in ("tools", "tests")]


@pytest.mark.parametrize("path", RUNTIME, ids=relative)
def test_the_runtime_needs_nothing_that_production_does_not_install(path: Path) -> None:
    """Every import is the standard library's, our own, or of a package in requirements.txt."""
    roots = {name.partition(".")[0] for name in imports(path)}
    assert not {name for name in roots if not _is_stdlib(name)} - PRODUCTION - EXTRAS - {"runtime"}


@pytest.mark.parametrize("path", TOOLS, ids=relative)
def test_tools_import_each_other_by_one_name(path: Path) -> None:
    """A module is loaded under one name, whether its script is run or imported."""
    own = {tool.stem for tool in TOOLS}
    assert not [name for name in imports(path) if name in own and not _is_stdlib(name)]


def test_no_module_of_the_runtime_imports_in_a_circle() -> None:
    """Each journey reads top to bottom: following imports never leads back."""
    graph = {_module(path): {_known(name) for name in imports(path)} - {""} for path in RUNTIME}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way, module))
        if module not in done:
            for following in sorted(graph.get(module, ())):
                visit(following, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def _module(path: Path) -> str:
    return relative(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def _known(name: str) -> str:
    """The runtime module that an imported name is or lies in; packages themselves hold no code."""
    modules = {_module(path) for path in RUNTIME if path.name != "__init__.py"}
    if name in modules:
        return name
    parent = name.rpartition(".")[0]
    return parent if parent in modules else ""


def _is_stdlib(name: str) -> bool:
    import sys

    return name in sys.stdlib_module_names
