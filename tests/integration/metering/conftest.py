"""The metering service with a real broker and Redis, and moto's DynamoDB."""

import pytest

from artcafe_common.dev.stack import REGION, SERVERS
from artcafe_common.storage.dynamo import Database
from artcafe_metering import open_connections
from artcafe_metering.tables import TABLES
from support.aws import aws_environment
from support.harness.metering import MeteringHarness


@pytest.fixture(autouse=True)
def _list_accounts_that_moved(monkeypatch):
    """As with thousands of connections; the end-to-end tests list all of their few."""
    monkeypatch.setattr(open_connections, "MAX_LISTED_ALWAYS", -1)
    monkeypatch.setattr(open_connections, "LISTED_IN_TURN", 0)


@pytest.fixture(scope="module")
async def harness(new_stack):
    """The servers; a test that takes only this fixture starts the service itself."""
    async with new_stack(servers=SERVERS) as stack:
        with aws_environment(stack):
            await stack.wait_for_servers()
            async with Database(region=REGION, prefix="artcafe-") as database:
                for table in TABLES:
                    await database.create_table(table)
            harness = MeteringHarness(stack)
            await harness.open()
            yield harness
            await harness.close()


@pytest.fixture
async def metering(harness):
    """The running service."""
    async with harness.running():
        yield harness
