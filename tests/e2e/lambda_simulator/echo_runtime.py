"""A runtime that answers every event with the event. `runtimes.echo` runs it as a program."""

import http.client
import os

api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    event = api.getresponse()
    payload = event.read()
    api.request(
        "POST",
        f"/2018-06-01/runtime/invocation/{event.headers['Lambda-Runtime-Aws-Request-Id']}/response",
        payload,
    )
    api.getresponse().read()
