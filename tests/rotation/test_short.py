"""A short run of `./dev rotation` that needs no database: the server is a fake, and all else is as there."""

from __future__ import annotations

import pytest

from tests.e2e import stage
from tests.fakes import passwords

from . import database
from .fleet import Plan

PLANS = (
    Plan("attempt", "python"),
    Plan("attempt", "node", ttl="10s"),
    Plan("attempt", "ruby"),
    Plan("refresh", "python"),
    Plan("get", "node", ttl="10s"),
)
SCHEDULE: database.Schedule = (
    ("single-user", 0.0),
    ("single-user", 1.5),
    ("secret-first", 0.5),
    ("rolled-back", 0.5),
    ("database-first", 3.0),
    ("alternating", 0.5),
)


@pytest.mark.alone
def test_no_call_of_attempt_fails_while_a_password_is_rotated() -> None:
    stage.without_aws_settings()
    report = database.run(passwords.serve, PLANS, SCHEDULE, 1, lambda _: None)
    print("\n".join(report.lines()))
    assert "\n".join(report.problems) == ""
