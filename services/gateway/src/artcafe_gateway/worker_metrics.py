"""Lets the worker that Prometheus reached answer for all workers of its gateway.

Each worker listens on a Unix socket in a directory that their supervisor created for them, and that nobody else may
enter. The broker is not involved, because metrics are needed most when it does not answer.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import structlog

from artcafe_common.concurrency import run_together
from artcafe_common.metrics.registry import Family
from artcafe_gateway.workers import worker_directory, worker_number

TIMEOUT_S = 1.0
log = structlog.get_logger()
_decoder = msgspec.msgpack.Decoder(list[Family])


class WorkerExchange:
    """Exchanges metrics with the other workers; `name` is the number of this one."""

    def __init__(self, collect: Callable[[], list[Family]]) -> None:
        self._collect = collect
        self._directory = worker_directory()
        self.name = worker_number()

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[None]:
        """Answer the other workers while the context is entered."""
        if self._directory is None:
            yield
            return
        path = self._path(self.name)
        path.unlink(missing_ok=True)
        try:
            server = await asyncio.start_unix_server(self._answer, path)
        except OSError as error:
            log.warning("worker_metrics_not_served", reason=error.strerror or str(error))
            yield
            return
        try:
            yield
        finally:
            server.close()
            path.unlink(missing_ok=True)

    async def collect_others(self) -> dict[str, list[Family]] | None:
        """The metrics of the other workers that answer in time, by number; None if there is only this process."""
        if self._directory is None:
            return None
        names = [path.stem for path in self._directory.glob("*.sock") if path.stem != self.name]
        results = await run_together(*map(self._request, names))
        return {name: result for name, result in zip(names, results, strict=True) if result is not None}

    async def _request(self, name: str) -> list[Family] | None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(self._path(name))
                try:
                    return _decoder.decode(await reader.read(-1))
                finally:
                    writer.close()
        except (OSError, TimeoutError, msgspec.DecodeError) as error:
            # It starts or has crashed; the supervisor logs that.
            log.info("worker_metrics_missing", worker=name, reason=type(error).__name__)
            return None

    async def _answer(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                writer.write(msgspec.msgpack.encode(self._collect()))
                await writer.drain()
        except (OSError, TimeoutError):
            log.info("worker_metrics_not_sent")
        finally:
            writer.close()

    def _path(self, name: str) -> Path:
        assert self._directory is not None  # noqa: S101 - for the type checker
        return self._directory / f"{name}.sock"
