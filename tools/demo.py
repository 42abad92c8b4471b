"""The whole road once, from handwritten digits to an answered /predict, each step a command you can run yourself.

    make demo             train, export, publish, serve, ask; the server stays until Ctrl-C
    make demo CHECK=1     the same, but check the answers and stop: exit code 0 or 1

    .venv/bin/python tools/demo.py --port 8000     on a port of your choice
    .venv/bin/python tools/demo.py --fresh         train and export again, also when nothing has changed

All that it makes is in the folder .demo.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    from tools import missing

    missing.tell()

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from runtime import artifact, interpreter  # noqa: E402
from runtime.artifact import Artifact  # noqa: E402
from runtime.errors import DynoliteError  # noqa: E402
from tools import targets  # noqa: E402
from tools.freshness import Freshness  # noqa: E402
from tools.pixel_art import draw  # noqa: E402
from tools.procfile_server import ProcfileServer, free_port  # noqa: E402

FOLDER = Path(".demo")
TRAINED, EXPORTED, PUBLISHED = FOLDER / "digits", FOLDER / "exported", FOLDER / "published"
_HERE = Path(sys.executable)
PYTHON = str(_HERE.relative_to(ROOT)) if _HERE.is_relative_to(ROOT) else "python"  # as a person types it
AT_LEAST = 0.97  # share of held-out digits
TOLERANCE = 1e-5  # between the server's probabilities and the interpreter's own
SHOWN = slice(1, 4)  # held-out digits that are drawn
BATCH = 60  # digits in one request


class DemoError(DynoliteError):
    """A step of the demo failed; what it printed says more."""


class Holdout(NamedTuple):
    """Digits that the model has never seen: images float32 [count, 8, 8, 1], and which digit each is [count]."""

    images: NDArray[np.float32]
    digits: NDArray[np.int64]


class Story:
    """Tells the demo: numbered steps, commands as they are typed, the server's lines among them."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self._steps = 0

    def step(self, title: str) -> None:
        """Begin the next step."""
        self._steps += 1
        self.console.print(f"\n[bold cyan]{self._steps}. {title}[/]")

    def say(self, line: str) -> None:
        """A sentence of the story, in rich's markup."""
        self.console.print(f"   {line}")

    def command(self, line: str) -> None:
        """A command as a person would type it."""
        self.console.print("   [green]$[/] ", end="")
        self.console.print(line, markup=False, style="bold")

    def server(self, line: str) -> None:
        """A line that the server printed."""
        self.console.print(f"   web | {line}", markup=False, style="bright_black")

    def run(self, script: str, arguments: Sequence[str | Path]) -> None:
        """Run a script of this repository, its output shown; DemoError if it fails."""
        given = [str(argument) for argument in arguments]
        self.command(shlex.join([PYTHON, script, *given]))
        done = subprocess.run([sys.executable, script, *given], cwd=ROOT, check=False)
        if done.returncode:
            raise DemoError(f"{script} ended with exit code {done.returncode}")


def train(story: Story, *, fresh: bool) -> Holdout:
    """Step 1: a model, unless it is there and its script has not changed since."""
    story.step("Train a small CNN on handwritten digits")
    script = "examples/digits/train.py"
    state = Freshness(ROOT / FOLDER / "train.stamp", [ROOT / script, ROOT / "requirements-dev.txt"])
    model = ROOT / TRAINED / "digits.keras"
    if fresh or not state.holds(model, model.with_name("holdout.npz")):
        story.run(script, ["--out", TRAINED])
        state.keep()
    else:
        story.say(f"{TRAINED}/digits.keras is there and up to date (--fresh trains it again)")
    with np.load(ROOT / TRAINED / "holdout.npz") as data:
        return Holdout(data["image"], data["label"])


def export(story: Story, *, fresh: bool) -> Path:
    """Step 2: one file for the server, proven against Keras, unless nothing that makes it has changed."""
    story.step("Export it: convert, run it against Keras, pack")
    trained, out = ROOT / TRAINED, ROOT / EXPORTED
    code = sorted(path for folder in ("tools", "runtime") for path in (ROOT / folder).rglob("*.py"))
    sources = [trained / "digits.keras", trained / "calibration.npz", trained / "labels.txt", *code]
    state = Freshness(ROOT / FOLDER / "export.stamp", [*sources, ROOT / "requirements-dev.txt"])
    files = sorted(out.glob("*.tflite"))
    if fresh or not files or not state.holds():
        shutil.rmtree(out, ignore_errors=True)
        data: list[str | Path] = ["--data", TRAINED / "calibration.npz", "--labels", TRAINED / "labels.txt"]
        named = ["--name", "digits", "--version", "1.0.0", "--quantize", "float16"]
        here = next(t.name for t in targets.TARGETS.values() if t.package == interpreter.package().name)
        target = [] if here == targets.default() else ["--target", here]
        story.run("tools/export.py", [TRAINED / "digits.keras", *named, *data, *target, "--out", EXPORTED])
        state.keep()
        files = sorted(out.glob("*.tflite"))
    else:
        story.say(f"{EXPORTED}/{files[0].name} is there and up to date (--fresh exports it again)")
    if len(files) != 1:
        raise DemoError(f"expected one .tflite file in {EXPORTED}, found {len(files)}")
    return files[0]


def publish(story: Story, exported: Path) -> Artifact:
    """Step 3: a copy under a name that says what it is, there whole or not at all."""
    story.step("Publish it: here into a folder, in earnest behind an https address")
    found = artifact.read(exported)
    target = ROOT / PUBLISHED / f"{found.name}-{found.version}-{found.digest[:12]}.tflite"
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".part")
    shutil.copyfile(exported, temporary)
    temporary.replace(target)
    story.say(f"{target.relative_to(ROOT)}  ({found.size:,} bytes)")
    return artifact.read(target)


def show_health(story: Story, server: ProcfileServer, model: Artifact) -> None:
    """Step 5: what an uptime monitor sees; DemoError unless it is the published file that is served."""
    story.step("Ask how it is")
    story.command(f"curl -s {server.url}/health")
    told = server.session.get(f"{server.url}/health", timeout=5).json()
    for line in json.dumps(told, indent=2).splitlines():
        story.console.print(f"   {line}", markup=False)
    if told.get("sha256") != model.digest:
        raise DemoError("the server has another model than the one published")


def ask(server: ProcfileServer, images: NDArray[np.float32]) -> tuple[NDArray[np.float64], str, float]:
    """POST images as JSON: probabilities [count, 10], the reply as it came, and the seconds it took."""
    started = time.monotonic()
    body = {"instances": images.astype(int).tolist()}
    reply = server.session.post(f"{server.url}/predict", json=body, timeout=30)
    seconds = time.monotonic() - started
    if not reply.ok:
        raise DemoError(f"/predict answered {reply.status_code}: {reply.text.strip()[:300]}")
    return np.array(reply.json()["predictions"]), reply.text, seconds


def show_predictions(story: Story, server: ProcfileServer, holdout: Holdout, labels: Sequence[str]) -> None:
    """Step 6: a few digits, one request each, as a person would look at them."""
    story.step("Show it digits that it has never seen")
    for image, digit in zip(holdout.images[SHOWN], holdout.digits[SHOWN], strict=True):
        probabilities, text, seconds = ask(server, image[np.newaxis])
        best = int(probabilities[0].argmax())
        verdict = "[green]right[/]" if best == digit else "[red]wrong[/]"
        body = json.dumps({"instances": image[np.newaxis].astype(int).tolist()})
        facts = Table.grid(padding=(0, 2))
        facts.add_row("POST /predict", _shortened(body))
        facts.add_row(f"200, {seconds * 1000:.0f} ms", _shortened(text))
        facts.add_row("prediction", f"[bold]{labels[best]}[/], {probabilities[0][best]:.1%} sure")
        facts.add_row("it was", f"{labels[digit]}: {verdict}")
        picture = Table.grid(padding=(0, 3))
        picture.add_row("", draw(image[..., 0] / 255, shades=story.console.is_terminal), facts)
        story.console.print(picture)
        story.console.print()


def check_answers(story: Story, server: ProcfileServer, holdout: Holdout, model: Artifact) -> None:
    """Step 7: all held-out digits, compared with the truth and with the interpreter; DemoError if they differ."""
    count = len(holdout.digits)
    story.step(f"Show it all {count} of them, {BATCH} in a request")
    started = time.monotonic()
    replies = [ask(server, holdout.images[start : start + BATCH])[0] for start in range(0, count, BATCH)]
    served, seconds = np.concatenate(replies), time.monotonic() - started
    answers = served.argmax(axis=1)
    wrong = np.flatnonzero(answers != holdout.digits)
    right = count - len(wrong)
    (own,) = interpreter.load(model.path).run({"image": holdout.images}).values()
    difference = float(np.abs(served - own).max())
    story.say(f"[bold]{right} of {count} right[/] ({right / count:.1%}), {seconds:.2f} s")
    if len(wrong):
        told = ", ".join(f"{model.labels[holdout.digits[i]]} read as {model.labels[answers[i]]}" for i in wrong[:8])
        story.say(f"wrong: {told}")
    story.say(f"largest difference from the interpreter's own answers: {difference:.1e}")
    if right < AT_LEAST * count:
        raise DemoError(f"fewer than {AT_LEAST:.0%} of the digits were right")
    if not difference <= TOLERANCE:
        raise DemoError(f"the server answers something else than its interpreter: {difference:.1e} apart")


def say_how_to_go_on(story: Story, server: ProcfileServer, model: Artifact, holdout: Holdout) -> None:
    """The last step: commands for another terminal."""
    story.step("Go on from here, in another terminal")
    body = {"instances": holdout.images[SHOWN][:1].astype(int).tolist()}
    (ROOT / FOLDER / "digit.json").write_text(json.dumps(body), encoding="utf-8")
    story.command(f"curl -s {server.url}/predict -d @{FOLDER}/digit.json")
    story.command(f"make serve MODEL={model.path.relative_to(ROOT)}")
    story.command(f"{PYTHON} tools/export.py --help   # for a model of your own")
    story.say("\n   The server runs until Ctrl-C.")


def tell(story: Story, args: argparse.Namespace) -> None:
    """The demo from end to end; leaves no server behind."""
    holdout = train(story, fresh=args.fresh)
    model = publish(story, export(story, fresh=args.fresh))
    settings = {"MODEL_URL": model.path.as_uri(), "MODEL_SHA256": model.digest}
    with ProcfileServer(settings, args.port or free_port(), story.server) as server:
        story.step("Serve it as the Procfile does")
        shown = f"MODEL_URL=file://.../{model.path.name} MODEL_SHA256={model.digest[:12]}..."
        story.command(f"{shown} PORT={server.url.rpartition(':')[2]} {server.command}")
        server.wait_ready()
        show_health(story, server, model)
        show_predictions(story, server, holdout, model.labels)
        check_answers(story, server, holdout, model)
        if args.check:
            story.say("[green]All as it should be.[/]")
            return
        say_how_to_go_on(story, server, model, holdout)
        server.wait()


def _shortened(text: str, width: int = 40) -> str:
    """One line of a body, its middle left out; brackets kept from rich's markup."""
    text = " ".join(text.split())
    short = text if len(text) <= width else f"{text[: width - 12]} ... {text[-7:]}"
    return short.replace("[", r"\[")


def _stopped(number: int, frame: Any) -> None:
    """A polite kill ends the demo as Ctrl-C does, the server with it."""
    del number, frame
    raise KeyboardInterrupt


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="check the answers and stop")
    parser.add_argument("--port", type=int, default=0, help="the server's port on 127.0.0.1; default: a free one")
    parser.add_argument("--fresh", action="store_true", help="train and export again, changed or not")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Tell the story: 0 when it ended well (Ctrl-C at its end is a good end), 1 when a step failed."""
    args = parse_args(argv)
    signal.signal(signal.SIGTERM, _stopped)
    signal.signal(signal.SIGHUP, _stopped)
    story = Story()
    try:
        tell(story, args)
    except DynoliteError as error:
        story.console.print(f"\n[bold red]demo:[/] {error}")
        return 1
    except KeyboardInterrupt:
        story.console.print("\nStopped.")
        return 130 if args.check else 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
