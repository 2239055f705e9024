"""Decides whether the environments of these tests are isolated."""

import os

from .lambda_simulator import Environment

# 0 removes the private folders from every test that does not choose, as on machines without them.
ISOLATE = {"0": False, "1": True}[os.environ.get("LAMBDA_SIMULATOR_ISOLATE", "1")]
defaults = Environment.__init__.__kwdefaults__
assert defaults is not None
defaults["isolate"] = ISOLATE
