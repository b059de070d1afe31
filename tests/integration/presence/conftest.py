"""The presence service with real servers."""

from contextlib import AsyncExitStack

import pytest

from artcafe_common.dev.stack import SERVERS
from support.aws import aws_environment
from support.harness.presence import PresenceHarness


@pytest.fixture(scope="module")
async def harness(new_stack):
    async with new_stack(servers=SERVERS) as stack:
        with aws_environment(stack):
            await stack.wait_for_servers()
            async with AsyncExitStack() as exit_stack:
                harness = PresenceHarness(stack)
                await harness.connect(exit_stack)
                exit_stack.push_async_callback(harness.stop)
                yield harness


@pytest.fixture
async def presence(harness):
    """The running service, whatever the previous test stopped; its gateway is alive."""
    if harness.service is None:
        await harness.start()
    await harness.gateway_alive()
    return harness
