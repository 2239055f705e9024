"""Shows the whole way once: from Secrets Manager to three languages. Exit code 1 when anything disagrees.

./dev demo
"""

from __future__ import annotations

import argparse
import hmac
import json
import secrets
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from . import stage
from .lambda_simulator import Environment, picture, runtimes
from .lambda_simulator.timeline import Kind

# Runtimes that need no compiler: AWS's client for Node compiles for minutes, and the tests cover it.
RUNTIMES = {"python": runtimes.python, "node": runtimes.node_loop, "ruby": runtimes.ruby}
BOLD, GREEN, RED, PLAIN = "\x1b[1m", "\x1b[32m", "\x1b[31m", "\x1b[0m"


class Demo:
    """One demo. It prints as it goes, and counts what disagrees."""

    def __init__(self, colour: bool, *, from_keywhiz: bool = False) -> None:
        self.colour = colour
        self.from_keywhiz = from_keywhiz
        self.wrong: list[str] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.inits: dict[str, tuple[float, float]] = {}  # by language: milliseconds with secrets, and without
        self.key = secrets.token_bytes(32)

    def run(self, scratch: Path) -> int:
        if self.from_keywhiz:
            self.title("keystart sync apply: from Keywhiz (a server that answers as one) to Secrets Manager")
            print(stage.SYNC, flush=True)
        with stage.store(scratch / "keywhiz" if self.from_keywhiz else None) as store:
            self.title("Secrets, in Secrets Manager and Parameter Store (moto, on loopback)")
            print(stage.CONFIGURATION)
            for language in stage.LANGUAGES:
                runtime = RUNTIMES[language]()
                with stage.environment(scratch, language, store.endpoint, runtime=runtime) as environment:
                    self.live(language, environment)
                    with_secrets = init_of(environment)
                with stage.bare_environment(language, RUNTIMES[language]()) as bare:
                    bare.init()
                    self.inits[language] = with_secrets, init_of(bare)
            self.compare({name: bytes(value) for name, value in store.expected.items()})
        inits = (f"{name} {both[0]:.0f} and {both[1]:.0f} ms" for name, both in self.inits.items())
        print(f"\nInit with these secrets, and of a function without any: {', '.join(inits)}")
        for problem in self.wrong:
            print(self.painted(RED, f"✗ {problem}"))
        return 1 if self.wrong else 0

    def live(self, language: str, environment: Environment) -> None:
        """Runs one environment from Init to SHUTDOWN."""
        self.title(f"A cold start: the extension and a function in {language} that reads at import")
        environment.init()
        answer = environment.invoke({"key": self.key.hex()}).value
        assert isinstance(answer, dict)
        self.answers[language] = answer
        root = environment.tmp / "keystart"
        manifest = json.loads((root / "current/manifest.json").read_text())
        timeline = environment.timeline
        published = timeline.at_wall_time(stage.seconds(manifest["published_at"]))
        first_read = timeline.at_wall_time(float(answer["first_read"]))
        print(
            picture.render(timeline, {"published": published, "first read": first_read}, colour=self.colour)
        )
        if language == stage.LANGUAGES[0]:
            self.title("The store, as any program sees it")
            print("\n".join(_tree(root)))
            self.title("Its manifest: nothing in it comes from a secret but its size")
            print(_compact(manifest))
        environment.shutdown()
        left = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
        print(f"after SHUTDOWN the store holds {', '.join(left)}")
        if environment.timeline.last(Kind.EXTENSION_EXITED).detail["code"] != 0:
            self.wrong.append(f"{language}: the extension did not end with 0")
        if [name for name in left if name.startswith("generations/")]:
            self.wrong.append(f"{language}: secrets are left after SHUTDOWN")

    def compare(self, expected: dict[str, bytes]) -> None:
        self.title("What each language saw (values never shown; compared by a digest keyed for this run)")
        digests = {name: hmac.new(self.key, value, "sha256").hexdigest() for name, value in expected.items()}
        rows = [("secret", "bytes", *self.answers)]
        for name, digest in sorted(digests.items()):
            seen = [answer["secrets"].get(name) == digest for answer in self.answers.values()]
            rows.append(
                (name, str(len(expected[name])), *("as stored" if same else "DIFFERS" for same in seen))
            )
        for row in rows:
            print(f"{row[0]:18}{row[1]:>6}  " + "  ".join(f"{cell:12}" for cell in row[2:]).rstrip())
        first = self.answers[stage.LANGUAGES[0]]
        print(f"\nshown as           {first['shown']}\nan optional one    {first['missing']}\n")
        for language, answer in self.answers.items():
            if answer["secrets"] != digests:
                self.wrong.append(f"{language} did not read the bytes that were stored")
            for part in ("shown", "missing"):
                if answer[part] is None or answer[part] != first[part]:
                    self.wrong.append(f"{language} tells {part} otherwise: {answer[part]}")
        if not self.wrong:
            who = ", ".join(self.answers)
            same = f"{who} agree byte for byte on {len(digests)} secrets, and on the words of the error"
            print(self.painted(GREEN, f"✓ {same}"))

    def title(self, text: str) -> None:
        print("\n" + self.painted(BOLD, f"── {text} " + "─" * max(0, 100 - len(text))) + "\n")

    def painted(self, colour: str, text: str) -> str:
        return f"{colour}{text}{PLAIN}" if self.colour else text


def init_of(environment: Environment) -> float:
    """Returns how many milliseconds Init took."""
    began, ended = (environment.timeline.first(kind).at_ns for kind in (Kind.INIT_START, Kind.INIT_END))
    return (ended - began) / 1e6


def _compact(manifest: dict[str, Any]) -> str:
    """Returns the manifest with one line for each secret."""
    lines = []
    for member, value in manifest.items():
        if isinstance(value, dict) and member != "writer":
            inner = ",\n".join(
                f"    {json.dumps(name)}: {json.dumps(entry)}" for name, entry in value.items()
            )
            lines.append(f"  {json.dumps(member)}: {{\n{inner}\n  }}")
        else:
            lines.append(f"  {json.dumps(member)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}"


def _tree(root: Path) -> list[str]:
    lines = [f"{_mode(root)} /tmp/{root.name}"]
    for path in sorted(root.rglob("*")):
        if any(parent.is_symlink() for parent in path.parents if parent.is_relative_to(root)):
            continue
        arrow = f" -> {path.readlink()}" if path.is_symlink() else ""
        depth = len(path.relative_to(root).parts)
        lines.append(f"{_mode(path)} {'    ' * depth}{path.name}{arrow}")
    return lines


def _mode(path: Path) -> str:
    return stat.filemode(path.lstat().st_mode)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--extension",
        type=Path,
        metavar="FILE",
        help="the layer's executable (default: the process in an installed interpreter)",
    )
    parser.add_argument(
        "--from-keywhiz",
        action="store_true",
        help="begin one step earlier: keystart sync brings the secrets from Keywhiz",
    )
    arguments = parser.parse_args()
    extension: Path | None = arguments.extension
    stage.without_aws_settings()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="keystart-demo-") as scratch:
        if extension is None:
            print("The extension is the process in an installed interpreter.")
        else:
            print("The extension is the executable of the layer, the interpreter inside.")
            (Path(scratch) / "extensions").mkdir()
            shutil.copy(extension, Path(scratch) / "extensions/keystart")
        code = Demo(sys.stdout.isatty(), from_keywhiz=arguments.from_keywhiz).run(Path(scratch))
    print(f"\n{'failed' if code else 'done'} in {time.monotonic() - began:.1f} s")
    return code


if __name__ == "__main__":
    sys.exit(main())
