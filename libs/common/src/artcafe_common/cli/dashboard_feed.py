"""A person's WebSocket, as `artcafe watch` reads it: it comes back after a loss of the connection."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from artcafe_client.backoff import Backoff
from artcafe_common.cli import output
from artcafe_common.cli.api import Api
from artcafe_common.cli.exit_codes import ExitCode, Failure, exit_code_for_status
from artcafe_common.tls import create_tls

# The frames are at most as large as a message, with its envelope.
MAX_FRAME_BYTES = 4 * 1024 * 1024
TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a reason
FINAL_CODES = (4401, 4403)
PREVIEW = "preview"


class DashboardFeed:
    """The frames of an organization's dashboard; with a pattern, messages too."""

    def __init__(self, api: Api, pattern: str, sample: float) -> None:
        self._api = api
        self._pattern = pattern
        self._sample = sample
        self._backoff = Backoff()
        self._was_connected = False
        self._retry_after_s: float | None = None

    async def frames(self) -> AsyncIterator[dict[str, Any]]:
        """Each frame; goes on over losses of the connection. Failure if it cannot be made, or is refused."""
        while True:
            try:
                # The token is a new one on each connection.
                token = await asyncio.to_thread(self._api.access_token)
                async with connect(
                    self._url,
                    additional_headers={"Authorization": f"Bearer {token}"},
                    max_size=MAX_FRAME_BYTES,
                    compression=None,
                    **self._tls,
                ) as socket:
                    async for frame in self._read(socket):
                        yield frame
            except (OSError, WebSocketException) as error:
                self._check_lost(error)
            delay_s = self._backoff.next_delay(self._retry_after_s)
            self._retry_after_s = None
            output.print_notice(f"the connection was lost; retrying in {delay_s:.1f} s")
            await asyncio.sleep(delay_s)

    @property
    def _url(self) -> str:
        # http becomes ws, and https wss.
        query = urlencode({"tenant_id": self._api.tenant_id}) if self._api.tenant_id else ""
        return f"ws{self._api.session.api.removeprefix('http')}/ws/dashboard{'?' if query else ''}{query}"

    @property
    def _tls(self) -> dict[str, Any]:
        ca_file = os.environ.get("ARTCAFE_CA_FILE")
        return {"ssl": create_tls(Path(ca_file))} if ca_file and self._url.startswith("wss") else {}

    async def _read(self, socket: ClientConnection) -> AsyncIterator[dict[str, Any]]:
        try:
            async for text in socket:
                frame: dict[str, Any] = msgspec.json.decode(text)
                if frame["type"] == "welcome":
                    await self._on_welcome(socket)
                elif frame["type"] == "reconnect":
                    self._retry_after_s = frame["retry_after_ms"] / 1000
                elif frame["type"] == "error":
                    self._on_error(frame)
                yield frame
        except ConnectionClosed:
            pass
        code, reason = socket.close_code, socket.close_reason or ""
        may_refresh = reason == TOKEN_EXPIRED and self._api.session.refresh_token
        if code in FINAL_CODES and not may_refresh:
            raise Failure(f"the server closed the connection: {reason}", ExitCode.DENIED, code=reason)
        if not self._was_connected:
            raise Failure(f"the server closed the connection: {reason}", ExitCode.UNAVAILABLE)

    async def _on_welcome(self, socket: ClientConnection) -> None:
        self._was_connected = True
        self._backoff.reset()
        if self._pattern:
            request = {"type": "subscribe_topic_preview", "pattern": self._pattern, "sample": self._sample}
            await socket.send(msgspec.json.encode({**request, "id": PREVIEW}).decode())
        output.print_notice("watching")

    def _on_error(self, frame: dict[str, Any]) -> None:
        if frame.get("id") == PREVIEW:
            raise Failure(frame["message"], code=frame["code"])
        if self._was_connected:
            output.print_notice(f"{frame['message']} ({frame['code']})")

    def _check_lost(self, error: Exception) -> None:
        """Failure if the first connection fails, or the server refuses this one for good."""
        if isinstance(error, InvalidStatus):
            status = error.response.status_code
            if status in (401, 403) or not self._was_connected:
                text = f"the server answered the handshake with {status}"
                raise Failure(text, exit_code_for_status(status)) from None
        elif not self._was_connected:
            raise Failure(f"cannot reach {self._url}: {error}", ExitCode.UNAVAILABLE) from None
