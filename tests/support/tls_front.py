"""A server that ends TLS in front of another one, as stunnel does: the tests' valkey-server is built without TLS."""

import asyncio
import contextlib
import ssl

BLOCK_BYTES = 64 * 1024


@contextlib.asynccontextmanager
async def tls_front(certificate, key, connect, *, port=0):
    """Accepts TLS on a port of loopback, which it yields, and forwards to what `connect` opens."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            inner_reader, inner_writer = await connect()
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, inner_writer))
                group.create_task(_copy(inner_reader, writer))
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            tasks.discard(asyncio.current_task())

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()


async def _copy(reader, writer):
    with contextlib.suppress(OSError):
        while block := await reader.read(BLOCK_BYTES):
            writer.write(block)
            await writer.drain()
    writer.close()
