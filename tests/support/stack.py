"""Stacks for tests: real servers and services on free ports."""

import contextlib
import socket

from artcafe_common.dev.stack import Ports, Stack

# Tests sign up more users in a minute than people do.
UNLIMITED = {"ARTCAFE_ADDRESS_LOGINS_PER_MINUTE": "0", "ARTCAFE_ADDRESS_CALLS_PER_MINUTE": "0"}


def free_ports() -> Ports:
    sockets = [socket.socket() for _ in Ports.__struct_fields__]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return Ports(**dict(zip(Ports.__struct_fields__, (s.getsockname()[1] for s in sockets), strict=True)))
    finally:
        for each in sockets:
            each.close()


@contextlib.asynccontextmanager
async def running_stack(directory, settings=None, *, servers=None, kind=Stack):
    """A stack with all servers and services; with `servers` given, with only these servers started."""
    stack = kind(directory, free_ports(), settings={**UNLIMITED, **(settings or {})})
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
