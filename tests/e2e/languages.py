"""The languages of functions with their runtimes, for tests that run a function in each."""

from __future__ import annotations

import pytest

from .lambda_simulator import runtimes

# AWS's client for Node compiles for minutes. Our loop for Node needs no compiler.
RUNTIMES = [
    pytest.param("python", runtimes.python, id="python"),
    pytest.param("node", runtimes.node, id="node", marks=pytest.mark.long),
    pytest.param("node", runtimes.node_loop, id="node-loop"),
    pytest.param("ruby", runtimes.ruby, id="ruby"),
]
EACH_RUNTIME = pytest.mark.parametrize(("language", "runtime"), RUNTIMES)
