"""Lets the network do its worst: a secret is published whole, or its reason is reported in time.

`./dev generate faults` writes the results as the tables of docs/internals/faults.md.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Iterator, Mapping

import pytest

from tests import ROOT
from tests.fakes.aws import Cloud
from tests.fakes.front import Exchange, Fault, refusal, reset, response

from .conftest import Canaries, Prefetch, ServeTls, Store

pytestmark = [pytest.mark.alone, pytest.mark.long]

PAGE = ROOT / "docs/internals/faults.md"
ROW = "|---|---|\n"  # between the head of a table and its rows
LATE = "\n## Past the deadline\n"
DEADLINE = 1.5  # seconds, for faults without a good end
PATIENCE = 20.0  # seconds, for the others: a busy machine needs its time


def after(refusals: int, answer: bytes) -> Fault:
    """Answers with the fault a number of times, and then well."""

    def behave(exchange: Exchange) -> None:
        exchange.send(answer if exchange.number <= refusals else exchange.answer())

    return Fault(behave)


def late(exchange: Exchange) -> None:
    exchange.ended.wait(0.3)
    exchange.send(exchange.answer())


def black_hole(exchange: Exchange) -> None:
    exchange.ended.wait()


def drip(exchange: Exchange) -> None:
    for byte in exchange.answer():
        exchange.send(bytes([byte]))
        if exchange.ended.wait(1):
            return


def reset_within_header(exchange: Exchange) -> None:
    exchange.send(exchange.answer()[:20])
    exchange.reset()


def reset_within_body(exchange: Exchange) -> None:
    head, _, body = exchange.answer().partition(b"\r\n\r\n")
    exchange.send(head + b"\r\n\r\n" + body[:20])
    exchange.reset()


def reset_within_body_once(exchange: Exchange) -> None:
    if exchange.number == 1:
        reset_within_body(exchange)
    else:
        exchange.send(exchange.answer())


def reset_instead(exchange: Exchange) -> None:
    exchange.reset()


def too_short(exchange: Exchange) -> None:
    _, _, body = exchange.answer().partition(b"\r\n\r\n")
    exchange.send(response(200, body, length=len(body) + 10))
    exchange.connection.close()


def too_long(exchange: Exchange) -> None:
    _, _, body = exchange.answer().partition(b"\r\n\r\n")
    exchange.send(response(200, body, length=len(body) - 10))
    exchange.connection.close()


def huge(exchange: Exchange) -> None:
    answer = json.loads(exchange.answer().partition(b"\r\n\r\n")[2])
    exchange.send(response(200, json.dumps({**answer, "SecretString": "x" * 10_000_000}).encode()))


THROTTLED = refusal(400, "ThrottlingException", "Rate exceeded")
SKEWED = refusal(400, "InvalidSignatureException", "Signature expired: it is 10 minutes old")
HTML = response(200, b"<html>Log in to the network</html>", "text/html")
FAULTS = {
    "nothing": Fault(),
    "0.3 s of latency": Fault(late),
    "no answer": Fault(black_hole),
    "one byte a second": Fault(drip),
    "reset before TLS": Fault(accept=reset),
    "reset instead of an answer": Fault(reset_instead),
    "reset within the header": Fault(reset_within_header),
    "reset within the body once": Fault(reset_within_body_once),
    "reset within the body": Fault(reset_within_body),
    "500 twice": after(2, response(500, b"")),
    "500 without end": after(10_000, response(500, b"")),
    "503 twice": after(2, response(503, b"<html>busy</html>", "text/html")),
    "503 without end": after(10_000, response(503, b"<html>busy</html>", "text/html")),
    "throttled twice": after(2, THROTTLED),
    "throttled without end": after(10_000, THROTTLED),
    "an answer shorter than its length": Fault(too_short),
    "an answer longer than its length": Fault(too_long),
    "HTML instead of JSON": after(10_000, HTML),
    "an answer of 10 MB": Fault(huge),
    "a certificate of another name": Fault(certificate="name"),
    "an expired certificate": Fault(certificate="expired"),
    "a certificate of an unknown authority": Fault(certificate="authority"),
    "a clock that is 10 minutes off": after(10_000, SKEWED),
}
ENDS_WELL = {
    "nothing",
    "0.3 s of latency",
    "500 twice",
    "503 twice",
    "throttled twice",
    "reset within the body once",
}
seen: dict[str, str] = {}
past: dict[str, float] = {}  # seconds after the deadline; negative before it


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_ends_in_a_whole_secret_or_in_its_reason(
    what: str, prefetch: Prefetch, cloud: Cloud, serve_tls: ServeTls, store: Store, canary: Canaries
) -> None:
    value = canary()
    ends_well = what in ENDS_WELL
    deadline = PATIENCE if ends_well else DEADLINE
    arn = cloud.secret(value)
    front = serve_tls(FAULTS[what])
    began = time.monotonic()
    failed = prefetch({"db": arn}, deadline=f"{deadline * 1000:.0f}ms")
    took = time.monotonic() - began
    asked, host = front.asked, front.url.removeprefix("https://")
    assert took < deadline + 3, "the deadline holds, on a machine that does other things too"
    past[what] = took - deadline
    assert (failed is None) == ends_well
    if failed is None:
        assert store.values == {"db": value.encode()}
        seen[what] = "published" + (" after asking again" if asked > 1 else "")
        return
    assert not store.is_published()
    assert store.leftovers() == []
    reason = store.failures["db"] if store.failures else (failed.error_type, failed.message)
    seen[what] = f"`{reason[0]}`: {reason[1]}".replace(arn, "ID").replace(host, "HOST")


def test_the_page_lists_every_fault() -> None:
    table, mark, _ = PAGE.read_text().partition(LATE)
    assert mark
    assert re.findall(r"^\| (.+?) \|", table, re.MULTILINE) == ["fault", *FAULTS]


def test_the_page_says_how_late_what_was_late_is_and_which_was_the_latest() -> None:
    within = dict.fromkeys(FAULTS, -1.0)
    assert lateness(within) == "Every fault was reported within the deadline.\n"
    late = {**within, "no answer": 0.0004, "500 without end": 0.2004}
    assert lateness(late) == (
        "The latest: 201 ms, 500 without end.\n\n"
        "| fault | after the deadline |\n|---|---|\n"
        "| no answer | 1 ms |\n"
        "| 500 without end | 201 ms |\n"
    )


@pytest.fixture(scope="module", autouse=True)
def page() -> Iterator[None]:
    yield
    if os.environ.get("KEYSTART_GENERATE"):
        rows = [f"| {what} | {seen[what]} |" for what in FAULTS]
        head, mark, rest = PAGE.read_text().partition(ROW)
        _, title, below = rest.partition(LATE)
        lead = below.strip().partition("\n\n")[0]
        PAGE.write_text(f"{head}{mark}" + "\n".join(rows) + f"\n{title}\n{lead}\n\n{lateness(past)}")


def lateness(past: Mapping[str, float]) -> str:
    """Returns the outcomes after the deadline, in whole milliseconds rounded up, and the latest of them."""
    late = {fault: math.ceil(seconds * 1000) for fault, seconds in past.items() if seconds > 0}
    if not late:
        return "Every fault was reported within the deadline.\n"
    what = max(late, key=late.__getitem__)
    rows = "\n".join(f"| {fault} | {late[fault]} ms |" for fault in FAULTS if fault in late)
    return f"The latest: {late[what]} ms, {what}.\n\n| fault | after the deadline |\n{ROW}{rows}\n"
