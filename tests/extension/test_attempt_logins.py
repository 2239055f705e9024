"""The decisions of `attempt`, rule by rule. The numbers in brackets are its steps, as in the package `logins`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keystart_extension.logins import CROWDED, CROWDED_SPREAD, Logins
from keystart_extension.logins.actions import (
    Action,
    Fetch,
    LogExhausted,
    MakeCandidate,
    Publish,
    PublishCandidate,
    Retry,
    Use,
)
from keystart_extension.logins.credential import BACK_OFF, FREE, GRACE, HOLD, LEAD, LOST, SHORT, YOUNG
from keystart_extension.logins.sources import CURRENT, PENDING, PREVIOUS

if TYPE_CHECKING:
    from keystart_extension.logins.sources import Stage

DB = (0,)


def look(
    logins: Logins, now: float, stage: Stage, version: str | None, age: float | None = None
) -> list[Action]:
    return logins.fetched(now, stage, 0, version, age)


def not_rotated(logins: Logins, now: float, current: str = "old") -> list[Action]:
    """Returns what happens at that time, when the store shows no rotation."""
    assert logins.passed(now) == [Fetch(PENDING, DB)]
    assert look(logins, now, PENDING, None) == [Fetch(CURRENT, DB)]
    return look(logins, now, CURRENT, current)


def refused_first() -> Logins:
    """Returns decisions after the published version `old` was refused, at time 0; call 2 waits for AWSPENDING."""
    logins = Logins(5, {0: "old"})
    assert logins.asked(0, 1, DB) == [Use(1, None)]
    assert logins.rejected(0, DB, 5) == []
    assert logins.asked(0, 2, DB) == [Fetch(PENDING, DB)]
    return logins


def with_candidate() -> Logins:
    """Returns decisions after call 2 was sent to log in with candidate 6, which has AWSPENDING."""
    logins = refused_first()
    assert look(logins, 0, PENDING, "new") == [Fetch(CURRENT, DB)]
    assert look(logins, 0, CURRENT, "old", age=DAYS) == [MakeCandidate(DB, PENDING, DB)]
    assert logins.made(0, DB, 6) == [Use(2, 6)]
    return logins


def exhausted() -> Logins:
    """Returns decisions after the only version was refused at time 0."""
    logins = refused_first()
    look(logins, 0, PENDING, None)
    assert look(logins, 0, CURRENT, "old", age=DAYS) == [LogExhausted(DB, (None,), 1), Retry(2, 1)]
    return logins


DAYS = 3 * YOUNG


# (1) Leave


def test_one_call_logs_in_first_and_the_others_follow_once_it_is_accepted() -> None:
    logins = Logins(5, {0: "old"})
    assert logins.asked(0, 1, DB) == [Use(1, None)]
    assert logins.asked(0, 2, DB) == []
    assert logins.asked(0, 3, DB) == []
    assert logins.accepted(0.1, DB, 5) == [Use(2, None), Use(3, None)]


def test_an_accepted_version_is_free_for_a_moment_only() -> None:
    logins = Logins(5, {0: "old"})
    logins.asked(0, 1, DB)
    logins.accepted(0, DB, 5)
    assert logins.asked(FREE, 2, DB) == [Use(2, None)]
    assert logins.asked(FREE, 3, DB) == [Use(3, None)]
    assert logins.asked(FREE + 0.01, 4, DB) == [Use(4, None)]
    assert logins.asked(FREE + 0.01, 5, DB) == []


def test_no_call_waits_so_long_that_its_reader_logs_in_by_itself() -> None:
    logins = Logins(5, {0: "old"})
    logins.asked(0, 1, DB)
    logins.asked(0.1, 2, DB)
    assert logins.wake_at == 0.1 + HOLD
    assert logins.passed(0.1 + HOLD) == [Retry(2, 0)]
    assert logins.wake_at is None


def test_a_call_that_reports_nothing_holds_up_the_others_for_a_second() -> None:
    logins = Logins(5, {0: "old"})
    logins.asked(0, 1, DB)
    logins.asked(LEAD - 0.1, 2, DB)
    assert logins.wake_at == LEAD
    assert not_rotated(logins, LEAD) == [Use(2, None)]


def test_a_call_that_ended_without_a_report_lets_the_next_one_go_soon() -> None:
    logins = Logins(5, {0: "old"})
    logins.asked(0, 1, DB)
    logins.asked(0, 2, DB)
    logins.asked(0, 3, DB)
    assert logins.left(0, 2) == [], "it only waited"
    assert logins.left(0, 1) == []
    assert logins.wake_at == GRACE
    assert logins.passed(GRACE) == [Use(3, None)]


def test_a_report_right_after_the_end_of_its_call_counts_before_the_next_login() -> None:
    logins = Logins(5, {0: "old"})
    logins.asked(0, 1, DB)
    logins.asked(0, 2, DB)
    logins.left(0, 1)
    actions = logins.rejected(0, DB, 5, locked=True)
    assert actions == [LogExhausted(DB, (None,), 1, is_locked=True), Retry(2, 1)]


def test_a_slow_login_holds_up_nobody_for_long_if_no_rotation_is_under_way() -> None:
    logins = Logins(5, {0: "old"})
    assert logins.asked(0, 1, DB) == [Use(1, None)]
    for call in (2, 3, 4):
        assert logins.asked(LEAD - 0.1, call, DB) == []
    assert logins.wake_at == LEAD
    assert not_rotated(logins, LEAD) == [Use(2, None), Use(3, None), Use(4, None)]
    assert logins.asked(LEAD + 5, 5, DB) == [Use(5, None)], "no stage is fetched again for it"
    assert logins.rejected(LEAD + 5, DB, 5) == []
    assert logins.asked(LEAD + 5, 6, DB) == [Fetch(PENDING, DB)], "it was refused"


@pytest.mark.parametrize(
    ("pending", "current", "stage"),
    [("new", "old", PENDING), (None, "new", CURRENT)],
    ids=["during", "after"],
)
def test_while_the_server_is_silent_calls_log_in_with_the_versions_of_a_rotation_in_turn(
    pending: str | None, current: str, stage: Stage
) -> None:
    logins = Logins(5, {0: "old"})
    logins.asked(0, 1, DB)
    for call in (2, 3):
        logins.asked(0.9, call, DB)
    assert logins.passed(LEAD) == [Fetch(PENDING, DB)]
    assert look(logins, LEAD, PENDING, pending, age=1) == [Fetch(CURRENT, DB)]
    assert look(logins, LEAD, CURRENT, current, age=2) == [MakeCandidate(DB, stage, DB)]
    assert logins.made(LEAD, DB, 6) == [Use(2, 6)]
    assert logins.passed(1.5) == [Retry(3, 0.0)]
    for call, candidate in ((3, None), (4, 6), (5, None)):
        assert logins.asked(call - 1.1, call, DB) == []
        assert logins.passed((call - 1) * LEAD) == [Use(call, candidate)]
    assert logins.accepted(4.5 * LEAD, DB, 6) == [PublishCandidate(6, DB)]


@pytest.mark.parametrize("is_later", [False, True], ids=["changed since", "changed before"])
def test_while_the_server_is_silent_the_former_version_is_tried_too_until_the_new_one_had_an_outcome(
    *, is_later: bool
) -> None:
    if is_later:
        logins = Logins(6, {0: "new"}, is_later=True)
    else:
        logins = Logins(5, {0: "old"})
        assert logins.published(0, 6, {0: "new"}) == []
    logins.asked(0, 1, DB)
    logins.asked(0.9, 2, DB)
    assert logins.passed(LEAD) == [Fetch(PENDING, DB)]
    assert look(logins, LEAD, PENDING, None) == [Fetch(CURRENT, DB)]
    assert look(logins, LEAD, CURRENT, "new", age=5) == [Fetch(PREVIOUS, DB)]
    assert look(logins, LEAD, PREVIOUS, "old", age=DAYS) == [MakeCandidate(DB, PREVIOUS, DB)]
    assert logins.made(LEAD, DB, 7) == [Use(2, 7)]
    assert logins.accepted(1.5, DB, 6) == []
    logins.asked(3, 3, DB)
    logins.asked(3.9, 4, DB)
    assert not_rotated(logins, 4, current="new") == [Use(4, None)], "the server has accepted the new one"


def test_a_pending_version_that_is_left_over_makes_no_slow_server_slower() -> None:
    logins = Logins(5, {0: "old"})
    logins.asked(0, 1, DB)
    for call in (2, 3):
        logins.asked(0.9, call, DB)
    logins.passed(LEAD)
    look(logins, LEAD, PENDING, "left over", age=2 * DAYS)
    assert look(logins, LEAD, CURRENT, "old", age=DAYS) == [Use(2, None), Use(3, None)]


def test_while_the_server_is_silent_a_rotation_after_a_rotation_is_tried_too() -> None:
    logins = Logins(5, {0: "old"})
    logins.asked(0, 1, DB)
    used, made = [], {"new": 6, "newest": 7}
    for call in range(2, 8):
        now = (call - 1) * LEAD
        logins.asked(now - 0.1, call, DB)
        actions = logins.passed(now)
        if actions == [Fetch(PENDING, DB)]:
            look(logins, now, PENDING, "newest", age=1)
            actions = look(logins, now, CURRENT, "new", age=2)
        if actions in ([MakeCandidate(DB, CURRENT, DB)], [MakeCandidate(DB, PENDING, DB)]):
            version = "new" if actions == [MakeCandidate(DB, CURRENT, DB)] else "newest"
            actions = logins.made(now, DB, made[version])
        used += actions
    assert used == [Use(2, 6), Use(3, 7), Use(4, None), Use(5, 6), Use(6, 7), Use(7, None)]


def test_a_slow_login_lets_one_call_a_second_go_while_the_store_does_not_answer() -> None:
    logins = Logins(5, {0: "old"})
    logins.asked(0, 1, DB)
    logins.asked(0.9, 2, DB)
    logins.asked(0.9, 3, DB)
    assert logins.passed(LEAD) == [Fetch(PENDING, DB)]
    assert logins.not_fetched(LEAD, PENDING, 0) == [Fetch(CURRENT, DB)]
    assert logins.not_fetched(LEAD, CURRENT, 0) == [Use(2, None)]
    assert logins.passed(1.5) == [Retry(3, 0.0)]
    logins.asked(1.9, 4, DB)
    assert logins.passed(2 * LEAD) == [Use(4, None)]


def test_a_login_whose_outcome_was_lost_frees_nobody_much_later() -> None:
    logins = Logins(5, {0: "old"})
    logins.asked(0, 1, DB)
    assert logins.asked(LOST, 2, DB) == [Use(2, None)]
    assert logins.asked(LOST, 3, DB) == []


def test_only_the_call_that_others_wait_for_leads() -> None:
    logins = Logins(5, {0: "old"})
    logins.asked(0, 1, DB)
    assert logins.leads(1)
    logins.accepted(0, DB, 5)
    assert not logins.leads(1)
    assert logins.asked(0.1, 2, DB) == [Use(2, None)]
    assert not logins.leads(2), "the version is free"


def test_calls_that_would_take_more_than_half_of_the_places_are_asked_to_come_back() -> None:
    logins = Logins(5, {0: "old", 1: "old"}, places=8)
    assert logins.asked(0, 1, DB) == [Use(1, None)]
    assert [logins.asked(0, call, DB) for call in range(2, 6)] == [[]] * 4
    pauses = []
    for call in range(6, 26):
        (action,) = logins.asked(0.1, call, DB)
        assert isinstance(action, Retry)
        assert action.call == call
        pauses.append(action.after)
    assert min(pauses) >= CROWDED
    assert max(pauses) <= CROWDED + CROWDED_SPREAD
    assert len(set(pauses)) == 20, "they do not all come back at once"
    assert logins.asked(0.1, 30, (1,)) == [Use(30, None)], "whoever need not wait takes no place"
    assert logins.accepted(0.2, DB, 5) == [Use(call, None) for call in range(2, 6)]
    assert logins.asked(1, 31, DB) == [Use(31, None)]
    assert logins.asked(1, 32, DB) == []


# (3) What comes next


def test_pending_is_asked_before_current_so_that_a_rotation_between_them_hides_nothing() -> None:
    logins = refused_first()
    assert look(logins, 0, PENDING, None) == [Fetch(CURRENT, DB)]
    assert look(logins, 0, CURRENT, "new", age=0) == [Publish(DB)]
    assert logins.published(0, 6, {0: "new"}) == [Use(2, None)]


def test_current_that_moved_goes_before_pending() -> None:
    logins = refused_first()
    look(logins, 0, PENDING, "newer")
    assert look(logins, 0, CURRENT, "new", age=0) == [Publish(DB)]
    assert logins.published(0, 6, {0: "new"}) == [Use(2, None)]


def test_pending_becomes_a_candidate_and_everybody_gets_the_same_one() -> None:
    logins = with_candidate()
    assert logins.asked(0.1, 3, DB) == []
    assert logins.left(0.1, 2) == []
    assert logins.passed(0.1 + GRACE) == [Use(3, 6)]


def test_pending_that_stayed_on_the_current_version_is_not_a_candidate() -> None:
    logins = refused_first()
    look(logins, 0, PENDING, "old")
    assert look(logins, 0, CURRENT, "old", age=DAYS) == [LogExhausted(DB, (None,), 1), Retry(2, 1)]


def test_a_late_rejection_of_a_candidate_does_not_undo_that_it_was_accepted() -> None:
    logins = with_candidate()
    assert logins.accepted(2, DB, 6) == [PublishCandidate(6, DB)]
    logins.published(2, 7, {0: "new"})
    assert logins.rejected(2.5, DB, 6) == []
    assert logins.asked(3, 3, DB) == [Use(3, None)]


def test_previous_is_tried_while_current_is_young() -> None:
    logins = refused_first()
    look(logins, 0, PENDING, None)
    assert look(logins, 0, CURRENT, "old", age=YOUNG - 1) == [Fetch(PREVIOUS, DB)]
    assert look(logins, 0, PREVIOUS, "older") == [MakeCandidate(DB, PREVIOUS, DB)]


def test_pending_that_is_older_than_current_comes_after_previous() -> None:
    logins = refused_first()
    look(logins, 0, PENDING, "left over", age=20)
    assert look(logins, 0, CURRENT, "old", age=10) == [Fetch(PREVIOUS, DB)]
    assert look(logins, 0, PREVIOUS, "older", age=15) == [MakeCandidate(DB, PREVIOUS, DB)]


def test_pending_that_is_older_than_current_is_tried_if_there_is_no_previous() -> None:
    logins = refused_first()
    look(logins, 0, PENDING, "left over", age=2 * DAYS)
    assert look(logins, 0, CURRENT, "old", age=DAYS) == [MakeCandidate(DB, PENDING, DB)]


def test_only_one_other_version_is_tried_until_refusals_are_forgotten() -> None:
    logins = refused_first()
    look(logins, 0, PENDING, "new", age=1)
    assert look(logins, 0, CURRENT, "old", age=10) == [MakeCandidate(DB, PENDING, DB)]
    assert logins.made(0, DB, 6) == [Use(2, 6)]
    logins.rejected(0.125, DB, 6)
    assert logins.asked(0.125, 2, DB) == [LogExhausted(DB, (None, PENDING), 1), Retry(2, 1)]
    assert logins.asked(0.625, 3, DB) == [Retry(3, 0.5)]
    # The third login of call 2. If the server refuses that too, everything is tried.
    assert logins.asked(1.125, 2, DB) == [Fetch(PENDING, DB)]
    look(logins, 1.125, PENDING, "new", age=2.125)
    assert look(logins, 1.125, CURRENT, "old", age=11.125) == [Use(2, None)]
    logins.rejected(1.2, DB, 5)
    assert logins.asked(1.2, 3, DB) == [Use(3, 6)]
    logins.rejected(1.3, DB, 6)
    assert logins.asked(1.3, 4, DB) == [Fetch(PREVIOUS, DB)]
    assert look(logins, 1.3, PREVIOUS, "older") == [MakeCandidate(DB, PREVIOUS, DB)]


def test_of_two_servers_with_one_secret_each_refuses_once_what_the_other_has_accepted() -> None:
    # The primary has the pending version already, and its replica has not.
    logins = with_candidate()
    logins.accepted(0.1, DB, 6)
    logins.published(0.1, 7, {0: "new"})
    logins.rejected(5, DB, 7)
    assert logins.asked(5, 3, DB) == [Fetch(PENDING, DB)]
    look(logins, 5, PENDING, "new")
    assert look(logins, 5, CURRENT, "old", age=DAYS) == [Publish(DB)]
    assert logins.published(5, 8, {0: "old"}) == [Use(3, None)]
    logins.accepted(5.1, DB, 8)
    logins.rejected(10, DB, 8)
    assert logins.asked(10, 4, DB) == [Fetch(PENDING, DB)]
    look(logins, 10, PENDING, "new")
    assert look(logins, 10, CURRENT, "old", age=DAYS) == [MakeCandidate(DB, PENDING, DB)]


def test_a_version_from_a_clock_ahead_of_ours_is_young() -> None:
    logins = refused_first()
    look(logins, 0, PENDING, None)
    assert look(logins, 0, CURRENT, "old", age=-YOUNG) == [Fetch(PREVIOUS, DB)]


def test_what_a_refresh_fetched_just_now_is_not_fetched_again() -> None:
    logins = Logins(5, {0: "old"})
    logins.asked(0, 1, DB)
    look(logins, 0, CURRENT, "old", age=DAYS)
    logins.rejected(0.5, DB, 5)
    assert logins.asked(0.5, 2, DB) == [Fetch(PENDING, DB)]
    assert look(logins, 0.5, PENDING, None) == [LogExhausted(DB, (None,), 1), Retry(2, 1)]


def test_sources_of_a_folder_change_together_or_not_at_all() -> None:
    folder = (0, 1)
    logins = Logins(5, {0: "cert", 1: "key"})
    logins.asked(0, 1, folder)
    logins.rejected(0, folder, 5)
    logins.asked(0, 2, folder)
    for source in folder:
        logins.fetched(0, PENDING, source, None)
    logins.fetched(0, CURRENT, 0, "new cert", age=0)
    assert logins.not_fetched(0, CURRENT, 1) == [Fetch(PREVIOUS, (0,))]
    assert logins.fetched(0, PREVIOUS, 0, "older cert") == [MakeCandidate(folder, PREVIOUS, (0,))]


def test_of_a_pair_that_is_rotated_one_after_the_other_only_the_pending_half_changes() -> None:
    folder = (0, 1)
    logins = Logins(5, {0: "new cert", 1: "key"})
    logins.asked(0, 1, folder)
    logins.rejected(0, folder, 5)
    logins.asked(0, 2, folder)
    logins.fetched(0, PENDING, 0, "new cert")
    logins.fetched(0, PENDING, 1, "new key")
    logins.fetched(0, CURRENT, 0, "new cert", age=0)
    assert logins.fetched(0, CURRENT, 1, "key", age=DAYS) == [MakeCandidate(folder, PENDING, (1,))]


def test_a_candidate_or_publish_that_fails_ends_the_wait_and_is_tried_again_later() -> None:
    logins = refused_first()
    look(logins, 0, PENDING, "new")
    look(logins, 0, CURRENT, "old", age=DAYS)
    assert logins.not_made(0, DB) == [Retry(2, SHORT)]
    assert logins.asked(0.5, 3, DB) == [Retry(3, SHORT)]
    assert logins.asked(1, 4, DB) == [Fetch(PENDING, DB)]
    look(logins, 1, PENDING, "new")
    assert look(logins, 1, CURRENT, "old", age=DAYS) == [MakeCandidate(DB, PENDING, DB)]
    logins = refused_first()
    look(logins, 0, PENDING, "newer")
    look(logins, 0, CURRENT, "new", age=0)
    assert logins.not_published(0, DB) == [MakeCandidate(DB, PENDING, DB)]


def test_candidates_that_the_store_has_lost_are_made_again() -> None:
    logins = with_candidate()
    assert logins.published(0.1, 7, {0: "old"}, is_anew=True) == []
    assert logins.left(0.1, 2) == []
    assert logins.asked(0.2, 3, DB) == [MakeCandidate(DB, PENDING, DB)]
    assert logins.made(0.2, DB, 8) == [Use(3, 8)]
    assert logins.rejected(0.3, DB, 6) == [], "it had the version of candidate 8"
    assert logins.asked(0.4, 4, DB) == [LogExhausted(DB, (None, PENDING), 1), Retry(4, 1)]


def test_a_candidate_that_was_removed_is_made_again_for_the_call_that_needs_it() -> None:
    logins = with_candidate()
    logins.left(0.5, 2)
    assert logins.candidates(0.6) == {6}
    logins.lost(6)
    assert logins.candidates(0.6) == set()
    assert logins.asked(0.6, 3, DB) == [MakeCandidate(DB, PENDING, DB)]
    assert logins.made(0.6, DB, 7) == [Use(3, 7)]
    logins.lost(7)
    assert logins.asked(20, 4, DB) == [Fetch(PENDING, DB)], "what was fetched is forgotten by now"


def test_after_a_version_of_which_no_candidate_can_be_made_the_next_one_is_tried() -> None:
    logins = refused_first()
    look(logins, 0, PENDING, "too large")
    assert look(logins, 0, CURRENT, "old", age=0) == [MakeCandidate(DB, PENDING, DB)]
    assert logins.not_made(0, DB) == [Fetch(PREVIOUS, DB)]
    assert look(logins, 0, PREVIOUS, "older") == [MakeCandidate(DB, PREVIOUS, DB)]
    assert logins.made(0, DB, 6) == [Use(2, 6)]


def test_a_decision_is_open_until_the_last_answer() -> None:
    logins = refused_first()
    assert logins.is_busy
    look(logins, 0, PENDING, None)
    look(logins, 0, CURRENT, "old", age=DAYS)
    assert not logins.is_busy


# (4) Accepted


def test_an_accepted_candidate_is_published_and_stays_until_current_moves() -> None:
    logins = with_candidate()
    assert logins.accepted(0.1, DB, 6) == [PublishCandidate(6, DB)]
    assert logins.asked(0.1, 3, DB) == []
    assert logins.published(0.1, 7, {0: "new"}) == [Use(3, None)]
    look(logins, 60, CURRENT, "old")
    assert logins.keeps(0)
    look(logins, 120, CURRENT, "new")
    assert not logins.keeps(0)


def test_a_late_accepted_after_a_newer_publish_publishes_nothing() -> None:
    logins = with_candidate()
    logins.published(0.1, 7, {0: "newer"})
    assert logins.accepted(0.2, DB, 6) == []
    assert not logins.keeps(0)


def test_a_rotation_that_is_rolled_back_gets_its_old_password_back() -> None:
    logins = with_candidate()
    logins.accepted(0.1, DB, 6)
    logins.published(0.1, 7, {0: "new"})
    logins.rejected(30, DB, 7)
    assert not logins.keeps(0)
    assert logins.asked(30, 3, DB) == [Fetch(PENDING, DB)]
    look(logins, 30, PENDING, None)
    assert look(logins, 30, CURRENT, "old") == [Publish(DB)]
    assert logins.published(30, 8, {0: "old"}) == [Use(3, None)]


def test_an_accepted_that_was_on_its_way_when_its_version_was_refused_opens_no_gate() -> None:
    logins = refused_first()
    assert logins.accepted(0.1, DB, 5) == []
    assert logins.asked(0.1, 3, DB) == []
    assert look(logins, 0.1, PENDING, None) == [Fetch(CURRENT, DB)]


def test_a_generation_that_nobody_made_is_ignored() -> None:
    logins = Logins(5, {0: "old"})
    assert logins.rejected(0, DB, 99) == []
    assert logins.accepted(0, DB, 4) == []
    assert logins.asked(0, 1, DB) == [Use(1, None)]


def accepted() -> Logins:
    """Returns decisions after AWSPENDING was accepted and published as generation 7."""
    logins = with_candidate()
    logins.accepted(0.1, DB, 6)
    logins.published(0.1, 7, {0: "new"})
    return logins


def test_an_accepted_version_is_published_again_after_the_store_was_lost() -> None:
    logins = accepted()
    assert logins.published(60, 8, {0: "old"}, is_anew=True) == [Fetch(PENDING, DB)]
    assert logins.asked(60, 3, DB) == [], "it waits for the accepted version"
    look(logins, 60, CURRENT, "old", age=DAYS)
    assert look(logins, 60, PENDING, "new") == [MakeCandidate(DB, PENDING, DB)]
    assert logins.made(60, DB, 9) == [PublishCandidate(9, DB)]
    assert logins.published(60, 10, {0: "new"}) == [Use(3, None)]
    look(logins, 120, CURRENT, "old")
    assert logins.keeps(0)


def test_an_accepted_version_whose_stage_has_another_one_by_now_is_not_published_again() -> None:
    for pending in (None, "newer", "old"):
        logins = accepted()
        logins.published(60, 8, {0: "old"}, is_anew=True)
        assert look(logins, 60, PENDING, pending) == []
        assert not logins.keeps(0)
        assert not logins.is_busy


def test_an_accepted_version_that_awscurrent_has_by_now_needs_no_second_publish() -> None:
    logins = accepted()
    assert logins.published(60, 8, {0: "new"}, is_anew=True) == []
    look(logins, 60, CURRENT, "new")
    assert not logins.keeps(0)


# (5) Refused versions


def test_a_dead_password_is_tried_again_after_1_5_30_60_and_60_seconds() -> None:
    logins = exhausted()
    now, waits = 0.0, [1.0]
    for call in range(10, 500):
        now += 1
        queue = logins.asked(now, call, DB)
        while queue:
            action = queue.pop(0)
            if isinstance(action, Fetch):
                queue += look(logins, now, action.stage, "old" if action.stage == CURRENT else None, age=DAYS)
            elif isinstance(action, Use):
                queue += logins.rejected(now, DB, 5) + logins.asked(now, -call, DB)
            elif isinstance(action, LogExhausted):
                waits.append(action.after)
            elif isinstance(action, Retry) and now < 10:
                assert action.after <= SHORT
    assert waits[:6] == [*BACK_OFF, 60, 60]


def test_a_version_that_appears_is_tried_at_once_however_long_the_wait_is() -> None:
    logins = exhausted()
    assert logins.asked(1, 3, DB) == [Fetch(PENDING, DB)]
    assert look(logins, 1, PENDING, None) == [Fetch(CURRENT, DB)]
    assert look(logins, 1, CURRENT, "new", age=0) == [Publish(DB)]
    assert logins.published(1, 6, {0: "new"}) == [Use(3, None)]


def test_a_login_that_succeeds_ends_the_back_off() -> None:
    logins = exhausted()
    logins.asked(1, 3, DB)
    look(logins, 1, PENDING, None)
    assert look(logins, 1, CURRENT, "old", age=DAYS) == [Use(3, None)]
    logins.accepted(1.1, DB, 5)
    logins.rejected(60, DB, 5)
    logins.asked(60, 4, DB)
    look(logins, 60, PENDING, None)
    assert look(logins, 60, CURRENT, "old", age=DAYS) == [LogExhausted(DB, (None,), 1), Retry(4, 1)]


# (6) The end


def test_a_locked_account_ends_the_logins_of_all_calls() -> None:
    logins = Logins(5, {0: "old"})
    logins.asked(0, 1, DB)
    logins.asked(0, 2, DB)
    locked = LogExhausted(DB, (None,), 1, is_locked=True)
    assert logins.rejected(0, DB, 5, locked=True) == [locked, Retry(2, 1)]
    assert logins.asked(0.5, 3, DB) == [Retry(3, 0.5)]


def after_a_lock() -> Logins:
    """Returns decisions at time 1, when the pause after a lock is over and call 2 waits for AWSPENDING."""
    logins = Logins(5, {0: "old"})
    logins.asked(0, 1, DB)
    logins.rejected(0, DB, 5, locked=True)
    assert logins.asked(1, 2, DB) == [Fetch(PENDING, DB)]
    return logins


def test_after_a_lock_a_version_of_another_user_is_looked_for_first() -> None:
    logins = after_a_lock()
    look(logins, 1, PENDING, None)
    assert look(logins, 1, CURRENT, "another user", age=0) == [Publish(DB)]
    assert logins.published(1, 6, {0: "another user"}) == [Use(2, None)]


def test_after_a_lock_the_same_version_is_tried_again_if_there_is_no_other() -> None:
    logins = after_a_lock()
    look(logins, 1, PENDING, None)
    assert look(logins, 1, CURRENT, "old", age=DAYS) == [Use(2, None)]
    again = LogExhausted(DB, (None,), 5, is_locked=True)
    assert logins.rejected(1, DB, 5, locked=True) == [again]
    assert logins.asked(2, 3, DB) == [Retry(3, 4)]


def test_after_a_second_lock_with_another_version_all_calls_pause_again() -> None:
    logins = after_a_lock()
    look(logins, 1, PENDING, "new")
    assert look(logins, 1, CURRENT, "old", age=DAYS) == [MakeCandidate(DB, PENDING, DB)]
    assert logins.made(1, DB, 6) == [Use(2, 6)]
    assert logins.rejected(1, DB, 6, locked=True) == [LogExhausted(DB, (None, PENDING), 5, is_locked=True)]
    assert logins.asked(1, 3, DB) == [Retry(3, 5)]


def test_a_locked_account_does_not_hold_back_another_published_version() -> None:
    logins = Logins(5, {0: "old"})
    logins.asked(0, 1, DB)
    logins.rejected(0, DB, 5, locked=True)
    logins.published(0.1, 6, {0: "another user"})
    assert logins.asked(0.2, 3, DB) == [Use(3, None)]


# Two credentials in one folder

FIRST, SECOND = (0,), (1,)


def folder_of_two() -> Logins:
    return Logins(5, {0: "old db", 1: "old cache"}, groups=[(0, 1)])


def test_a_refused_credential_holds_up_no_other_one_of_its_folder() -> None:
    logins = folder_of_two()
    assert logins.asked(0, 1, FIRST) == [Use(1, None)]
    assert logins.asked(0, 2, SECOND) == [Use(2, None)], "whoever logs in first does so for one credential"
    logins.rejected(0, SECOND, 5, locked=True)
    assert logins.accepted(0, FIRST, 5) == []
    assert logins.asked(0.1, 3, FIRST) == [Use(3, None)]
    assert logins.asked(0.1, 4, SECOND) == [Retry(4, 0.9)]


def test_an_accepted_login_does_not_shorten_the_pause_of_another_credential() -> None:
    logins = folder_of_two()
    now, refused = 0.0, 0
    for call in range(1, 40):
        now += 1
        assert logins.asked(now, call, FIRST) == [Use(call, None)]
        logins.accepted(now, FIRST, 5)
        queue = logins.asked(now, -call, SECOND)
        while queue:
            action = queue.pop(0)
            if isinstance(action, Fetch):
                for source in action.sources:
                    version = "old cache" if action.stage == CURRENT else None
                    queue += logins.fetched(now, action.stage, source, version, DAYS)
            elif isinstance(action, Use):
                refused += 1
                queue += logins.rejected(now, SECOND, 5)
    assert refused <= 4, "after 0, 1, 6 and 36 s"


def test_a_candidate_changes_one_credential_and_leaves_the_other_one_of_its_folder() -> None:
    logins = folder_of_two()
    logins.asked(0, 1, FIRST)
    logins.rejected(0, FIRST, 5)
    assert logins.asked(0, 2, FIRST) == [Fetch(PENDING, FIRST)]
    assert logins.fetched(0, PENDING, 0, "new db") == [Fetch(CURRENT, FIRST)]
    assert logins.fetched(0, CURRENT, 0, "old db", DAYS) == [MakeCandidate(FIRST, PENDING, FIRST)]
    assert logins.made(0, FIRST, 6) == [Use(2, 6)]
    assert logins.accepted(0, FIRST, 6) == [PublishCandidate(6, FIRST)]
    logins.published(0, 7, {0: "new db"})
    assert logins.keeps(0)
    assert not logins.keeps(1)
    assert logins.rejected(1, SECOND, 7) == []
    assert logins.keeps(0), "the refusal was about the other one"


def test_what_awscurrent_has_is_published_for_the_whole_folder_or_not_at_all() -> None:
    for other in ("new cache", "old cache", None):
        logins = folder_of_two()
        logins.asked(0, 1, FIRST)
        logins.rejected(0, FIRST, 5)
        logins.asked(0, 2, FIRST)
        logins.fetched(0, PENDING, 0, None)
        assert logins.fetched(0, CURRENT, 0, "new db", 0) == [Fetch(CURRENT, SECOND)]
        if other is None:
            assert logins.not_fetched(0, CURRENT, 1) == [Fetch(PREVIOUS, FIRST)]
            continue
        changed = (0,) if other == "old cache" else (0, 1)
        assert logins.fetched(0, CURRENT, 1, other, 0) == [Publish(changed)]
        assert logins.published(0, 6, {0: "new db", 1: other}) == [Use(2, None)]


def test_a_stage_that_one_credential_fetches_is_not_fetched_again_for_another_one() -> None:
    logins = Logins(5, {0: "old db", 1: "old cache"}, groups=[(0, 1)])
    both = (0, 1)
    for call, credential in enumerate((FIRST, both)):
        logins.asked(0, call, credential)
        logins.rejected(0, credential, 5)
    assert logins.asked(0, 2, FIRST) == [Fetch(PENDING, FIRST)]
    assert logins.asked(0, 3, both) == [Fetch(PENDING, SECOND)]
    assert logins.fetched(0, PENDING, 0, None) == [Fetch(CURRENT, FIRST)]
    assert logins.fetched(0, PENDING, 1, None) == [Fetch(CURRENT, SECOND)]
    exhausted = logins.fetched(0, CURRENT, 0, "old db", DAYS) + logins.fetched(
        0, CURRENT, 1, "old cache", DAYS
    )
    assert exhausted == [
        LogExhausted(FIRST, (None,), 1),
        Retry(2, 1),
        LogExhausted(both, (None,), 1),
        Retry(3, 1),
    ]


# Properties


class Machine:
    """Plays random events to the decisions, and holds every answer against the rules."""

    def __init__(self) -> None:
        self.logins = Logins(1, {0: "0"})
        self.now = 0.0
        self.versions = {1: "0"}
        self.current = 1
        self.last = 1
        self.stages: dict[Stage, str | None] = {CURRENT: "0", PENDING: None, PREVIOUS: None}
        self.got: dict[Stage, str] = {}
        self.waiting: dict[int, float] = {}
        self.out: list[int] = []  # generations with which somebody logs in
        self.refused: set[str] = set()
        self.fetched_at: dict[Stage, float] = {}
        self.calls = 0

    def run(self, actions: list[Action]) -> None:
        queue = list(actions)
        while queue:
            action = queue.pop(0)
            if isinstance(action, Use):
                del self.waiting[action.call]
                generation = action.candidate or self.current
                assert self.versions[generation] not in self.refused, "a refused version is handed out"
                self.out.append(generation)
            elif isinstance(action, Retry):
                assert 0 <= action.after <= BACK_OFF[-1]
                del self.waiting[action.call]
            elif isinstance(action, Fetch):
                assert self.now >= self.fetched_at.get(action.stage, -1) + 1, "a stage is fetched too often"
                self.fetched_at[action.stage] = self.now
                if (version := self.stages[action.stage]) is not None:
                    self.got[action.stage] = version
                queue += self.logins.fetched(self.now, action.stage, 0, version, 0)
            elif isinstance(action, MakeCandidate):
                self.last += 1
                self.versions[self.last] = self.got[action.stage]
                queue += self.logins.made(self.now, DB, self.last)
            elif isinstance(action, Publish):
                queue += self.publish(self.got[CURRENT])
            elif isinstance(action, PublishCandidate):
                queue += self.publish(self.versions[action.candidate])

    def publish(self, version: str) -> list[Action]:
        self.last += 1
        self.current = self.last
        self.versions[self.last] = version
        return self.logins.published(self.now, self.last, {0: version})

    def step(self, seconds: float, what: str, choice: int) -> None:
        end = self.now + seconds
        while (wake_at := self.logins.wake_at) is not None and wake_at <= end:
            self.now = max(self.now, wake_at)
            self.run(self.logins.passed(self.now))
        self.now = end
        if what == "ask":
            self.calls += 1
            self.waiting[self.calls] = self.now
            self.refused = {version for (version,) in self.logins._credential(DB)._refused}
            forget_at = self.logins._credential(DB)._forget_at
            if forget_at is not None and self.now >= forget_at:
                self.refused = set()
            self.run(self.logins.asked(self.now, self.calls, DB))
        elif what == "rotate":
            order: tuple[Stage, ...] = (CURRENT, PENDING, PREVIOUS)
            self.stages[order[choice % 3]] = (None, "1", "2", "3")[choice % 4] or self.stages[CURRENT]
        elif self.out:
            generation = self.out.pop(choice % len(self.out))
            self.refused = set()
            report = self.logins.accepted if what == "accept" else self.logins.rejected
            self.run(report(self.now, DB, generation))
        for since in self.waiting.values():
            assert self.now < since + HOLD, "a call starves"


STEPS = st.tuples(
    st.sampled_from([0.0, 0.01, 0.1, 0.3, 1.0, 5.0, 70.0]),
    st.sampled_from(["ask", "ask", "ask", "accept", "reject", "reject", "rotate"]),
    st.integers(0, 11),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_whatever_happens_nobody_starves_and_no_rule_is_broken(steps: list[tuple[float, str, int]]) -> None:
    machine = Machine()
    for step in steps:
        machine.step(*step)


def test_loading_the_decisions_loads_nothing_else() -> None:
    code = "import __future__, sys, keystart_extension; before = set(sys.modules); import keystart_extension.logins"
    code += "; print(sorted(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    package = "keystart_extension.logins"
    modules = [package, f"{package}.actions", f"{package}.credential", f"{package}.sources"]
    assert run.stdout == f"{modules}\n"
