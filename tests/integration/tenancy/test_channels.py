"""Channels: records, unique names and the plan's limit."""

import pytest

from artcafe_common.contracts.tenancy.channels import (
    ChannelNotFound,
    CreateChannel,
    DeleteChannel,
    GetChannel,
    UpdateChannel,
)
from artcafe_common.contracts.tenancy.events import (
    ChannelChanged,
)
from artcafe_common.contracts.tenancy.fields import NameTaken, PlanLimitReached
from support.harness.tenancy import gather_outcomes


async def test_channel_is_created_updated_and_deleted(tenancy):
    owner = await tenancy.owner()
    channel = await owner.create_channel("News", description="d", metadata={"a": None})
    assert channel.subject == f"tenant.{owner.tenant_id}.channel.{channel.channel_id}"
    assert await owner(GetChannel(channel_id=channel.channel_id)) == channel
    assert await owner(GetChannel(channel_id="NEWS")) == channel
    ids = {"tenant_id": owner.tenant_id, "channel_id": channel.channel_id}
    await tenancy.wait_for_event(ChannelChanged, **ids, deleted=False)
    with pytest.raises(NameTaken):
        await owner.create_channel("nEWS")
    changed = await owner(UpdateChannel(channel_id=channel.channel_id, name="Olds", description=""))
    assert (changed.name, changed.description, changed.subject) == ("Olds", "", channel.subject)
    assert changed.metadata == {"a": None}
    with pytest.raises(ChannelNotFound):
        await owner(GetChannel(channel_id="News"))
    await owner.create_channel("news")
    assert await owner(DeleteChannel(channel_id=channel.channel_id)) == changed
    await tenancy.wait_for_event(ChannelChanged, **ids, deleted=True)
    with pytest.raises(ChannelNotFound):
        await owner(DeleteChannel(channel_id=channel.channel_id))
    await owner.create_channel("olds")


async def test_concurrent_creation_respects_the_channel_limit(tenancy):
    owner = await tenancy.owner()
    results, errors = await gather_outcomes(*(owner(CreateChannel(name=f"channel {n}")) for n in range(15)))
    assert len(results) == 10
    assert errors == [PlanLimitReached] * 5
    await owner.create_client("counted apart")
