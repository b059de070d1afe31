"""What a worker does in the row of REST."""

import asyncio
import time

import aiohttp
from aiobotocore.session import get_session

from bench.percentiles import percentile


async def rest(url, headers, count, concurrency):
    """GET one address again and again: alone for latency, side by side for the rate."""
    async with aiohttp.ClientSession(headers=headers) as http:

        async def once():
            began = time.perf_counter()
            async with http.get(url) as answer:
                await answer.read()
                answer.raise_for_status()
            return time.perf_counter() - began

        await once()
        waits = [await once() for _ in range(count)]

        async def many():
            for _ in range(count // concurrency):
                await once()

        began = time.perf_counter()
        await asyncio.gather(*(many() for _ in range(concurrency)))
        took = time.perf_counter() - began
    rate = count // concurrency * concurrency / took
    return {"p50": percentile(waits, 0.5) * 1000, "p99": percentile(waits, 0.99) * 1000, "rate": rate}


async def dynamodb(url, region, table, client_id, tenant_id, count):
    """The same reads at the stand-in for DynamoDB, without us."""
    client = get_session().create_client(
        "dynamodb",
        region_name=region,
        endpoint_url=url,
        aws_access_key_id="development",
        aws_secret_access_key="development",
    )
    async with client as dynamo:

        async def one():
            return await dynamo.get_item(TableName=table, Key={"client_id": {"S": client_id}})

        async def fifty():
            return await dynamo.query(
                TableName=table,
                IndexName="TenantIndex",
                KeyConditionExpression="tenant_id = :t",
                ExpressionAttributeValues={":t": {"S": tenant_id}},
                Limit=50,
            )

        waits = {}
        for name, call in (("one", one), ("fifty", fifty)):
            await call()
            waits[name] = []
            for _ in range(count):
                began = time.perf_counter()
                await call()
                waits[name].append(time.perf_counter() - began)
    return {name: percentile(each, 0.5) * 1000 for name, each in waits.items()}


COMMANDS = {"rest": rest, "dynamodb": dynamodb}
