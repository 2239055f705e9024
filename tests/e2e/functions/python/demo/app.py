"""Reads every secret while it is imported and answers with a keyed digest of each: equal digests, equal bytes."""

import hashlib
import hmac
import time

import keystart

SECRETS = {"api/stripe": keystart.get_bytes("api/stripe")}
FIRST_READ = time.time()
SECRETS |= {name: keystart.get_bytes(name) for name in keystart.names()}

try:
    keystart.get("feature-flags")
    MISSING = None
except keystart.KeystartError as error:
    MISSING = {"code": error.code, "message": str(error)}


def handler(event: dict[str, str], _context: object) -> dict[str, object]:
    key = bytes.fromhex(event["key"])
    return {
        "secrets": {
            name: hmac.new(key, value, hashlib.sha256).hexdigest() for name, value in SECRETS.items()
        },
        "sizes": {name: len(value) for name, value in SECRETS.items()},
        "shown": str(keystart.secret("api/stripe")),
        "missing": MISSING,
        "first_read": FIRST_READ,
    }
