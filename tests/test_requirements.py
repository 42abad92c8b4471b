"""The pins: complete, hashed, consistent with each other, and what the hand-written files ask for."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PRODUCTION = "requirements.txt"
TEST = "requirements-test.txt"
DEVELOPMENT = "requirements-dev.txt"
EXTRAS = ("requirements-image.txt", "requirements-onnx.txt")
FILES = (PRODUCTION, TEST, DEVELOPMENT, *EXTRAS)

NOT_IN_PRODUCTION = {
    "ai-edge-quantizer",
    "hypothesis",
    "keras",
    "mypy",
    "pytest",
    "ruff",
    "scikit-learn",
    "scipy",
    "tensorflow",
    "tensorflow-cpu",
    "tf-keras",
    "uv",
}


class Target(NamedTuple):
    """A machine that the pins are for."""

    python: str
    system: str
    machine: str

    def environment(self) -> dict[str, str]:
        """What markers are evaluated against."""
        return {
            "python_version": self.python,
            "python_full_version": f"{self.python}.5",
            "sys_platform": self.system,
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "implementation_name": "cpython",
        }


TARGETS = [
    Target(*values) for values in product(("3.11", "3.12", "3.13"), ("linux", "darwin"), ("x86_64", "aarch64", "arm64"))
]


def pins(file: str, folder: Path = ROOT) -> list[Requirement]:
    """The pins of a file, with their markers and without their hashes."""
    text = (folder / file).read_text("utf-8").replace("\\\n", " ")
    lines = [line.split("--hash=")[0] for line in text.splitlines()]
    return [Requirement(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]


def versions(file: str, target: Target) -> dict[str, str]:
    """The version of each package that the file installs on the target."""
    found: dict[str, str] = {}
    for pin in pins(file):
        if pin.marker is None or pin.marker.evaluate(target.environment()):
            assert pin.name not in found, f"{file} has two versions of {pin.name} on {target}"
            found[pin.name] = str(pin.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize("file", FILES)
def test_every_package_is_pinned_exactly_and_hashed(file: str) -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", (ROOT / file).read_text("utf-8"))[1:]
    assert len(blocks) == len(pins(file))
    for block in blocks:
        assert re.match(r"[a-z0-9.-]+==[0-9][0-9a-z.]*( ; .+)? \\\n", block), block
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", block), block


@pytest.mark.parametrize("file", FILES)
def test_no_file_names_an_index_or_a_place_on_a_machine(file: str) -> None:
    assert not re.search(r"://|^--|(?:^|\s)/|\.\./", (ROOT / file).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_may_stand_beside_production(extra: str, target: Target) -> None:
    """`-r requirements-image.txt` as a line of requirements.txt asks for no second version of anything."""
    production = versions(PRODUCTION, target)
    for name, version in versions(extra, target).items():
        assert production.get(name, version) == version


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_development_includes_production_and_its_tests(target: Target) -> None:
    development = versions(DEVELOPMENT, target).items()
    assert versions(PRODUCTION, target).items() <= development
    assert versions(TEST, target).items() <= development


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_production_and_its_tests_do_not_disagree(target: Target) -> None:
    production, test = versions(PRODUCTION, target), versions(TEST, target)
    assert all(production[name] == test[name] for name in production.keys() & test.keys())


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_production_holds_nothing_of_development(target: Target) -> None:
    assert not NOT_IN_PRODUCTION & versions(PRODUCTION, target).keys()


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_each_machine_gets_one_interpreter_and_the_numpy_it_was_built_for(target: Target) -> None:
    production = versions(PRODUCTION, target)
    if target.python == "3.11" and target.system == "linux":
        assert production["tflite-runtime"] == "2.14.0"
        assert production["numpy"] == "1.26.4"
        assert "ai-edge-litert" not in production
    else:
        assert production["ai-edge-litert"] == "2.3.0"
        assert int(production["numpy"].split(".")[0]) >= 2
        assert "tflite-runtime" not in production


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_development_holds_one_tensorflow_never_two(target: Target) -> None:
    found = {"tensorflow", "tensorflow-cpu"} & versions(DEVELOPMENT, target).keys()
    has_cpu_wheel = target.system == "linux" and target.machine == "x86_64"
    assert found == {"tensorflow-cpu" if has_cpu_wheel else "tensorflow"}


@pytest.mark.parametrize("file", FILES)
def test_what_is_asked_for_by_hand_is_pinned(file: str) -> None:
    pinned = {pin.name for pin in pins(file)}
    for line in (ROOT / file).with_suffix(".in").read_text("utf-8").splitlines():
        if line and not line.startswith(("#", "-")):
            assert Requirement(line).name in pinned


def test_the_slug_gets_the_python_that_the_small_interpreter_needs() -> None:
    assert (ROOT / "runtime.txt").read_text("utf-8") == "python-3.11\n"


def test_what_is_installed_here_is_complete_though_installed_without_dependencies() -> None:
    """requirements-dev.txt is installed with --no-deps: nothing but this checks its closure."""
    if Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("this is not the development environment")
    missing = []
    here = {pin.name for pin in pins(DEVELOPMENT) if pin.marker is None or pin.marker.evaluate()}
    for name in sorted(here):
        for text in importlib.metadata.requires(name) or []:
            need = Requirement(text)
            if need.marker and not need.marker.evaluate({"extra": ""}):
                continue
            if not is_satisfied(need):
                missing.append(f"{name} needs {need}")
    # tensorflow-cpu is there in its place.
    assert missing in ([], ["tf-keras needs tensorflow<2.22,>=2.21"])


def is_satisfied(need: Requirement) -> bool:
    """Whether the environment that runs this has what is needed."""
    try:
        version = importlib.metadata.version(need.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return need.specifier.contains(version, prereleases=True)


@pytest.mark.parametrize("file", FILES)
def test_the_pins_are_what_make_pins_computes(file: str, tmp_path: Path) -> None:
    """Without the network this needs uv's cache: a machine that has none skips it."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv is not installed beside this Python")
    for path in (*ROOT.glob("requirements*"), ROOT / "pyproject.toml"):
        shutil.copy(path, tmp_path)
    command = "pip compile --offline --quiet --universal --python-version 3.11 --generate-hashes"
    done = subprocess.run(
        [uv, *command.split(), f"{Path(file).stem}.in", "--output-file", file],
        cwd=tmp_path,
        env={**os.environ, "UV_CUSTOM_COMPILE_COMMAND": "make pins"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 and re.search("offline|network|cache", done.stderr):
        pytest.skip("uv has no cache of the package index on this machine")
    assert done.returncode == 0, done.stderr
    # Not the hashes: a release may get more wheels after it was pinned.
    assert pins(file, tmp_path) == pins(file)
