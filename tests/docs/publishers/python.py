"""Does with keystart.testing what each line of its input says. Its first answer is the root of the store."""

import base64
import json
import sys
from typing import Any

import keystart.testing


def read(value: Any) -> Any:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) and "base64" in value else value


with keystart.testing.store() as store:
    print(json.dumps(store.root), flush=True)
    for line in sys.stdin:
        step, *arguments = json.loads(line)
        if step == "publish":
            secrets, unavailable = arguments
            given = store.publish({name: read(value) for name, value in secrets.items()}, unavailable)
        else:
            given = getattr(store, step)(*arguments)
        print(json.dumps(given), flush=True)
