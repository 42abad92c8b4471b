# ruff: noqa: INP001 - a script of the slug, not a package
"""Take out of a slug what a server never opens: tests, headers, stubs, sources, parts of packages for other purposes.

Run by bin/post_compile, with the slug's own Python: `python3 bin/slim.py [PREFIX]`. Only a Python below
`.heroku/python` is touched, so that no one's own environment is ever hurt.

The next build begins with what this one leaves (the hook runs before the build's cache is saved). So what a build needs
stays: CPython's headers, `ensurepip` with the pip in it, from which the buildpack makes pip anew, and each package's
RECORD and METADATA, by which pip knows it.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# Below lib/python3.N.
STANDARD_LIBRARY = (
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "test",
    "tkinter",
    "turtle.py",
    "turtledemo",
    "unittest/test",
    "config-*",
    "curses",
    "dbm",
    "ensurepip/_bundled/setuptools-*",
    "sqlite3",
    "lib-dynload/_codecs_*",
    "lib-dynload/_curses*",
    "lib-dynload/_sqlite3*",
    "lib-dynload/_tkinter*",
    "lib-dynload/_test*",
    "lib-dynload/xxlimited*",
    "lib-dynload/_ctypes_test*",
)
# Below lib/python3.N/site-packages.
PACKAGES = (
    # The buildpack bootstraps pip from ensurepip, and installs setuptools, in each build.
    "pip",
    "pip-*.dist-info",
    "setuptools",
    "setuptools-*.dist-info",
    "pkg_resources",
    "_distutils_hack",
    "distutils-precedence.pth",
    "wheel",
    "wheel-*.dist-info",
    # For building against NumPy or Fortran; NumPy's own tests, and what only they load.
    "numpy/_pyinstaller",
    "numpy/core/include",
    "numpy/_core/include",
    "numpy/core/lib",
    "numpy/_core/lib",
    "numpy/array_api",
    "numpy/core/_simd*",
    "numpy/_core/_simd*",
    "numpy/core/_[orsu]*_tests*.so",
    "numpy/_core/_[orsu]*_tests*.so",
    "numpy/distutils",
    "numpy/f2py",
    "numpy/random/_examples",
    "numpy/random/lib",
    "numpy/testing",
    # An accelerator for graphics cards, and what only makes models.
    "ai_edge_litert/libLiteRtWebGpuAccelerator.so",
    "ai_edge_litert/aot",
    "ai_edge_litert/tools",
    # The sources from which the one library beside it was built.
    "simdjson/*.cpp",
    "simdjson/*.h",
    "simdjson/*.px*",
)
# Anywhere below site-packages.
EVERYWHERE = ("*.pyi", "*.pxd", "*.a", "*.h", "*.c", "*.cpp", "tests", "_tests")
# Shipped with symbols. Others are stripped already, or must not be touched after their loader's paths were patched.
STRIPPED = ("csimdjson*.so",)
# What must import afterwards.
PROOF = "import numpy, flask, gunicorn.app.wsgiapp, orjson, requests, asyncio, ctypes, ssl, json"


def find_prefix(arguments: list[str]) -> Path | None:
    """The slug's Python, or None where there is none."""
    prefix = Path(arguments[0] if arguments else sys.prefix).resolve()
    return prefix if prefix.parts[-2:] == (".heroku", "python") else None


def unneeded(library: Path) -> Iterator[Path]:
    """Files and folders to remove, under `lib/python3.N`."""
    packages = library / "site-packages"
    for folder, patterns in ((library, STANDARD_LIBRARY), (packages, PACKAGES)):
        for pattern in patterns:
            yield from folder.glob(pattern)
    for pattern in EVERYWHERE:
        yield from packages.rglob(pattern)
    yield from (path for path in library.rglob("*.pyc") if _is_orphan(path))


def _is_orphan(compiled: Path) -> bool:
    return (
        compiled.parent.name == "__pycache__"
        and not (compiled.parent.parent / f"{compiled.name.partition('.')[0]}.py").exists()
    )


def set_aside(paths: list[Path], folder: Path) -> list[tuple[Path, Path]]:
    """Move files and folders away; pairs of (where it was, where it is)."""
    folder.mkdir()
    moved = []
    for number, path in enumerate(paths):
        if path.is_symlink() or path.exists():  # or its folder has gone before it
            moved.append((path, path.rename(folder / str(number))))
    return moved


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def strip(packages: Path) -> int:
    """Drop the symbols of some libraries where there is a `strip`; the bytes saved."""
    saved = 0
    for pattern in STRIPPED:
        for path in packages.glob(pattern):
            before, copy = path.stat().st_size, path.with_suffix(".stripped")
            shutil.copy2(path, copy)
            done = subprocess.run(["strip", "--strip-unneeded", str(copy)], capture_output=True, check=False)
            if done.returncode == 0:
                copy.replace(path)
                saved += before - path.stat().st_size
            copy.unlink(missing_ok=True)
    return saved


def compile_app(root: Path) -> None:
    """Compile the app's own modules, so that no start does it; checked by nothing, as they never change in a slug."""
    for folder in (root / "runtime",):
        compileall.compile_dir(folder, quiet=2, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


def main(arguments: list[str]) -> int:
    """Slim the slug; 1, with everything back in its place, if it would not import any more what it must."""
    prefix = find_prefix(arguments)
    if prefix is None:
        sys.stdout.write("       nothing to slim: this is not a slug's Python\n")
        return 0
    library = next((prefix / "lib").glob("python3.*"))
    aside = prefix / "set-aside"
    moved = set_aside(list(unneeded(library)), aside)
    quiet = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    if subprocess.run([str(prefix / "bin" / "python3"), "-c", PROOF], env=quiet, check=False).returncode:
        for place, kept in reversed(moved):
            kept.rename(place)
        aside.rmdir()
        return 1
    saved = size_of(aside)
    shutil.rmtree(aside)
    if shutil.which("strip"):
        saved += strip(library / "site-packages")
    compile_app(Path.cwd())
    sys.stdout.write(f"       {saved / 1e6:.1f} MB that no server needs taken out of the slug\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
