"""Checks the fake AWS of the benchmarks, with a client of a few lines."""

from __future__ import annotations

import http.client
import json
import threading
from pathlib import Path

from tests.fakes.timed import TimedCloud


def test_an_invocation_lasts_until_the_next_event_is_requested(tmp_path: Path) -> None:
    cloud = TimedCloud(tmp_path)
    seen: list[str] = []

    def extension() -> None:
        api = http.client.HTTPConnection("127.0.0.1", cloud.api_port)
        api.request("POST", "/register", json.dumps({"events": ["INVOKE", "SHUTDOWN"]}))
        api.getresponse().read()
        while "SHUTDOWN" not in seen:
            api.request("GET", "/next")
            seen.append(json.loads(api.getresponse().read())["eventType"])
        api.close()

    thread = threading.Thread(target=extension)
    thread.start()
    assert cloud.waits(10)
    assert cloud.subscribed == ["INVOKE", "SHUTDOWN"]
    first = cloud.events["next"]
    assert cloud.invoke(10) > 0
    assert cloud.invoke(10) > 0
    cloud.shut_down()
    thread.join(10)
    assert seen == ["INVOKE", "INVOKE", "SHUTDOWN"]
    assert cloud.events["next"] == first
