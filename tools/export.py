"""Turn a Keras model into a proven artifact: `.venv/bin/python tools/export.py model.keras`.

load -> convert in every mode -> verify in production's interpreter -> choose -> pack
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    from tools import missing

    missing.tell()

from rich.console import Console  # noqa: E402

from runtime.artifact import Artifact  # noqa: E402
from runtime.errors import DynoliteError  # noqa: E402
from tools import (  # noqa: E402
    beforehand,
    model_files,
    packing,
    plain_models,
    publishing,
    report,
    report_page,
    reproving,
    targets,
    trials,
)
from tools.candidates import NEED_DATA, Candidate, Prepared  # noqa: E402
from tools.errors import UnprovenError  # noqa: E402
from tools.jobs import Worker  # noqa: E402
from tools.options import AUTO, parse_args  # noqa: E402
from tools.report import Report  # noqa: E402
from tools.targets import Bench  # noqa: E402

EXIT_UNPROVEN, EXIT_INTERRUPTED = 3, 130


def export(arguments: argparse.Namespace, folder: Path, console: Console, worker: Worker) -> Report:
    """The whole story; where nothing passes, the report has no artifact and says why.

    Raises ExportError where there is nothing to report on.
    """
    beforehand.check(arguments)
    bench = targets.bench(arguments.target, lambda text: console.print(text, style="dim"))
    prepared, candidates, chosen = _measure(arguments, bench, folder, console, worker)
    _must_be_proven(bench, arguments)
    written = None
    if chosen:
        meaning = packing.meaning(arguments, prepared)
        path = _out(arguments) / f"{meaning.name}.tflite"
        written = packing.pack(path, chosen, prepared, meaning, _provenance(arguments, prepared, bench))
    return Report(
        model=_source(arguments).name if arguments.model else arguments.architecture,
        model_bytes=model_files.size(_source(arguments)),
        framework=prepared.told["framework"],
        targets=tuple(target.name for target in bench.targets),
        prepared=prepared,
        candidates=tuple(candidates),
        chosen=chosen,
        written=written,
        warnings=_warnings(prepared, bench, arguments),
    )


def _measure(
    arguments: argparse.Namespace, bench: Bench, folder: Path, console: Console, worker: Worker
) -> tuple[Prepared, list[Candidate], Candidate | None]:
    """Every candidate with its figures, and the one that is chosen."""
    if not bench.pythons:
        raise UnprovenError("; ".join(bench.missing.values()))
    with console.status("starting") as status:
        if beforehand.is_tflite(arguments):
            status.update("running the file")
            prepared, candidate = plain_models.try_file(arguments, bench, folder)
            return prepared, [candidate], candidate
        prepared, candidates = trials.try_modes(worker, arguments, bench, folder, status.update)
        status.update("measuring those that pass, side by side")
        return prepared, *trials.select(prepared, candidates, arguments, bench)


def publish(written: Artifact, arguments: argparse.Namespace, console: Console) -> None:
    """Publish what was written, and print the MODEL_URL to set."""
    options = dict.fromkeys(("name", "version", "channel", "dry_run"))
    done, url = publishing.publish(written.path, arguments.publish, console, **options)
    publishing.show_published(done, url, console)


def reprove(arguments: argparse.Namespace, folder: Path, console: Console) -> int:
    """Prove an artifact on another target and write it with that proof; the exit code."""
    beforehand.check_places(arguments)
    bench = targets.bench(arguments.target, lambda text: console.print(text, style="dim"))
    if bench.missing:
        raise UnprovenError("; ".join(bench.missing.values()))
    source: Path = arguments.reprove
    out = arguments.out / source.name if arguments.out else source
    written, told = reproving.reprove(source, bench, out, folder)
    if arguments.json:
        print(json.dumps({"artifact": report.artifact_json(written), "proofs": told}, indent=2))
    else:
        report.show_reproof(written, told, console)
    return 0


def _must_be_proven(bench: Bench, arguments: argparse.Namespace) -> None:
    if bench.missing and not arguments.allow_unproven:
        raise UnprovenError("; ".join(bench.missing.values()))


def _source(arguments: argparse.Namespace) -> Path:
    """The file that the model's numbers are in."""
    return Path(arguments.model or arguments.weights or arguments.architecture.split(":")[0] + ".py")


def _out(arguments: argparse.Namespace) -> Path:
    return Path(arguments.out or "build")


def _provenance(arguments: argparse.Namespace, prepared: Prepared, bench: Bench) -> dict[str, Any]:
    path = _source(arguments)
    told: dict[str, Any] = plain_models.provenance(prepared.given) if prepared.given else {}
    if not told:
        told = {
            "source": path.name,
            "source_sha256": model_files.digest(path),
            "framework": prepared.told["framework"],
            "tensorflow": prepared.told["tensorflow"],
            "data": report.data_line(prepared),
        }
    if bench.missing:
        told["unproven_on"] = sorted(bench.missing)
    return told


def _warnings(prepared: Prepared, bench: Bench, arguments: argparse.Namespace) -> tuple[str, ...]:
    data = prepared.told["data"]
    found = list(data["warnings"]) if data else []
    found += prepared.told["notes"]
    if not prepared.given and not data:
        left_out = f", and {' and '.join(NEED_DATA)} are left out" if arguments.quantize == AUTO else ""
        found.append(
            f"without --data the figures come from made-up samples and mean little{left_out}: "
            "give real samples with --data"
        )
    if prepared.told["loops"]:
        found.append("recurrent layers convert for one row at a time only: a batch is served row by row")
    return (*found, *(f"unproven: {why}" for why in bench.missing.values()))


def main(argv: Sequence[str]) -> int:
    """Export, print the report, and return the exit code."""
    arguments = parse_args(argv)
    signal.signal(signal.SIGTERM, _stop)
    console = Console(stderr=arguments.json)
    if not console.is_terminal:
        console.width = 120
    try:
        with tempfile.TemporaryDirectory(prefix="dynolite-export-") as folder:
            if arguments.reprove:
                return reprove(arguments, Path(folder), console)
            with Worker(Path(folder), arguments.timeout, int(arguments.memory * 1e9)) as worker:
                found = export(arguments, Path(folder), console, worker)
            if arguments.report:
                report_page.write(arguments.report, found)
        if arguments.json:
            print(json.dumps(found.to_json(), indent=2))
        else:
            report.show(found, console)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except DynoliteError as error:
        if arguments.json:
            print(json.dumps({"error": str(error), "kind": type(error).__name__}, indent=2))
        print(f"export: {error}\nNothing was written.", file=sys.stderr)
        return EXIT_UNPROVEN if isinstance(error, UnprovenError) else 1
    if not found.written:
        return 1
    return _publish(found.written, arguments, console) if arguments.publish else 0


def _publish(written: Artifact, arguments: argparse.Namespace, console: Console) -> int:
    try:
        publish(written, arguments, console)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except DynoliteError as error:
        print(f"export: {written.path} is written, but not published: {error}", file=sys.stderr)
        return 1
    return 0


def _stop(_number: int, _frame: object) -> NoReturn:
    """Let a SIGTERM clean up as Ctrl-C does."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
