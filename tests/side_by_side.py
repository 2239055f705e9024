"""Runs sessions of nox side by side, each in its own process, and prints the whole output of each when it ends.

`./dev test` runs this. Until a session ends, its output is in target/log only. Exit codes: 0 all passed, 1 a session
failed, 2 wrong use, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests import ROOT

LOGS = ROOT / "target/log"
_TICK = float(os.environ.get("DEV_TICK", "60"))  # seconds between lines about what runs, as in ./dev
_PATIENCE = 10.0  # seconds that an interrupted session has to end its programs
_PAUSE = 0.1  # seconds between looks at what runs


class Session:
    """A session of nox that runs. Its process leads a group, to which everything that it starts belongs."""

    def __init__(self, name: str, noxfile: Path) -> None:
        self.name = name
        self.log = LOGS / f"session-{name}.log"
        self._began = time.monotonic()
        command = [sys.executable, "-m", "nox", "--noxfile", str(noxfile), "--session", name]
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "DEV_SESSION": name},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def seconds(self) -> int:
        return round(time.monotonic() - self._began)

    def code(self) -> int | None:
        """Returns the exit code, or None as long as the session runs."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the session and to everything that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


class Run:
    """A run of all sessions: at most so many of them at once, and what became of each."""

    def __init__(self, noxfile: Path, at_once: int, after: dict[str, str]) -> None:
        self.results: dict[str, tuple[str, int]] = {}
        self._noxfile = noxfile
        self._at_once = at_once
        self._after = after  # by session: the one that has to end before it begins
        self._running: list[Session] = []
        self._began = self._reported = time.monotonic()

    def run(self, names: Sequence[str]) -> bool:
        """Runs these sessions, in this order as far as none waits for another, and returns whether all passed."""
        waiting = list(names)
        while waiting or self._running:
            pending = {*waiting, *(session.name for session in self._running)}
            ready = [name for name in waiting if self._after.get(name) not in pending]
            for name in ready[: self._at_once - len(self._running)]:
                waiting.remove(name)
                self._begin(name)
            time.sleep(_PAUSE)
            self._report()
            self._collect()
        return all(self.results[name][0] == "success" for name in names)

    def interrupt(self) -> None:
        """Ends what runs: asks it as Ctrl-C does, and kills what is left."""
        for session in self._running:
            session.signal(signal.SIGINT)
        end = time.monotonic() + _PATIENCE
        while any(session.code() is None for session in self._running) and time.monotonic() < end:
            time.sleep(_PAUSE)
        for session in self._running:
            session.signal(signal.SIGKILL)
            self._add_result(session, "interrupted")

    def _begin(self, name: str) -> None:
        session = Session(name, self._noxfile)
        _say(f"{session.name} began; its output so far: {session.log}")
        self._running.append(session)

    def _collect(self) -> None:
        """Prints the output of each session that ended."""
        for session in [session for session in self._running if session.code() is not None]:
            self._running.remove(session)
            self._add_result(session, "failed" if session.code() else "success")
            sys.stdout.write(session.log.read_text(errors="replace"))
            sys.stdout.flush()

    def _add_result(self, session: Session, result: str) -> None:
        self.results[session.name] = (result, session.seconds())

    def _report(self) -> None:
        """Says once a minute what runs."""
        if self._running and time.monotonic() - self._reported >= _TICK:
            self._reported = time.monotonic()
            running = " and ".join(f"{session.name} ({session.seconds()} s)" for session in self._running)
            _say(f"  {self._reported - self._began:.0f} s so far: running {running}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.side_by_side", description=__doc__.splitlines()[0])
    parser.add_argument("sessions", nargs="+", metavar="SESSION")
    parser.add_argument("--first", metavar="SESSION", help="runs before all others, which need it to pass")
    parser.add_argument("--last", metavar="SESSION", help="runs after all others, beside none")
    parser.add_argument(
        "--after",
        action="append",
        type=lambda pair: tuple(pair.split("=")),
        default=[],
        metavar="SESSION=EARLIER",
        help="SESSION begins when EARLIER has ended",
    )
    parser.add_argument("--at-once", type=int, default=2, metavar="N", help="how many run at once (2)")
    parser.add_argument("--noxfile", type=Path, default=ROOT / "noxfile.py", metavar="FILE")
    options = parser.parse_args(arguments)
    LOGS.mkdir(parents=True, exist_ok=True)
    run = Run(options.noxfile, options.at_once, dict(options.after))
    passed = False
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options.first is None or run.run([options.first]):
            passed = run.run(options.sessions)
            if options.last is not None:
                passed = run.run([options.last]) and passed
    except KeyboardInterrupt:
        run.interrupt()
        _print_summary(run)
        return 130
    _print_summary(run)
    return 0 if passed else 1


def _print_summary(run: Run) -> None:
    """Says of each session what became of it, as nox does, and where the output of those is that did not pass."""
    _say("Ran multiple sessions:")
    for name, (result, seconds) in run.results.items():
        _say(f"* {name}: {result}, took {seconds} seconds")
    for name, (result, _) in run.results.items():
        if result != "success":
            _say(f"{name} {result}: all of its output is in {LOGS / f'session-{name}.log'}")


def _say(line: str) -> None:
    print(f"dev: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
