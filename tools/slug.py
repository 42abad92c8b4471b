"""Build what the platform's Python buildpack would build, weigh it by package, and hold it to a budget.

    .venv/bin/python tools/slug.py                          build with this Python, show the table
    .venv/bin/python tools/slug.py --budget 36              fail (exit 1) over 36 MB
    .venv/bin/python tools/slug.py --python python3.13 --json
    .venv/bin/python tools/slug.py --picture docs/slug.svg

The layout is the buildpack's: CPython at app/.heroku/python, the packages of requirements.txt in it by pip, the
checkout less .slugignore in app/, then bin/post_compile. The buildpack's own CPython archive is on no package index, so
this machine's is taken and stripped the way the buildpack does it: no tests, no static library, symbols stripped,
only `unchecked-hash` compiled files. Its weight differs from theirs by what this machine's was built with.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[0] = str(ROOT)

from tools.slug_parts import draw, table, weigh  # noqa: E402

EPILOG = """
examples:
  .venv/bin/python tools/slug.py
  .venv/bin/python tools/slug.py --python python3.13 --budget 44
"""


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="slug.py",
        description="Build the slug, weigh it by package, check a budget.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--python", default=sys.executable, help="the Python whose CPython goes into the slug")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / "build" / "slug", help="where to build; default: build/slug"
    )
    parser.add_argument("--budget", type=float, help="MB after gzip that must not be exceeded")
    parser.add_argument("--whole", action="store_true", help="without bin/post_compile, for comparison")
    parser.add_argument("--picture", type=Path, help="also draw the table as SVG")
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser.parse_args(argv)


def build(python: str, folder: Path, *, whole: bool = False) -> Path:
    """Build the slug anew in `folder`; the app's folder."""
    shutil.rmtree(folder, ignore_errors=True)
    app = folder / "app"
    prefix = app / ".heroku" / "python"
    _say("CPython")
    library = copy_cpython(python, prefix)
    _say("packages")
    pip = next((library / "ensurepip" / "_bundled").glob("pip-*.whl"))
    interpreter = str(prefix / "bin" / "python3")
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "LD_LIBRARY_PATH": str(prefix / "lib"),
    }
    # The buildpack's pip stays in the slug unless the hook takes it out.
    for wanted in (["pip"], ["--no-cache-dir", "-r", str(ROOT / "requirements.txt")]):
        command = [
            interpreter,
            f"{pip}/pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-warn-script-location",
        ]
        subprocess.run([*command, "--root-user-action=ignore", *wanted], check=True, env=environ, stdout=sys.stderr)
    _say("the app")
    copy_app(app)
    if not whole:
        environ["PATH"] = f"{prefix / 'bin'}{os.pathsep}{os.environ['PATH']}"
        subprocess.run([str(app / "bin" / "post_compile")], check=True, env=environ, stdout=sys.stderr)
    return app


def copy_cpython(python: str, prefix: Path) -> Path:
    """Copy this machine's CPython the way the buildpack packs its own; the folder of its standard library."""
    told = "import sys; print(sys.base_prefix); print('python%d.%d' % sys.version_info[:2])"
    base, name = subprocess.run([python, "-c", told], check=True, capture_output=True, text=True).stdout.split()
    source, library = Path(base), prefix / "lib" / name
    skipped = shutil.ignore_patterns("site-packages", "test", "tests", "__pycache__", "*.a", "*.o")
    shutil.copytree(source / "lib" / name, library, ignore=skipped, symlinks=True)
    (library / "site-packages").mkdir()
    if (source / "include" / name).is_dir():
        shutil.copytree(source / "include" / name, prefix / "include" / name)
    (prefix / "bin").mkdir()
    shutil.copy2(source / "bin" / name, prefix / "bin" / name)
    (prefix / "bin" / "python3").symlink_to(name)
    (prefix / "bin" / "python").symlink_to(name)
    for shared in (source / "lib").glob("libpython3*.so*"):
        shutil.copy2(shared, prefix / "lib" / shared.name, follow_symlinks=False)
    binaries = [prefix / "bin" / name, *(prefix / "lib").glob("libpython3*.so.*"), *library.rglob("*.so")]
    subprocess.run(["strip", "--strip-unneeded", *map(str, binaries)], check=False, capture_output=True)
    command = [
        str(prefix / "bin" / name),
        "-m",
        "compileall",
        "-q",
        "--invalidation-mode",
        "unchecked-hash",
        str(library),
    ]
    environ = os.environ | {"LD_LIBRARY_PATH": str(prefix / "lib")}
    subprocess.run(command, check=False, capture_output=True, env=environ)
    return library


def copy_app(app: Path) -> None:
    """Copy what git has of the checkout, less what .slugignore names."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split(
        "\n"
    )
    lines = (ROOT / ".slugignore").read_text().splitlines()
    ignored = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    for name in filter(None, listed):
        if not (ROOT / name).is_file() or any(_is_ignored(name, pattern) for pattern in ignored):
            continue
        target = app / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)


def _is_ignored(name: str, pattern: str) -> bool:
    path = Path(name)
    if pattern.startswith("/"):
        return name == pattern[1:] or name.startswith(pattern[1:].rstrip("/") + "/")
    return any(part.match(pattern) for part in (path, *path.parents) if part.name)


def main(argv: list[str] | None = None) -> int:
    """Build, weigh, tell; 1 over the budget, 2 where it cannot be built."""
    args = parse_args(argv)
    try:
        app = build(args.python, args.folder.resolve(), whole=args.whole)
    except (OSError, subprocess.CalledProcessError, StopIteration) as error:
        sys.stderr.write(f"slug: cannot build: {error}\n")
        return 2
    parts, total = weigh(app)
    if args.json:
        told = {"gzip_bytes": total, "parts": [part._asdict() for part in parts]}
        sys.stdout.write(json.dumps(told, indent=1) + "\n")
    else:
        sys.stdout.write(table(parts, total))
    if args.picture:
        args.picture.write_text(draw(parts, total))
    if args.budget and total > args.budget * 1e6:
        sys.stderr.write(f"slug: {total / 1e6:.1f} MB is over the budget of {args.budget:g} MB\n")
        return 1
    return 0


def _say(what: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"slug: {what}\n")


if __name__ == "__main__":
    sys.exit(main())
