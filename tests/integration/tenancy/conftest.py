"""Tenancy with a real broker and moto's DynamoDB, and a fake identity service."""

from contextlib import AsyncExitStack

import pytest

from artcafe_common.broker.connect import connect
from artcafe_common.bus.client import Bus
from artcafe_common.bus.endpoints import EndpointServer
from artcafe_common.contracts.identity.accounts import EnsureAccount
from artcafe_common.contracts.identity.clients import IssueClientKey
from artcafe_common.contracts.tenancy.events import (
    AccountExpired,
    AccountStatusChanged,
    ChannelChanged,
    ClientChanged,
    ClientRevoked,
    MembershipChanged,
    PlanChanged,
)
from artcafe_common.dev.stack import REGION, SERVERS
from artcafe_common.settings import load
from artcafe_common.storage.dynamo import Database
from artcafe_tenancy.app import app
from artcafe_tenancy.settings import Settings
from artcafe_tenancy.tables import TABLES
from support.aws import aws_environment
from support.harness.tenancy import FakeIdentity, TenancyHarness

EVENTS = (
    AccountExpired,
    AccountStatusChanged,
    ChannelChanged,
    ClientChanged,
    ClientRevoked,
    MembershipChanged,
    PlanChanged,
)


@pytest.fixture(scope="module")
async def tenancy(new_stack):
    async with AsyncExitStack() as exit_stack:
        stack = await exit_stack.enter_async_context(
            new_stack({"ARTCAFE_DEFAULT_PLAN": "free"}, servers=SERVERS)
        )
        exit_stack.enter_context(aws_environment(stack))
        environ = stack.environ("tenancy")
        await stack.wait_for_servers()
        async with Database(region=REGION, prefix="artcafe-") as database:
            for spec in TABLES:
                await database.create_table(spec)

        async def connect_as(service):
            credentials = stack.directory / f"keys/{service}.creds"
            nc = await connect(environ["NATS_URL"], credentials, name=service)
            exit_stack.push_async_callback(nc.close)
            return nc

        identity = FakeIdentity()
        identity_nc = await connect_as("identity")
        server = EndpointServer(identity_nc, "identity")
        await server.start()
        exit_stack.push_async_callback(server.stop)
        await server.add_endpoint(EnsureAccount, identity.ensure_account)
        await server.add_endpoint(IssueClientKey, identity.issue_client_key)
        await exit_stack.enter_async_context(app(load(Settings, environ)))
        harness = TenancyHarness(
            gateway=Bus(await connect_as("gateway"), service="gateway"),
            presence=Bus(await connect_as("presence"), service="presence"),
            admin=Bus(await connect_as("admin"), service="admin"),
            identity=identity,
            identity_bus=Bus(identity_nc, service="identity"),
        )
        for kind in EVENTS:
            await harness.gateway.subscribe(kind, harness.record)
        await harness.gateway.nc.flush()
        yield harness
