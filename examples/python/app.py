"""Asks a partner for the price of an item over mutual TLS."""

import http.client
import json

import keystart

# At import: what the extension fetched while this runtime started. A secret that is required and could not be had
# has ended the start with its reason, so nothing is checked here.
PARTNER = keystart.get_json("partner/address")


def handler(event, context):
    try:
        currency = keystart.get("currency")
    except keystart.SecretUnavailable:  # optional: there may be none
        currency = "EUR"
    tls = keystart.tls(
        "partner/mtls"
    )  # an ssl.SSLContext: certificate, key and authority that belong together
    connection = http.client.HTTPSConnection(PARTNER["host"], PARTNER["port"], context=tls, timeout=5)
    try:
        connection.request("GET", f"/prices/{int(event['item'])}?currency={currency}")
        answer = connection.getresponse()
        return {"status": answer.status, "price": json.loads(answer.read())}
    finally:
        connection.close()
