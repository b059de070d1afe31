"""The dashboard socket of `artcafe watch`, against a server that follows a script."""

import asyncio
import contextlib
import json
from types import SimpleNamespace

from websockets.asyncio.server import serve

from artcafe_common.cli.dashboard_feed import DashboardFeed
from artcafe_common.cli.exit_codes import ExitCode, Failure
from artcafe_common.cli.session import Session

MESSAGE = {"type": "topic_preview_message", "subject": "a", "data": 1, "timestamp": "2026-03-01T12:00:00Z"}


@contextlib.asynccontextmanager
async def scripted(*scripts):
    """A feed of a server that follows one script for each connection; yields it with the requests of the handshakes."""
    left, requests = list(scripts), []

    async def handle(socket):
        requests.append(socket.request)
        await left.pop(0)(socket)

    async with serve(handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        tokens = iter("abc")
        session = Session(api=f"http://127.0.0.1:{port}/api/v1", refresh_token="r")
        api = SimpleNamespace(session=session, tenant_id="T", access_token=lambda: next(tokens))
        yield DashboardFeed(api, "a.>", 0.5), requests


def welcome(*frames, code, reason=""):
    async def follow(socket):
        await socket.send(json.dumps({"type": "welcome"}))
        subscribed = json.loads(await socket.recv())
        assert (
            subscribed.items() >= {"type": "subscribe_topic_preview", "pattern": "a.>", "sample": 0.5}.items()
        )
        for frame in frames:
            await socket.send(json.dumps(frame))
        await socket.close(code, reason)

    return follow


async def read(feed):
    """The types of the frames, and the failure that ended them."""
    types = []
    try:
        async with asyncio.timeout(5):
            async for frame in feed.frames():
                types += (frame["type"],)
    except Failure as failure:
        return types, failure
    raise AssertionError(types)


async def test_feed_goes_on_after_losses_with_a_new_token_until_it_is_refused():
    async with scripted(
        welcome(MESSAGE, {"type": "reconnect", "retry_after_ms": 1}, code=1012),
        welcome(MESSAGE, {"type": "reconnect", "retry_after_ms": 1}, code=4401, reason="token_expired"),
        welcome(MESSAGE, code=4403, reason="membership_ended"),
    ) as (feed, requests):
        types, failure = await read(feed)
    assert types.count("topic_preview_message") == 3
    assert (failure.exit_code, failure.code) == (ExitCode.DENIED, "membership_ended")
    assert [each.headers["Authorization"] for each in requests] == ["Bearer a", "Bearer b", "Bearer c"]
    assert {each.path for each in requests} == {"/api/v1/ws/dashboard?tenant_id=T"}


async def test_rejected_pattern_is_a_failure():
    error = {"type": "error", "code": "bad_subject", "message": "The subject is malformed", "id": "preview"}
    async with scripted(welcome(error, code=1000)) as (feed, _):
        types, failure = await read(feed)
    assert (types, failure.code) == (["welcome"], "bad_subject")


async def test_first_connection_is_tried_once():
    async def refuse(socket):
        await socket.close(1013, "server_busy")

    async with scripted(refuse) as (feed, _):
        _, failure = await read(feed)
    assert failure.exit_code is ExitCode.UNAVAILABLE
    _, failure = await read(feed)
    assert (failure.exit_code, "cannot reach" in str(failure)) == (ExitCode.UNAVAILABLE, True)
