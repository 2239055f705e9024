"""Shows the layer's zip with a function in each language in AWS's emulator: `./dev demo --emulator`."""

from __future__ import annotations

import hmac
import secrets
import sys
import tempfile
from pathlib import Path

from extension.standalone.toolchain import TARGETS
from tests.e2e import stage
from tests.layer.unpack import latest, unpack

from . import emulator
from .stage import LANGUAGES, environment


def main() -> int:
    """Runs each language from Init to SHUTDOWN, prints what AWS's emulator logs, and returns the exit code."""
    target = next(target for target in TARGETS.values() if target.is_native)
    zip_ = latest(target)
    if zip_ is None:
        print("there is no layer in dist: ./dev keystart layer build", file=sys.stderr)
        return 1
    try:
        emulator.build()
    except emulator.EmulatorError as error:
        print(error, file=sys.stderr)
        return 1
    stage.without_aws_settings()
    key = secrets.token_bytes(32)
    wrong = []
    with tempfile.TemporaryDirectory(prefix="keystart-emulator-") as folder, stage.store() as store:
        scratch = Path(folder)
        opt = unpack(zip_, scratch / "opt")
        digests = {name: hmac.new(key, value, "sha256").hexdigest() for name, value in store.expected.items()}
        for language in LANGUAGES:
            print(f"\n── {zip_.name} with a function in {language}\n")
            with environment(scratch, opt, language, store.endpoint) as running:
                answer = running.invoke({"key": key.hex()})
                code = running.shut_down()
                print(running.log())
            if not isinstance(answer, dict) or answer.get("secrets") != digests or code != 0:
                wrong.append(language)
    if wrong:
        print(f"\n✗ {', '.join(wrong)}: the function did not read what was stored")
        return 1
    print(f"\n✓ in AWS's emulator, {', '.join(LANGUAGES)} read {len(digests)} secrets byte for byte")
    return 0


if __name__ == "__main__":
    sys.exit(main())
