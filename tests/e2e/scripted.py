"""Writes small extensions for the tests of the simulator: Python programs with functions for the Extensions API.

A script says in a few words what an extension does:

    identifier = register("INVOKE", "SHUTDOWN")
    while next_event(identifier)["eventType"] != "SHUTDOWN":
        pass
"""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

PRELUDE = """\
import http.client, json, os, signal, sys, time
from pathlib import Path

NAME = os.path.basename(sys.argv[0])
TMP = Path(os.environ.get("TMPDIR", "/tmp"))  # set where /tmp itself is not the sandbox's own
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])


def call(method, path, body=None, **headers):
    "Calls the API; gives status, headers and the body, as JSON where it is JSON."
    api.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
    answer = api.getresponse()
    content = answer.read()
    if answer.headers.get("Content-Type") == "application/json":
        content = json.loads(content)
    return answer.status, answer.headers, content


def try_register(*events, name=NAME, **headers):
    body = json.dumps({"events": events})
    return call("POST", "/2020-01-01/extension/register", body, Lambda_Extension_Name=name, **headers)


def register(*events):
    status, headers, _ = try_register(*events)
    assert status == 200
    return headers["Lambda-Extension-Identifier"]


def try_next(identifier):
    return call("GET", "/2020-01-01/extension/event/next", Lambda_Extension_Identifier=identifier)


def next_event(identifier):
    status, _, event = try_next(identifier)
    assert status == 200, event
    return event


def report(what, identifier, error_type):
    return call(
        "POST", f"/2020-01-01/extension/{what}/error",
        Lambda_Extension_Identifier=identifier, Lambda_Extension_Function_Error_Type=error_type,
    )


def tell(**facts):
    "Writes facts for the test to read."
    print(json.dumps(facts), flush=True)


def wait_for(name):
    "Waits until the test has made this file in the sandbox's /tmp."
    while not (TMP / name).exists():
        time.sleep(0.001)


def serve(identifier):
    "Waits for events and tells them, until SHUTDOWN."
    while True:
        event = next_event(identifier)
        tell(**event)
        if event["eventType"] == "SHUTDOWN":
            return


"""


def write_extension(path: Path, script: str) -> Path:
    """Writes an extension that does what the script says. `path.name` is its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # -I: a function's PYTHONPATH reaches its extensions too. argv[0] is the path that Lambda has executed.
    path.write_text(
        f"#!{Path(sys.base_prefix) / 'bin' / 'python3'} -I\n{PRELUDE}{dedent(script)}", encoding="utf-8"
    )
    path.chmod(0o755)
    return path
