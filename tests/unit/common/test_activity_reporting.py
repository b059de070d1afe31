"""Refusals in the activity log: nobody fills it, and nothing is left out in silence."""

import artcafe_common.activity_reporting
from artcafe_common.activity_reporting import REMEMBERED, DenialReporter
from artcafe_common.bus.caller import CallerContext

DENIALS_A_MINUTE = 10


class Clock:
    """Stands still until it is moved."""

    def __init__(self):
        self.at = 1000.0

    def monotonic(self):
        return self.at


def knocking(denials, times, *, tenant="t", user="u", action="access.denied", per_minute=DENIALS_A_MINUTE):
    caller = CallerContext(request_id="r", actor=f"user:{user}")
    for number in range(times):
        denials.report(
            caller, action, "account:t", tenant_id=tenant, per_minute=per_minute, metadata={"number": number}
        )


async def test_what_comes_too_fast_is_counted_and_told_once_its_minute_is_over(monkeypatch):
    clock, told = Clock(), []
    monkeypatch.setattr(artcafe_common.activity_reporting, "time", clock)
    denials = DenialReporter(told.append)
    knocking(denials, DENIALS_A_MINUTE + 7)
    assert [event.activity.action for event in told] == ["access.denied"] * DENIALS_A_MINUTE
    # Others are counted for themselves.
    knocking(denials, 1, tenant="other")
    knocking(denials, 1, user="other")
    assert len(told) == DENIALS_A_MINUTE + 2
    await denials.tick()
    assert len(told) == DENIALS_A_MINUTE + 2
    clock.at += 61
    await denials.tick()
    last = told[-1]
    assert (last.tenant_id, last.activity.action, last.activity.actor) == (
        "t",
        "access.denied_again",
        "user:u",
    )
    assert (last.activity.metadata, last.activity.status) == ({"count": 7}, "denied")
    assert len({event.activity.activity_id for event in told}) == len(told) == DENIALS_A_MINUTE + 3
    await denials.tick()
    knocking(denials, 1)
    assert len(told) == DENIALS_A_MINUTE + 4


def test_memory_is_bounded_and_still_nothing_is_left_out_in_silence():
    told = []
    denials = DenialReporter(told.append)
    knocking(denials, DENIALS_A_MINUTE + 3)
    for number in range(2 * REMEMBERED):
        knocking(denials, 1, tenant=str(number))
    assert len(denials._minutes) <= REMEMBERED
    (again,) = [event for event in told if event.activity.action == "access.denied_again"]
    assert again.activity.metadata == {"count": 3}


async def test_each_action_is_counted_for_itself_and_the_first_is_told_as_it_was(monkeypatch):
    clock, told = Clock(), []
    monkeypatch.setattr(artcafe_common.activity_reporting, "time", clock)
    denials = DenialReporter(told.append)
    knocking(denials, 10_000, action="access.subject_denied", per_minute=1)
    knocking(denials, 1)
    clock.at += 61
    await denials.tick()
    assert [(event.activity.action, event.activity.metadata) for event in told] == [
        ("access.subject_denied", {"number": 0}),
        ("access.denied", {"number": 0}),
        ("access.subject_denied_again", {"count": 9_999}),
    ]
