"""The connections that the broker reports."""

from artcafe_common.broker.connect import connect
from artcafe_common.broker.system_account import list_connections


async def list_tenant_connections(tenant):
    """All connections into a tenant's account, including the gateway's bridge."""
    stack = tenant.stack
    credentials = stack.directory / "keys/metering-system.creds"
    system = await connect(stack.environ()["NATS_URL"], credentials, name="metering")
    try:
        return [
            connection
            for listing in await list_connections(system)
            for connection in listing.connections
            if connection.name_tag == tenant.id
        ]
    finally:
        await system.close()
