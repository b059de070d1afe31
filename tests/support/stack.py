"""Stacks for tests: real servers and services on free ports."""

import contextlib
import os
import secrets
import socket

from artcafe_common.dev.stack import Ports, Stack
from artcafe_common.dev.supervisor import Supervisor
from support.forked import ForkingSupervisor

# Tests sign up more users in a minute than people do.
UNLIMITED = {"ARTCAFE_ADDRESS_LOGINS_PER_MINUTE": "0", "ARTCAFE_ADDRESS_CALLS_PER_MINUTE": "0"}


# Below the ports of outgoing connections, which may take a port between its choice and its use.
PORTS = range(15_000, 32_000)
# Of the test processes that run at once, each has ports of its own.
PROCESSES = 8
_given = set[int]()


def free_port() -> int:
    """A port on which nothing listens, and which this process was not given before."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PROCESSES
    own = PORTS[number::PROCESSES]
    while True:
        if len(_given) > len(own) // 2:
            _given.clear()
        port = secrets.choice(own)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


def free_ports() -> Ports:
    found = set[int]()
    while len(found) < len(Ports.__struct_fields__):
        found.add(free_port())
    return Ports(**dict(zip(Ports.__struct_fields__, found, strict=True)))


@contextlib.asynccontextmanager
async def running_stack(directory, settings=None, *, servers=None, kind=Stack):
    """A stack with all servers and services; with `servers` given, with only these servers started."""
    stack = kind(directory, free_ports(), settings={**UNLIMITED, **(settings or {})})
    if type(stack.supervisor) is Supervisor:
        stack.supervisor = ForkingSupervisor()
    try:
        if servers is None:
            await stack.up()
        else:
            stack.prepare()
            for name in servers:
                stack.start(name)
        yield stack
    finally:
        await stack.down()
