"""The connections that the broker reports."""

from artcafe_common.broker.connect import connect
from artcafe_common.broker.system_account import list_connections
from support.aws import call_dynamodb


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


async def account_of(tenant):
    """The public key of an organization's NATS account."""
    row = await call_dynamodb(
        tenant.stack,
        "get_item",
        TableName="artcafe-nkey-seeds",
        Key={"seed_id": {"S": f"account#{tenant.id}"}},
    )
    return row["Item"]["account"]["S"]
