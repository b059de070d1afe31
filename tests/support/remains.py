"""What the stores of a stack have of an organization."""

import httpx
from redis.asyncio import Redis

from support.aws import call_dynamodb


async def list_items(stack, text):
    """The table and key of every DynamoDB item that contains a text."""
    found = []
    for table in (await call_dynamodb(stack, "list_tables"))["TableNames"]:
        start = {}
        while True:
            page = await call_dynamodb(stack, "scan", TableName=table, **start)
            found += [(table, str(item)) for item in page["Items"] if text in str(item)]
            if "LastEvaluatedKey" not in page:
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    return found


async def list_redis_keys(stack, text):
    """Every Redis key whose name or content contains a text."""
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
            if kind in read and text in f"{key} {await read[kind](key)}"
        ]


async def list_streams(stack, accounts):
    """The JetStream streams in NATS accounts, by their public keys."""
    url = f"http://127.0.0.1:{stack.ports.nats_monitor}/jsz"
    async with httpx.AsyncClient() as http:
        report = (await http.get(url, params={"accounts": "true", "streams": "true"})).json()
    return [
        stream["name"]
        for account in report.get("account_details", [])
        if account["id"] in accounts
        for stream in account.get("stream_detail", [])
    ]


async def accounts_of(tenant):
    """The public keys of all NATS accounts of an organization."""
    key = {"seed_id": {"S": f"account#{tenant.id}"}}
    response = await call_dynamodb(tenant.stack, "get_item", TableName="artcafe-nkey-seeds", Key=key)
    item = response["Item"]
    others = [item[name]["M"]["account"]["S"] for name in ("streams", "own") if "M" in item.get(name, {})]
    return [item["account"]["S"], *others]
