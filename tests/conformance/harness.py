"""The command that runs cases against readers and reports differences. pytest does not need it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from . import lint
from .case import CASES, LANGUAGES, Case, load
from .runner import Runner, RunnerError


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    options = _parser().parse_args(arguments)
    options.cases = options.relative_to / options.cases
    try:
        lint.check_schema(options.cases)
        cases = load(options.cases)
    except (OSError, lint.CasesError) as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    try:
        results = [_run(language, cases) for language in options.language or LANGUAGES]
    except lint.CasesError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(results, indent=2))
    else:
        for result in results:
            _print(result)
    if any(result["cannot_run"] for result in results):
        return 3
    return 1 if any(result["failed"] for result in results) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./dev conformance",
        description="Asks the readers what the cases ask and compares with what the cases expect.",
        epilog="Exit codes: 0 all as expected; 1 a reader does something else; 2 the cases or the arguments "
        "are wrong; 3 a runner cannot be started. Without any argument ./dev conformance runs pytest, which "
        "tests the harness and the linter too.",
    )
    parser.add_argument(
        "--cases", type=Path, default=CASES, metavar="DIR", help="a folder of case files (*.json)"
    )
    parser.add_argument(
        "--relative-to",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="where a relative --cases starts (here)",
    )
    parser.add_argument(
        "--language", action="append", choices=LANGUAGES, help="may be repeated; all when left out"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    return parser


def _run(language: str, cases: list[Case]) -> dict[str, Any]:
    result: dict[str, Any] = {"language": language, "passed": 0, "failed": {}, "skipped": {}}
    result["cannot_run"] = None
    with Runner(language) as runner:
        try:
            runner.start()
        except RunnerError as failure:
            return {**result, "cannot_run": str(failure)}
        for case in cases:
            reason = case.reason_to_skip(language)
            if reason is not None:
                result["skipped"][case.id] = reason
                continue
            try:
                different = runner.run(case)
            except (ValueError, KeyError, OSError) as error:
                raise lint.CasesError(f"{case.id}: its store cannot be built: {error}") from None
            if different is None:
                result["passed"] += 1
            else:
                result["failed"][case.id] = {"clause": case.clause, "difference": different}
    return result


def _print(result: dict[str, Any]) -> None:
    language = result["language"]
    if result["cannot_run"]:
        print(f"{language}: {result['cannot_run']}")
        return
    for name, reason in result["skipped"].items():
        print(f"{language}: skipped {name}: {reason}")
    for name, failure in result["failed"].items():
        print(f"{language}: FAILED {name} (contract {failure['clause']})\n{failure['difference']}")
    print(
        f"{language}: {result['passed']} as expected, {len(result['failed'])} different, "
        f"{len(result['skipped'])} skipped"
    )


if __name__ == "__main__":
    sys.exit(main())
