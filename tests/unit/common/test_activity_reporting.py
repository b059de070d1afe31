"""Denials in the activity log are limited in rate, and the suppressed ones are summarized."""

import pytest

import artcafe_common.activity_reporting
from artcafe_common.activity_reporting import MAX_WINDOWS, DenialReporter
from artcafe_common.bus.caller import CallerContext
from support.fakes.clock import FakeClock

DENIALS_PER_MINUTE = 10


@pytest.fixture
def clock(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(artcafe_common.activity_reporting, "time", clock)
    return clock


def deny(denials, times, *, tenant="t", user="u", action="access.denied", per_minute=DENIALS_PER_MINUTE):
    caller = CallerContext(request_id="r", actor=f"user:{user}")
    for number in range(times):
        denials.report(
            caller, action, "account:t", tenant_id=tenant, per_minute=per_minute, metadata={"number": number}
        )


async def test_denials_over_the_rate_are_summarized_after_a_minute(clock):
    published = []
    denials = DenialReporter(published.append)
    deny(denials, DENIALS_PER_MINUTE + 7)
    assert [event.activity.action for event in published] == ["access.denied"] * DENIALS_PER_MINUTE
    # Other tenants and actors have their own count.
    deny(denials, 1, tenant="other")
    deny(denials, 1, user="other")
    assert len(published) == DENIALS_PER_MINUTE + 2
    await denials.flush()
    assert len(published) == DENIALS_PER_MINUTE + 2
    clock.advance(61)
    await denials.flush()
    summary = published[-1]
    assert (summary.tenant_id, summary.activity.action, summary.activity.actor) == (
        "t",
        "access.denied_again",
        "user:u",
    )
    assert (summary.activity.metadata, summary.activity.status) == ({"count": 7}, "denied")
    ids = {event.activity.activity_id for event in published}
    assert len(ids) == len(published) == DENIALS_PER_MINUTE + 3
    await denials.flush()
    deny(denials, 1)
    assert len(published) == DENIALS_PER_MINUTE + 4


def test_evicted_denials_are_still_summarized():
    published = []
    denials = DenialReporter(published.append)
    deny(denials, DENIALS_PER_MINUTE + 3)
    for number in range(2 * MAX_WINDOWS):
        deny(denials, 1, tenant=str(number))
    assert len(denials._windows) <= MAX_WINDOWS
    (summary,) = [event for event in published if event.activity.action == "access.denied_again"]
    assert summary.activity.metadata == {"count": 3}


async def test_each_action_has_its_own_count_and_the_first_denial_is_published_in_full(clock):
    published = []
    denials = DenialReporter(published.append)
    deny(denials, 10_000, action="access.subject_denied", per_minute=1)
    deny(denials, 1)
    clock.advance(61)
    await denials.flush()
    assert [(event.activity.action, event.activity.metadata) for event in published] == [
        ("access.subject_denied", {"number": 0}),
        ("access.denied", {"number": 0}),
        ("access.subject_denied_again", {"count": 9_999}),
    ]
