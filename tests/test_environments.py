"""The environments: Pythons are run before they are believed, and nothing is made twice."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tools import environments, pythons, venvs
from tools.environments import Environment, NoPythonError
from tools.pythons import Python
from tools.venvs import VenvError

ROOT = Path(__file__).resolve().parent.parent

# No such Python exists, so whatever else is installed here is not found.
MINOR = 99


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH, on a machine without pyenv."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return path


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one environment that asks for nothing."""
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "TOOLS_FOLDER", tmp_path / ".venv-tools")
    (tmp_path / "requirements-dev.txt").write_text("# nothing\n")
    return tmp_path


def put(path: Path, script: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def put_python(path: Path, *, pip: bool = True, usable: bool = True) -> Path:
    """A script that answers as a Python 3.99 does."""
    answer = {"path": str(path), "version": [3, MINOR, 0], "pip": pip, "usable": usable}
    return put(path, f"echo '{json.dumps(answer)}'")


def test_a_python_that_answers_is_found(folder: Path) -> None:
    path = put_python(folder / "python3.99")
    assert list(pythons.find_pythons([MINOR], None)) == [Python(str(path), (3, MINOR, 0), True)]


@pytest.mark.parametrize(
    "script",
    ["echo 'pyenv: python3.99: command not found' >&2; exit 127", "echo 3.99.0", "kill -9 $$", ":"],
    ids=["shim", "not-a-python", "crash", "silent"],
)
def test_a_name_that_does_not_answer_is_no_python(folder: Path, script: str) -> None:
    put(folder / "python3.99", script)
    assert not list(pythons.find_pythons([MINOR], None))


def test_a_shim_does_not_hide_the_python_behind_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder / "python3.99", "exit 127")
    path = put_python(folder.parent / "second" / "python3.99")
    monkeypatch.setenv("PATH", f"{folder}:{path.parent}")
    assert [python.path for python in pythons.find_pythons([MINOR], None)] == [str(path)]


def test_pythons_of_pyenv_are_found(folder: Path) -> None:
    path = put_python(folder.parent / "pyenv" / "versions" / "3.99.0" / "bin" / "python3.99")
    assert [python.path for python in pythons.find_pythons([MINOR], None)] == [str(path)]


def test_pythons_of_uv_are_found(folder: Path) -> None:
    path = put_python(folder.parent / "uv-keeps-it-here" / "python3")
    uv = put(folder / "uv", f'test "$1 $2" = "python find" && echo {path}')
    assert [python.path for python in pythons.find_pythons([MINOR], str(uv))] == [str(path)]


def test_a_python_with_two_names_is_found_once(folder: Path) -> None:
    path = put_python(folder / "python3.99")
    (folder / "python3").symlink_to(path)
    assert len(list(pythons.find_pythons([MINOR], None))) == 1


def test_a_32_bit_or_foreign_python_is_left_alone(folder: Path) -> None:
    put_python(folder / "python3.99", usable=False)
    assert not list(pythons.find_pythons([MINOR], None))


def test_the_python_that_runs_this_is_found() -> None:
    found = pythons.probe(sys.executable)
    assert found is not None
    assert found.version == tuple(sys.version_info[:3])


@pytest.mark.usefixtures("folder")
def test_without_any_python_the_message_says_which_would_do() -> None:
    environment = Environment(".venv", (), (MINOR, MINOR + 1))
    with pytest.raises(NoPythonError, match=r"3\.99, 3\.100"):
        environments.best_python(environment, None)


def test_without_ensurepip_the_message_names_the_debian_package(folder: Path) -> None:
    put_python(folder / "python3.99", pip=False)
    environment = Environment(".venv", (), (MINOR,))
    with pytest.raises(VenvError, match="apt-get install python3-venv"):
        environments.best_python(environment, None)


def test_with_uv_a_python_without_ensurepip_will_do(folder: Path) -> None:
    path = put_python(folder / "python3.99", pip=False)
    environment = Environment(".venv", (), (MINOR,))
    assert environments.best_python(environment, str(put(folder / "uv", ":"))).path == str(path)


def test_the_python_that_the_environment_likes_best_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = [Python(f"/python3.{minor}", (3, minor, 0), True) for minor in (12, 11, 13)]
    monkeypatch.setattr(
        environments,
        "find_pythons",
        lambda minors, uv: [python for python in here if python.version[1] in minors],
    )
    assert environments.best_python(environments.ENVIRONMENTS["dev"], None).version[1] == 11
    assert environments.best_python(environments.ENVIRONMENTS["litert"], None).version[1] == 13


def test_a_pin_is_cut_out_with_all_its_hashes() -> None:
    pin = venvs.pin_of("uv", (ROOT / "requirements-dev.txt").read_text("utf-8"))
    lines = pin.splitlines()
    assert lines[0].startswith("uv==")
    assert len(lines) > 2
    assert all(line.strip().startswith("--hash=sha256:") for line in lines[1:-1])


def test_a_failing_step_is_an_error_that_shows_its_output() -> None:
    with pytest.raises(VenvError, match="exit code 3\nno such luck"):
        venvs.run(["sh", "-c", "echo no such luck; exit 3"])


@pytest.mark.slow
def test_an_environment_is_made_once_and_again_when_its_pins_change(checkout: Path) -> None:
    environment = Environment(".venv", ("requirements-dev.txt",), (sys.version_info[1],))
    assert not environment.is_ready()
    environments.ensure(environment)
    made = (checkout / ".venv" / environments.STAMP).stat().st_mtime_ns
    assert environment.is_ready()
    assert pythons.probe(str(environment.python)) is not None

    environments.ensure(environment)
    assert (checkout / ".venv" / environments.STAMP).stat().st_mtime_ns == made

    (checkout / "requirements-dev.txt").write_text("# something else\n")
    assert not environment.is_ready()
    environments.ensure(environment)
    assert (checkout / ".venv" / environments.STAMP).stat().st_mtime_ns > made


def test_an_environment_whose_python_went_away_is_not_ready(checkout: Path) -> None:
    environment = Environment(".venv", ("requirements-dev.txt",), (MINOR,))
    (checkout / ".venv").mkdir()
    stamp = {"digest": environment.digest(), "version": "3.99.0"}
    (checkout / ".venv" / environments.STAMP).write_text(json.dumps(stamp))
    assert not environment.is_ready()


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)], ids=["ci", "at-home"])
@pytest.mark.usefixtures("checkout")
def test_an_interpreter_that_was_not_run_is_told_and_an_error_in_ci(
    ci: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(Environment, "is_ready", lambda self: self.name == ".venv")
    monkeypatch.setattr(Environment, "stamp", lambda self: {"version": "3.11.7"})
    monkeypatch.setattr(environments, "interpreter_in", lambda _: "tflite-runtime 2.14.0")
    assert environments.tested() == code
    tested, not_tested = capsys.readouterr().out.splitlines()
    assert tested.endswith("tflite-runtime 2.14.0 (Python 3.11.7)")
    assert "ai-edge-litert" in not_tested


@pytest.mark.parametrize("name", ["environments", "pythons", "venvs"])
def test_an_old_system_python_can_read_the_code(name: str) -> None:
    source = (ROOT / "tools" / f"{name}.py").read_text("utf-8")
    ast.parse(source, feature_version=(3, 8))
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported <= sys.stdlib_module_names


def test_the_listing_can_be_read_by_a_person_and_by_a_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [Python("/opt/python3.11", (3, 11, 9), False)]
    monkeypatch.setattr(environments, "find_pythons", lambda minors, uv: found)
    assert environments.main(["list"]) == 0
    assert "/opt/python3.11  (no ensurepip" in capsys.readouterr().out
    assert environments.main(["list", "--json"]) == 0
    listing = json.loads(capsys.readouterr().out)
    assert listing["pythons"][0]["version"] == "3.11.9"
    assert {environment["name"] for environment in listing["environments"]} == {
        "dev",
        "litert",
        "serve",
    }


def test_help_explains_by_example() -> None:
    script = ROOT / "tools" / "environments.py"
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)
    assert "python3 tools/environments.py litert" in done.stdout


def test_no_python_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Environment) -> None:
        raise NoPythonError("none was found")

    monkeypatch.setattr(environments, "ensure", fail)
    assert environments.main(["litert"]) == environments.EXIT_NO_PYTHON
    assert "none was found" in capsys.readouterr().err
