"""The simulator by hand: `python -m tests.e2e.lambda_simulator --help`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import Clock, Environment, Function, InitError, SimulatorError, render, runtimes
from .environment import INIT_SECONDS

DESCRIPTION = """\
Runs one execution environment of AWS Lambda on this machine: starts the extensions and a function, invokes
it, shuts everything down, in Lambda's order and with Lambda's deadlines. Prints the answers, what the
processes wrote, and the timeline as a picture. Nothing leaves this machine but what the processes send.
"""
EPILOG = """\
examples:
  python -m tests.e2e.lambda_simulator --extension ./my-extension
      an extension alone, with a function that answers with its event
  python -m tests.e2e.lambda_simulator --extensions layer/extensions --runtime python --task-root function \\
      --event '{"order": 7}' --event '{"order": 8}' --env AWS_ENDPOINT_URL=http://127.0.0.1:5000
      all files of a folder as extensions, a Python function, two invocations
  python -m tests.e2e.lambda_simulator --layer layer.zip --runtime node --task-root function
      a layer as Lambda unpacks it: its extensions, and its packages for Python, Node and Ruby

exit code: 0 when Init and all invocations went well, 1 when one failed, 2 when the command line was wrong
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m tests.e2e.lambda_simulator",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    extensions = made.add_argument_group("extensions").add_mutually_exclusive_group()
    extensions.add_argument(
        "--extension",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="an executable; may be repeated",
    )
    extensions.add_argument(
        "--extensions", type=Path, metavar="FOLDER", help="every file in it, as /opt/extensions"
    )
    extensions.add_argument(
        "--layer",
        type=Path,
        metavar="ZIP",
        help="a layer: every file in its extensions/, and its packages on the runtime's path",
    )
    function = made.add_argument_group("function")
    function.add_argument(
        "--runtime", choices=runtimes.BY_NAME, default="echo", help="default: echo, which needs no handler"
    )
    function.add_argument(
        "--task-root", type=Path, metavar="FOLDER", help="the function's code, as /var/task"
    )
    function.add_argument("--handler", default="app.handler", help="default: %(default)s")
    function.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable of the function; may be repeated",
    )
    function.add_argument("--memory", type=int, default=128, metavar="MB", help="default: %(default)s")
    function.add_argument(
        "--timeout", type=float, default=3.0, metavar="SECONDS", help="default: %(default)s"
    )
    environment = made.add_argument_group("environment")
    environment.add_argument(
        "--event", action="append", metavar="JSON", help="invokes with it; may be repeated; default: one null"
    )
    environment.add_argument(
        "--initialization-type", choices=INIT_SECONDS, default="on-demand", help="default: %(default)s"
    )
    environment.add_argument(
        "--init-timeout", type=float, metavar="SECONDS", help="default: Lambda's for the type"
    )
    environment.add_argument(
        "--concurrency",
        type=int,
        default=1,
        metavar="N",
        help="on Managed Instances: how many processes AWS's runtime for Python starts; default: %(default)s",
    )
    environment.add_argument(
        "--freeze", action="store_true", help="stop everything between invocations, as Lambda does"
    )
    environment.add_argument(
        "--pause",
        type=float,
        metavar="SECONDS",
        help="move the wall clock by that much before each invocation; needs a C compiler",
    )
    environment.add_argument("--region", default="eu-west-1", help="default: %(default)s")
    environment.add_argument(
        "--shutdown-reason",
        default="spindown",
        choices=("spindown", "timeout", "failure"),
        help="default: %(default)s",
    )
    environment.add_argument("--no-namespace", action="store_true", help="run without a private /tmp")
    output = made.add_argument_group("output")
    output.add_argument("--timeline", type=Path, metavar="FILE", help="write the timeline there, as JSON")
    output.add_argument("--events", action="store_true", help="print every event of the timeline")
    output.add_argument("--tree", action="store_true", help="list what is in /tmp before the shutdown")
    return made


def variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"--env {text}: not NAME=VALUE")
    return name, value


def unpack(layer: Path, opt: Path) -> None:
    """Unpacks the zip of a layer as Lambda does, with the modes of its files."""
    with zipfile.ZipFile(layer) as archive:
        for member in archive.infolist():
            file = Path(archive.extract(member, opt))
            if not member.is_dir() and (mode := member.external_attr >> 16 & 0o777):
                file.chmod(mode)
    (opt / "extensions").mkdir(exist_ok=True)


def packages(opt: Path) -> Mapping[str, str]:
    """Returns the variables by which Lambda's runtimes find the packages of a layer."""
    return {
        "PYTHONPATH": f"{opt}/python",
        "NODE_PATH": f"{opt}/nodejs/node_modules",
        "RUBYLIB": f"{opt}/ruby/lib",
    }


def make(options: argparse.Namespace, opt: Path) -> Environment:
    """Makes the environment. The layer is unpacked into `opt`."""
    env = dict(variable(text) for text in options.env)
    if options.layer is not None:
        unpack(options.layer, opt)
        env = {**packages(opt), **env}
    function = Function(
        runtime=runtimes.BY_NAME[options.runtime](),
        task_root=options.task_root,
        handler=options.handler,
        env=env,
    )
    clock = None if options.pause is None else Clock()
    return Environment(
        extensions=options.extensions or (opt / "extensions" if options.layer else options.extension),
        visible=[opt] if options.layer else [],
        function=function,
        memory_mb=options.memory,
        timeout=options.timeout,
        init_timeout=options.init_timeout,
        initialization_type=options.initialization_type,
        concurrency=options.concurrency,
        freezes=options.freeze,
        clock=clock,
        region=options.region,
        isolate=not options.no_namespace,
    )


def run(environment: Environment, options: argparse.Namespace, events: Sequence[object]) -> bool:
    """Runs it all and returns whether all went well. It prints what went wrong."""
    well = True
    if not environment.isolated:
        print(f"no private /tmp: {environment.why_not_isolated}; instead there is {environment.tmp},")
        print("which TMPDIR names and KEYSTART_DIR points into")
    try:
        environment.init()
    except InitError as failed:
        well = False
        print(str(failed).splitlines()[0])
    for event in events:
        if environment.clock is not None:
            environment.clock.pass_by(options.pause)
        answer = environment.invoke(event)
        well = well and answer.error_type is None
        print(
            f"answer after {answer.milliseconds:.1f} ms: {answer.payload.decode('utf-8', 'backslashreplace')}"
        )
    if options.tree:
        for path in sorted(environment.tmp.rglob("*")):
            print(f"{path.lstat().st_mode & 0o7777:04o} /tmp/{path.relative_to(environment.tmp)}")
    environment.shutdown(options.shutdown_reason)
    return well


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="lambda-simulator-opt-") as opt:
        try:
            events = [json.loads(text) for text in options.event or ["null"]]
            environment = make(options, Path(opt))
        except (ValueError, OSError, SimulatorError, zipfile.BadZipFile) as problem:
            print(f"lambda_simulator: {problem}", file=sys.stderr)
            return 2
        return report(environment, options, events)


def report(environment: Environment, options: argparse.Namespace, events: Sequence[object]) -> int:
    """Runs the environment, prints what happened, and returns the exit code."""
    with environment:
        well = run(environment, options, events)
    for line in environment.log:
        print(line)
    if options.events:
        print(environment.timeline)
    print(render(environment.timeline, colour=sys.stdout.isatty()))
    if options.timeline is not None:
        environment.timeline.write(options.timeline)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
