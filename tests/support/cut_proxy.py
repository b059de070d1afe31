"""A TCP proxy that cuts connections, or stops forwarding, as a network does."""

import asyncio
import contextlib

BLOCK_BYTES = 64 * 1024


class CutProxy:
    """Forwards to a port of loopback; `port` is its own."""

    def __init__(self, port):
        self._target = port
        self._writers = set()
        self._tasks = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.port = 0
        self.accepted = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, port):
        proxy = cls(port)
        server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            proxy.resume()
            proxy.cut()
            await asyncio.gather(*proxy._tasks, return_exceptions=True)

    def cut(self):
        """Break every connection."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    def stall(self):
        """Forward nothing any more, as a network does that loses every packet."""
        self._flowing.clear()

    def resume(self):
        self._flowing.set()

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        self.accepted += 1
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))
        finally:
            for each in (writer, far_writer):
                each.transport.abort()
                self._writers.discard(each)
            self._tasks.discard(asyncio.current_task())

    async def _copy(self, reader, writer):
        with contextlib.suppress(OSError):
            while block := await reader.read(BLOCK_BYTES):
                await self._flowing.wait()
                writer.write(block)
                await writer.drain()
        writer.transport.abort()
