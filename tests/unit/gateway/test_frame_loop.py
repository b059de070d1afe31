"""The frames of a socket are handled one after another, and an idle socket has no task; with both transports."""

import asyncio
import contextlib
import json
from contextvars import ContextVar

import msgspec
import pytest
import uvicorn
from litestar import WebSocket
from websockets.asyncio.client import connect

from artcafe_gateway.errors import BadStatus
from artcafe_gateway.wire import frames
from artcafe_gateway.wire.asgi import with_send_queue
from artcafe_gateway.wire.frame_loop import serve_frames
from artcafe_gateway.wire.socket import accept
from artcafe_gateway.wire.transport import GatewayWebSocketProtocol
from support.waiting import eventually

CALLER = ContextVar("CALLER", default=None)
DECODER = msgspec.json.Decoder(frames.Publish | frames.Ping)


class Server:
    """An ASGI server with one application, which handles a frame when the test lets it."""

    def __init__(self):
        self.handled, self.callers, self.ended = [], set(), 0
        self.may_handle = asyncio.Event()
        self.may_handle.set()
        self.socket = self.server = None

    async def __call__(self, scope, receive, send):
        CALLER.set("client")
        self.socket = await accept(WebSocket(scope, receive, send), 1 << 20)
        await serve_frames(self.socket, DECODER, self.handle, self.end)

    async def handle(self, received):
        await self.may_handle.wait()
        if isinstance(received, frames.Ping):
            raise BadStatus
        self.callers.add(CALLER.get())
        self.handled.append(received.id)
        self.socket.send(frames.Published(id=received.id))

    async def end(self):
        self.ended += 1

    @property
    def tasks(self):
        return self.server.server_state.tasks


@pytest.fixture(params=[GatewayWebSocketProtocol, "websockets-sansio"])
async def server(request):
    app = Server()
    config = uvicorn.Config(
        with_send_queue(app), port=0, loop="none", ws=request.param, lifespan="off", log_config=None
    )
    app.server = uvicorn.Server(config)
    app.server.capture_signals = contextlib.nullcontext
    app.is_direct = request.param is GatewayWebSocketProtocol
    running = asyncio.create_task(app.server.serve())
    await eventually(lambda: app.server.started)
    app.url = f"ws://127.0.0.1:{app.server.servers[0].sockets[0].getsockname()[1]}"
    yield app
    app.server.should_exit = True
    await running


def publish(number):
    return json.dumps({"type": "publish", "subject": "a", "data": number, "id": number})


async def test_frames_are_handled_in_order_by_a_task_that_ends(server):
    async with connect(server.url) as ws:
        await ws.send(publish(0))
        assert json.loads(await ws.recv())["id"] == 0
        if server.is_direct:
            await eventually(lambda: not server.tasks)
        server.may_handle.clear()
        for number in range(1, 20):
            await ws.send(publish(number))
        await ws.send('{"type": "ping"}')
        await ws.send(publish(20))
        server.may_handle.set()
        answers = [json.loads(await ws.recv()) for _ in range(21)]
    assert [each.get("id") for each in answers] == [*range(1, 20), None, 20]
    assert answers[19]["code"] == BadStatus.code
    assert server.handled == list(range(21))
    assert server.callers == {"client"}


@pytest.mark.parametrize("how", ["closed by the client", "aborted", "closed by the server", "not JSON"])
async def test_end_is_called_once(server, how):
    ws = await connect(server.url)
    await ws.send(publish(0))
    await ws.recv()
    if how == "closed by the client":
        await ws.close()
    elif how == "aborted":
        ws.transport.abort()
    elif how == "closed by the server":
        server.socket.close(1012, "restarting")
    else:
        for _ in range(3):
            await ws.send("{")
    await eventually(lambda: server.ended)
    await ws.close()
    await eventually(lambda: not server.tasks)
    await eventually(lambda: not server.server.server_state.connections)
    assert server.ended == 1


async def test_end_waits_for_the_frame_that_is_handled(server):
    ws = await connect(server.url)
    server.may_handle.clear()
    await ws.send(publish(0))
    await eventually(lambda: server.tasks)
    ws.transport.abort()
    await eventually(lambda: not server.server.server_state.connections)
    assert server.ended == 0
    server.may_handle.set()
    await eventually(lambda: server.ended == 1)
    assert server.handled == [0]


async def test_end_is_called_when_the_server_cancels_the_task(server):
    async with connect(server.url) as ws:
        server.may_handle.clear()
        await ws.send(publish(0))
        await eventually(lambda: server.tasks)
        for task in tuple(server.tasks):
            task.cancel()
        await eventually(lambda: server.ended == 1)
