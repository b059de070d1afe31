"""The activity entry of a login."""

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.errors import DeadlineExceeded
from artcafe_gateway.reporting.activity import report_login
from support.fakes.bus import FakeBus
from support.fakes.reporting import FakePresence

CALLER = CallerContext(request_id="r", ip="192.0.2.1")


async def test_login_that_cannot_be_reported_succeeds_and_is_reported_later():
    bus, presence = FakeBus(), FakePresence()
    bus.publish_error = DeadlineExceeded()
    await report_login(bus, presence, CALLER, "ada")
    (event,) = presence.events
    assert (event.activity.action, event.activity.actor, event.activity.ip) == (
        "user.login",
        "user:ada",
        "192.0.2.1",
    )


async def test_login_is_reported_before_it_is_answered():
    bus, presence = FakeBus(), FakePresence()
    await report_login(bus, presence, CALLER, "ada")
    assert len(bus.events) == 1
    assert not presence.events
