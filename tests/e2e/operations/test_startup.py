"""Services start in any order, and wait for the servers that they need."""

import asyncio
import random

import httpx
import pytest

from artcafe_common.dev.stack import SERVERS, SERVICES
from support.waiting import eventually


@pytest.mark.parametrize("last", ["nats", "redis", "moto"])
async def test_services_wait_for_the_last_server(new_stack, last):
    order = list(SERVICES)
    random.Random(last).shuffle(order)
    async with new_stack(servers=()) as stack:
        for name in SERVERS:
            if name != last:
                stack.start(name)
        if last == "moto":
            # Identity's settings contain the ids of the user pool, so it is created before the services start.
            stack.start("moto")
            await stack.provision()
            await stack.supervisor.stop("moto")
        else:
            await stack.provision()
        for name in order:
            stack.start(name)
        # Long enough for a service that does not wait to end.
        await asyncio.sleep(2)
        pids = {name: stack.supervisor.pid(name) for name in SERVICES}
        assert all(pids.values())
        stack.start(last)
        if last == "moto":
            await stack.provision()
            await stack.supervisor.stop("identity")
            stack.start("identity")
        await stack.wait_ready()
        # No service was restarted.
        for name in SERVICES:
            if not (last == "moto" and name == "identity"):
                assert stack.supervisor.pid(name) == pids[name], name
        await stack.seed()


async def test_gateway_without_broker_is_alive_and_not_ready(new_stack):
    async with new_stack(servers=()) as stack:
        stack.start("moto")
        await stack.provision()
        stack.start("gateway")
        async with httpx.AsyncClient(base_url=stack.api) as http:

            async def is_unavailable():
                try:
                    return (await http.get("/api/v1/health")).status_code == 503
                except httpx.HTTPError:
                    return False

            await eventually(is_unavailable)
            assert (await http.get("/api/v1/health/ready")).status_code == 503
            assert (await http.get("/api/v1/health/live")).status_code == 200
            response = await http.post("/api/v1/auth/login", json={"email": "a", "password": "b"})
            assert (response.status_code, response.json()["code"]) == (503, "service_unavailable")
