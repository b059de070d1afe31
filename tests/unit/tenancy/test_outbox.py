"""A command whose change is stored is answered in time, whether or not its events can be published."""

import asyncio

import pytest

from artcafe_common.bus.caller import CallerContext, set_caller
from artcafe_common.contracts.tenancy.activity import ActivityType
from artcafe_common.contracts.tenancy.events import PlanChanged
from artcafe_common.plans import Plan
from artcafe_tenancy import outbox as outbox_module
from artcafe_tenancy.outbox import Outbox, build_entry
from support.fakes.bus import FakeBus
from support.fakes.ids import TENANT


class HangingBus(FakeBus):
    async def publish(self, event):
        self.attempts.append(event)
        await asyncio.Event().wait()


class Database:
    """Stands for the tables, which publishing does not use before it succeeded."""

    prefix = "artcafe-"


@pytest.fixture(autouse=True)
def caller():
    set_caller(CallerContext(request_id="r", tenant_id=TENANT, actor="user:ada"))


async def test_broker_that_does_not_confirm_holds_up_no_command(monkeypatch):
    monkeypatch.setattr(outbox_module, "PUBLISH_WAIT_S", 0.01)
    bus = HangingBus()
    outbox = Outbox(Database(), bus)
    event = PlanChanged(tenant_id=TENANT, plan=Plan.PRO)
    entry = build_entry(ActivityType.ACCOUNT, "account.plan_changed", f"account:{TENANT}", event)
    await asyncio.wait_for(outbox.publish(entry), 1)
    assert bus.attempts == [event]
    # The entry stays pending, and is published by another run.
    assert outbox.results["published"] == 0
    monkeypatch.setattr(outbox_module, "CLOSE_TIMEOUT_S", 0.01)
    await outbox.close()
    for task in outbox._tasks:
        task.cancel()
