"""Measure a served model: CPU per request, requests per second, latency, memory, cold start; beside peers if asked.

    .venv/bin/python tools/bench.py --model digits.tflite
    .venv/bin/python tools/bench.py --model digits.tflite --against fastapi --against flask
    .venv/bin/python tools/bench.py --model mobilenet.tflite --rows 1 --seconds 5 --json
    .venv/bin/python tools/bench.py --model mobilenet.tflite --body npy --body v2
    .venv/bin/python tools/bench.py --suite --against fastapi --picture docs/benchmark.svg

Every server is started here with two workers, asked the same body, and its answers compared with dynolite's before
anything is measured. All are measured in turn, in several rounds, and the medians shown. The main figure is CPU time a
request, of all the server's processes, as /proc counts it: it holds on a busy machine, where the others do not. The
`invoke` line is the interpreter alone, without any server, once in each round: no one can be below it.

Load comes from wrk where it is installed, else from tools/loadgen.py. Peers (bench/peers) get environments of their own
under build/peers, made with uv, on the Python and with the interpreter package that run this tool.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    from tools import missing

    missing.tell()

from runtime.errors import DynoliteError  # noqa: E402
from tools import bench_report, loadgen  # noqa: E402
from tools.bench_cases import BODIES, Case, as_body, case_of, suite  # noqa: E402
from tools.bench_servers import PEERS, BenchError, Running, check_equal, start  # noqa: E402
from tools.measuring import Figures, floor, measure, median  # noqa: E402

EPILOG = """
examples:
  .venv/bin/python tools/bench.py --model tests/models/mlp.tflite
  .venv/bin/python tools/bench.py --model tests/models/cnn.tflite --against fastapi --connections 1 8 32
  .venv/bin/python tools/bench.py --model tests/models/cnn.tflite --body json --body npy --body v2
  .venv/bin/python tools/bench.py --suite --against fastapi --against flask --rounds 5 --picture docs/benchmark.svg
"""


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bench.py",
        description="Measure a served model, beside peers if asked.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", type=Path, help="the .tflite file to serve")
    parser.add_argument("--keras", type=Path, help="the same model as .keras, for --against tensorflow")
    parser.add_argument("--suite", action="store_true", help="the cases of docs/performance.md instead of one model")
    parser.add_argument("--rows", type=loadgen.count, default=1, help="rows in each request; default: 1")
    parser.add_argument(
        "--body",
        action="append",
        choices=list(BODIES),
        help="how the rows are sent; may be repeated; peers read JSON, the default, alone",
    )
    parser.add_argument("--url", help="measure this running dynolite instead of starting one (CPU of --pid, else 0)")
    parser.add_argument("--pid", type=int, help="the main process of the server at --url")
    parser.add_argument("--against", action="append", default=[], choices=sorted(PEERS), help="a peer; may be repeated")
    parser.add_argument("--connections", type=loadgen.count, nargs="+", default=[8], help="default: 8")
    parser.add_argument("--rounds", type=loadgen.count, default=3, help="how often each is measured; default: 3")
    parser.add_argument("--seconds", type=loadgen.duration, default=2.0, help="of load in each round; default: 2")
    parser.add_argument("--access-log", action="store_true", help="a line a request on every side, as on a dyno")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--picture", type=Path, help="draw CPU per request as SVG")
    args = parser.parse_args(argv)
    if not (args.suite or args.model):
        parser.error("name a model with --model, or take --suite")
    if args.url and not loadgen.is_http(args.url):
        parser.error(f"--url: expected http://host:port, got {args.url!r}")
    if args.keras and not args.keras.exists():
        parser.error(f"--keras: there is no {args.keras}")
    if args.picture and (args.picture.is_dir() or not os.access(args.picture.parent, os.W_OK)):
        parser.error(f"--picture: {args.picture} cannot be written")
    return args


def run(args: argparse.Namespace, case: Case) -> list[Figures]:
    """Measure one case on every server: the floor first."""
    servers: list[Running] = []
    results: list[Figures] = []
    floors = [floor(case)]
    try:
        names = ["dynolite", *(args.against if case.kind == "json" else ())]
        for name in names:
            _say(f"{case.name}: starting {name}")
            url = args.url if name == "dynolite" else None
            servers.append(start(name, case, access_log=args.access_log, url=url, pid=args.pid))
            if url:
                _reach(servers[0], case)
        check_equal(case, servers)
        for connections in args.connections:
            rounds: dict[str, list[Figures]] = {server.name: [] for server in servers}
            for number in range(args.rounds):
                floors.append(floor(case))
                for server in servers:
                    _say(f"{case.name}: {server.name}, {connections} connections, round {number + 1}")
                    rounds[server.name].append(measure(server, case, connections, args.seconds))
            results += [median(figures) for figures in rounds.values()]
    finally:
        for server in servers:
            server.stop()
    return [median(floors), *results]


def _cases(args: argparse.Namespace) -> list[Case]:
    case = case_of(args.model, args.rows, args.keras)
    return [as_body(case, kind) for kind in args.body or ["json"]]


def _reach(server: Running, case: Case) -> None:
    """A first answer of a server that was not started here. Raises BenchError."""
    try:
        server.predict(case.body)
    except (OSError, ValueError, KeyError) as error:
        raise BenchError(f"{server.url} does not answer as dynolite with {case.model.name} would: {error}") from None


def main(argv: list[str] | None = None) -> int:
    """Measure and tell; 2 where a model or a server cannot be measured."""
    args = parse_args(argv)
    results: dict[str, list[Figures]] = {}
    try:
        for case in suite() if args.suite else _cases(args):
            results[case.name] = run(args, case)
    except DynoliteError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 2
    if args.json:
        told = {name: [asdict(figures) for figures in listed] for name, listed in results.items()}
        sys.stdout.write(json.dumps(told, indent=1) + "\n")
    else:
        sys.stdout.write(bench_report.table(results))
    if args.picture:
        args.picture.write_text(bench_report.draw(results))
    return 0


def _say(what: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"bench: {what}\n")


if __name__ == "__main__":
    sys.exit(main())
