"""Reads every secret at import, and answers with a keyed digest of each and the reader's file."""

import hashlib
import hmac

import keystart

SECRETS = {name: keystart.get_bytes(name) for name in keystart.names()}


def handler(event: dict[str, str], _context: object) -> dict[str, object]:
    key = bytes.fromhex(event["key"])
    digests = {name: hmac.new(key, value, hashlib.sha256).hexdigest() for name, value in SECRETS.items()}
    return {"secrets": digests, "reader": keystart.__file__}
