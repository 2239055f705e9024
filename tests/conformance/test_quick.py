"""Shows that Node's reader takes its quick way through what the writer writes. Only then does it load one file."""

from __future__ import annotations

import json
import subprocess

import keystart.testing

from tests import ROOT

PROGRAM = """
const { Keystart } = require(process.argv[1]);
const client = new Keystart({ root: process.argv[2] });
const read = [client.get('stripe/key'), client.getBytes('stripe/key').toString(), client.getJson('db')];
const files = Object.keys(require.cache).map((file) => require('node:path').basename(file));
console.log(JSON.stringify({ files, read }));
"""


def test_node_loads_one_file_to_read_text_that_the_writer_has_published() -> None:
    secrets = {"stripe/key": "é" * 43, "db": {"port": 5432, "hosts": ["a", "b"]}}
    with keystart.testing.store(secrets) as store:
        command = ["node", "-e", PROGRAM, str(ROOT / "bindings/node"), store.root]
        printed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert printed == {"files": ["index.js"], "read": ["é" * 43, "é" * 43, secrets["db"]]}
