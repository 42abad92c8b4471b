"""The doctor, against apps that are broken in one way each; the sound one has nothing to complain of."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tools.broken_apps import FILES, OWN, ROOT, STARTS, Case, app_of, both, committed, nothing, publish, sound
from tests.tools.broken_apps import replace as changed
from tools import doctor
from tools.checks import trial_run
from tools.checks.base import App, Finding
from tools.checks.deployed import is_ignored
from tools.checks.platforms import FAILURES, PLATFORMS
from tools.checks.trial_run import Run

BY_NAME = {check.name: check for check in doctor.CHECKS}


def look(folder: Path, case: Case, *, start: bool = False) -> Finding:
    app = app_of(folder, case, start=start)
    try:
        return BY_NAME[case.check].function(app)
    finally:
        app.close()


@pytest.mark.parametrize("name", FILES)
def test_what_is_broken_is_found(tmp_path: Path, name: str) -> None:
    """It is repaired where that is safe; else --fix says what to do and leaves every file as it is."""
    case = FILES[name]
    case.break_it(sound(tmp_path))
    before = contents(tmp_path)
    found = look(tmp_path, case)
    assert (found.status, case.told in found.message) == (case.status, True), found
    assert found.fix
    assert (found.repair is not None) is case.fixed, found
    assert contents(tmp_path) == before
    if case.fixed:
        ((_, after, done),) = doctor.examine(app_of(tmp_path, case), [BY_NAME[case.check]], fix=True)
        assert done
        assert after.status == "ok", after


def contents(folder: Path) -> dict[Path, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path: path.read_bytes() for path in files}


@pytest.mark.parametrize(
    "command",
    [
        "gunicorn runtime.wsgi:app -c gunicorn.conf.py",
        "gunicorn --preload runtime.wsgi:app --log-file -",
        "gunicorn -b localhost:8000 -w 2 runtime.wsgi",
        "gunicorn --chdir runtime wsgi:app",
        "python -m gunicorn 'runtime.wsgi:create()'",
    ],
)
def test_the_entry_point_is_found_among_gunicorns_arguments(tmp_path: Path, command: str) -> None:
    sound(tmp_path).joinpath("Procfile").write_text(f"web: {command}\n", encoding="utf-8")
    assert look(tmp_path, Case("entry-point", "ok", "", lambda app: None)).status == "ok"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_sound_app_passes(tmp_path: Path, platform: str) -> None:
    app = app_of(sound(tmp_path), Case("", "", "", lambda app: None, platform=platform))
    found = doctor.examine(app, [check for check in doctor.CHECKS if not check.starts])
    assert [(check.name, item) for check, item, _ in found if item.status not in ("ok", "skip")] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", STARTS)
def test_what_only_a_start_shows_is_found(tmp_path: Path, name: str) -> None:
    case = STARTS[name]
    case.break_it(sound(tmp_path))
    found = look(tmp_path, case, start=True)
    assert (found.status, case.told in found.message) == (case.status, True), found


@pytest.mark.slow
def test_more_memory_than_the_machine_has_is_found(tmp_path: Path) -> None:
    """The processes are really weighed: on a machine of 16 MB nothing fits. However slow it is, the time is enough."""
    app = App(
        sound(tmp_path),
        replace(PLATFORMS["heroku"], memory_mb=16, request_seconds=3600.0),
        doctor.environment(tmp_path, PLATFORMS["heroku"], (), OWN),
        Path(sys.executable),
        Run,
    )
    try:
        assert BY_NAME["memory"].function(app).status == "fail"
        assert BY_NAME["answer-time"].function(app).status == "ok"
    finally:
        app.close()


@pytest.mark.slow
def test_memory_is_that_of_predictions_also_where_the_page_is_off_and_keys_are_digests(tmp_path: Path) -> None:
    """The trial run asks with a key of its own."""
    keys = f"API_KEYS=phone:sha256:{'a' * 64}"
    app = app_of(sound(tmp_path), Case("memory", "ok", "", nothing, settings=("PAGE=off", keys)), start=True)
    try:
        assert BY_NAME["memory"].function(app).status == "ok"
        assert app.run is not None
        assert app.run.ask_all() > 0
    finally:
        app.close()


@pytest.mark.slow
def test_memory_without_a_prediction_is_no_good_news(tmp_path: Path) -> None:
    hooks = "from runtime.errors import RefusedError\ndef before(inputs):\n    raise RefusedError('closed')\n"
    (sound(tmp_path) / "hooks.py").write_text(hooks, encoding="utf-8")
    found = look(tmp_path, Case("memory", "", "", nothing), start=True)
    assert (found.status, "has not predicted" in found.message) == ("warn", True), found


@pytest.mark.slow
@pytest.mark.parametrize(("platform", "status"), [("heroku", "ok"), ("generic", "fail")])
def test_a_shell_around_the_server_stops_where_every_process_gets_sigterm(
    tmp_path: Path, platform: str, status: str
) -> None:
    sound(tmp_path).joinpath("Procfile").write_text("web: gunicorn runtime.wsgi:app; echo ended\n", encoding="utf-8")
    assert look(tmp_path, Case("stop", "", "", nothing, platform=platform), start=True).status == status


def test_a_slug_over_the_limit_is_told_with_what_to_cut(tmp_path: Path) -> None:
    app = app_of(sound(tmp_path), Case("", "", "", lambda app: None))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "old.bin").write_bytes(random.Random(0).randbytes(3 << 20))
    found = BY_NAME["weight"].function(replace(app, platform=replace(app.platform, slug_mb=10)))
    assert (found.status, found.fix) == ("fail", "cut weights/old.bin 3.0 MB")


def run_doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tools/doctor.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200, check=False)


@pytest.mark.slow
def test_the_whole_examination_of_the_sound_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Started as a dyno starts it, every check passes, the stop included. How slow this machine is, is not examined."""
    patient = replace(PLATFORMS["heroku"], boot_seconds=600.0, request_seconds=3600.0, grace_seconds=120.0)
    monkeypatch.setitem(PLATFORMS, "heroku", patient)
    monkeypatch.setattr(trial_run, "_LONGEST_WAIT", 600.0)
    # The workers start with the model, however long it takes to be tried.
    code = doctor.main([str(sound(tmp_path)), "--python", sys.executable, "--set", "BOOT_SECONDS=60", "--json"])
    told = json.loads(capsys.readouterr().out)
    status = {row["check"]: row["status"] for row in told["findings"]}
    assert set(status) == set(BY_NAME)
    assert set(status.values()) == {"ok"}, told
    assert code == 0


def test_the_exit_code_and_the_table_tell_a_failure(tmp_path: Path) -> None:
    sound(tmp_path).joinpath("Procfile").unlink()
    done = run_doctor(str(tmp_path), "--no-start")
    assert done.returncode == 1
    assert "there is no Procfile" in done.stdout
    assert "H10" in done.stdout


def test_a_failure_is_asked_for_by_its_name(tmp_path: Path) -> None:
    done = run_doctor(str(sound(tmp_path)), "--no-start", "--failure", "H12", "--json")
    assert [row["check"] for row in json.loads(done.stdout)["findings"]] == ["request-time"]


def test_every_classic_failure_has_its_checks() -> None:
    foretold = {code for check in doctor.CHECKS for code in check.foretells}
    assert foretold == set(FAILURES)
    assert {"H10", "R10", "H12", "R14", "R15"} <= foretold


def test_every_check_has_a_broken_app() -> None:
    covered = {case.check for case in (*FILES.values(), *STARTS.values())} | {"memory", "answer-time"}
    assert covered == set(BY_NAME)


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        ("tests/a.py", True),
        ("docs/b/c.md", True),
        ("runtime/tests.py", False),
        ("a/notes.md", True),
        ("runtime/a.py", False),
    ],
)
def test_slugignore_is_read_as_the_platform_reads_it(name: str, ignored: bool) -> None:
    assert is_ignored(name, ["# a comment", "", "/tests", "/docs/", "*.md"]) is ignored


@pytest.mark.parametrize("platform", ["render", "fly", "cloudrun"])
def test_a_platform_that_reads_no_procfile_misses_none(tmp_path: Path, platform: str) -> None:
    sound(tmp_path).joinpath("Procfile").unlink()
    app = app_of(tmp_path, Case("", "", "", nothing, platform=platform))
    found = doctor.examine(app, [check for check in doctor.CHECKS if not check.starts])
    assert [item for _, item, _ in found if item.status not in ("ok", "skip")] == []


def test_a_pipfile_with_its_lock_is_left_alone(tmp_path: Path) -> None:
    app = sound(tmp_path)
    (app / "requirements.txt").unlink()
    (app / "Pipfile").write_text("[packages]\n", encoding="utf-8")
    (app / "Pipfile.lock").write_text("{}\n", encoding="utf-8")
    for check in ("pins", "lock-files", "deprecated"):
        assert look(app, Case(check, "", "", nothing)).status in ("ok", "skip")


def test_without_an_image_no_python_version_is_written(tmp_path: Path) -> None:
    """On Fly the Dockerfile decides: --fix writes no .python-version where it is missing."""
    sound(tmp_path).joinpath("Dockerfile").unlink()
    (tmp_path / "runtime.txt").unlink()
    app = app_of(tmp_path, Case("", "", "", nothing, platform="fly"))
    doctor.examine(app, [check for check in doctor.CHECKS if not check.starts], fix=True)
    assert not (tmp_path / ".python-version").exists()


def test_a_digest_of_a_key_is_no_secret(tmp_path: Path) -> None:
    told = f'"value": "me:sha256:{"a" * 64}", "description": "Keys'
    changed("app.json", '"description": "Keys', told)(sound(tmp_path))
    assert look(tmp_path, Case("secrets", "", "", nothing)).status == "ok"


@pytest.mark.parametrize("url", ["site/house/index.json", "file://{}/site/house/1.0.0/house.tflite"])
def test_a_model_in_git_is_deployed(tmp_path: Path, url: str) -> None:
    """By a path from the app's folder or an absolute one; the artifact of an index too."""
    both(publish, committed())(sound(tmp_path))
    case = Case("model-file", "ok", "", nothing, settings=(f"MODEL_URL={url.format(tmp_path)}",))
    assert look(tmp_path, case) == Finding("ok", "deployed with the app")


def test_the_python_may_be_a_name_or_a_relative_path() -> None:
    """It becomes absolute: the app is started in another folder."""
    name = Path(sys.executable)
    relative = os.path.relpath(name)
    assert doctor.parse_args(["--python", relative]).python == Path(relative).absolute()
    assert doctor.parse_args(["--python", "sh"]).python.is_absolute()


def test_wrong_arguments_are_told() -> None:
    done = run_doctor("--python", "/no/such/python")
    assert (done.returncode, done.stdout) == (2, "")
    assert "/no/such/python: there is no such program" in done.stderr
    assert run_doctor("/no/such/folder").returncode == 2
    assert run_doctor("--set", "MODEL_URL").returncode == 2
