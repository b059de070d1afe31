"""Bounds on what an HTTP client sends: time and size."""

import asyncio
import functools
import time

import pytest
import uvicorn

from artcafe_gateway.server import HttpServer
from artcafe_gateway.wire.http_protocol import MAX_HEADER_BYTES, GatewayHttpProtocol

TIMEOUT_S = 0.3
SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: application/problem+json\r\n"


class App:
    """Answers a request after its body; `/early` before it, `/late` a while after it."""

    def __init__(self):
        self.events = []

    async def __call__(self, scope, receive, send):
        if scope["path"] == "/early":
            await self.respond(send)
            return
        while True:
            event = await receive()
            self.events.append(event["type"])
            if event["type"] == "http.disconnect":
                return
            if not event["more_body"]:
                break
        if scope["path"] == "/late":
            await asyncio.sleep(3 * TIMEOUT_S)
        await self.respond(send)

    async def respond(self, send):
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def app():
    return App()


@pytest.fixture
async def port(app, unused_tcp_port):
    protocol = functools.partial(GatewayHttpProtocol, request_timeout_s=TIMEOUT_S)
    config = uvicorn.Config(
        app,
        port=unused_tcp_port,
        http=protocol,
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
    )
    server = HttpServer(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield unused_tcp_port
    server.should_exit = True
    await task


async def exchange(port, *parts, pause_s=0.0):
    """Send the parts; returns all that is received until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = asyncio.ensure_future(reader.read())
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause_s)
            if received.done():
                break
        return await asyncio.wait_for(received, 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"GET /",
        b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
    ids=["headers", "line", "body", "chunked"],
)
async def test_incomplete_request_is_answered_with_408(port, app, sent):
    received = await exchange(port, sent)
    assert received.startswith(SLOW), received
    assert received.endswith(b"}")
    assert b'"code":"request_timeout"' in received
    if sent.startswith(b"POST"):
        assert app.events[-1] == "http.disconnect"


async def test_trickle_does_not_extend_the_deadline(port):
    started_at = time.monotonic()
    headers = [b"X-A: b\r\n"] * 200
    received = await exchange(port, b"GET / HTTP/1.1\r\n", *headers, pause_s=TIMEOUT_S / 6)
    # The response is lost if the last header arrives after the server closed the connection.
    assert received.startswith(SLOW) or received == b""
    assert time.monotonic() - started_at < len(headers) * TIMEOUT_S / 6 / 2


@pytest.mark.parametrize("sent", [b"", b"\r\n" * 3], ids=["nothing", "line breaks"])
async def test_connection_without_a_request_is_closed(port, sent):
    assert await exchange(port, sent) == b""


async def test_line_breaks_after_a_request_do_not_keep_the_connection(port):
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    received = await exchange(port, request, b"\r\n", pause_s=0.05)
    assert received.endswith(b"ok")


async def test_servers_own_time_is_not_limited(port):
    request = b"POST /late HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab"
    assert (await exchange(port, request)).endswith(b"ok")


async def test_slow_request_behind_another_gets_no_response_in_its_place(port):
    request = b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n"
    assert await exchange(port, request + b"GET / HTTP/1.1\r\n") == b""


async def test_body_that_nobody_waits_for_gets_no_second_response(port):
    received = await exchange(port, b"POST /early HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
    assert received.count(b"HTTP/1.1") == 1
    assert received.endswith(b"ok")


async def test_endless_headers_are_refused(port):
    line = b"X-A: " + b"b" * 1000 + b"\r\n"
    lines = line * (MAX_HEADER_BYTES // len(line) + 2)
    received = await exchange(port, b"GET / HTTP/1.1\r\n" + lines)
    assert received.startswith(b"HTTP/1.1 431 ") or received == b""
    fits = b"GET / HTTP/1.1\r\nConnection: close\r\n" + line * 60 + b"\r\n"
    assert (await exchange(port, fits)).endswith(b"ok")
