"""Worker jobs of the REST row."""

import asyncio
import time

import aiohttp
from aiobotocore.session import get_session

from bench.percentiles import percentile


async def measure_get(url, headers, count, concurrency):
    """GET one URL: one request at a time for the latency, then concurrently for the rate."""
    async with aiohttp.ClientSession(headers=headers) as http:

        async def get():
            began = time.perf_counter()
            async with http.get(url) as response:
                await response.read()
                response.raise_for_status()
            return time.perf_counter() - began

        await get()
        latencies = [await get() for _ in range(count)]

        async def get_repeatedly():
            for _ in range(count // concurrency):
                await get()

        began = time.perf_counter()
        await asyncio.gather(*(get_repeatedly() for _ in range(concurrency)))
        elapsed = time.perf_counter() - began
    rate = count // concurrency * concurrency / elapsed
    return {"p50": percentile(latencies, 0.5) * 1000, "p99": percentile(latencies, 0.99) * 1000, "rate": rate}


async def measure_dynamodb(url, region, table, client_id, tenant_id, count):
    """The median latency of the same reads, sent directly to DynamoDB's stand-in."""
    client = get_session().create_client(
        "dynamodb",
        region_name=region,
        endpoint_url=url,
        aws_access_key_id="development",
        aws_secret_access_key="development",
    )
    async with client as dynamodb:

        async def get_one():
            return await dynamodb.get_item(TableName=table, Key={"client_id": {"S": client_id}})

        async def query_fifty():
            return await dynamodb.query(
                TableName=table,
                IndexName="TenantIndex",
                KeyConditionExpression="tenant_id = :t",
                ExpressionAttributeValues={":t": {"S": tenant_id}},
                Limit=50,
            )

        latencies = {}
        for name, read in (("one", get_one), ("fifty", query_fifty)):
            await read()
            latencies[name] = []
            for _ in range(count):
                began = time.perf_counter()
                await read()
                latencies[name].append(time.perf_counter() - began)
    return {name: percentile(each, 0.5) * 1000 for name, each in latencies.items()}


JOBS = {"measure_get": measure_get, "measure_dynamodb": measure_dynamodb}
