"""What the stores of a stack have of an organization."""

import contextlib

from redis.asyncio import Redis

from artcafe_common.broker.connect import connect
from artcafe_common.broker.system_account import list_streams
from artcafe_common.dev.stack import REGION
from artcafe_common.storage.dynamo import Database
from artcafe_common.storage.table import Table
from artcafe_identity.tables import ACCOUNTS
from support.aws import call_dynamodb


def _contains(content, texts):
    return any(text in str(content) for text in texts)


async def list_items(stack, *texts):
    """The table and content of every DynamoDB item that contains one of some texts."""
    found = []
    for table in (await call_dynamodb(stack, "list_tables"))["TableNames"]:
        start = {}
        while True:
            page = await call_dynamodb(stack, "scan", TableName=table, Limit=500, **start)
            found += [(table, str(item)) for item in page["Items"] if _contains(item, texts)]
            if "LastEvaluatedKey" not in page:
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    return found


async def list_redis_keys(stack, *texts):
    """Every Redis key whose name or content contains one of some texts."""
    async with Redis.from_url(stack.endpoints["redis"]) as redis:
        read = {
            b"string": redis.get,
            b"hash": redis.hgetall,
            b"set": redis.smembers,
            b"zset": lambda key: redis.zrange(key, 0, -1),
            b"list": lambda key: redis.lrange(key, 0, -1),
            b"stream": redis.xrange,
        }
        kinds = {key: await redis.type(key) async for key in redis.scan_iter()}
        return [
            key
            for key, kind in kinds.items()
            # A key may have expired since.
            if kind in read and _contains((key, await read[kind](key)), texts)
        ]


@contextlib.asynccontextmanager
async def system_connection(stack):
    """A connection to the broker's system account, as identity."""
    credentials = stack.directory / "keys/identity-system.creds"
    system = await connect(stack.environ()["NATS_URL"], credentials, name="identity")
    try:
        yield system
    finally:
        await system.close()


async def list_stream_names(stack, accounts):
    """The JetStream streams in NATS accounts, by their public keys."""
    async with system_connection(stack) as system:
        found = await list_streams(system)
    return sorted(name for account in accounts for name in found.get(account, {}))


async def accounts_of(tenant):
    """The public keys of all NATS accounts of an organization."""
    async with Database(region=REGION, prefix="artcafe-", environ=tenant.stack.environ()) as database:
        item = await Table(database, ACCOUNTS).get(f"account#{tenant.id}", consistent=True)
    return [each.account for each in (item, item.streams, item.own) if each is not None]
