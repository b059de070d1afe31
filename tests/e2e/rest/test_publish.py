"""Publishing to a channel over REST."""

import asyncio
import json

from support.problems import assert_problem

MIB = 1024 * 1024


async def test_rest_publish_accepts_any_json_and_rejects_invalid_headers(api):
    tenant, channel = api.tenant, api.ids["channel_id"]
    client = await tenant.create_client()
    socket, nc = await client.connect_websocket(), await client.connect_nats()
    await socket.subscribe(channel=channel)
    received = asyncio.Queue()
    await nc.subscribe(f"tenant.{tenant.id}.channel.{channel}", cb=received.put)
    await nc.flush()
    route = "POST /channels/{channel_id}/messages"
    for content in (
        b"null",
        b"true",
        b"0",
        b"1e999",
        b'"text"',
        b"[]",
        b"{}",
        b'{"a":1,"a":2}',
        b'{"headers":{}}',
        b'{"data":1,"more":2,"headers":5}',
        b"[" * 500 + b"]" * 500,
        b'"' + b"x" * (1_000_000 - 2) + b'"',
    ):
        assert (await api.send(route, content)).status_code == 202, content[:50]
        message = await asyncio.wait_for(received.get(), 5)
        assert message.data == content
        assert message.headers.keys() == {"Artcafe-From", "Artcafe-Auth", "Artcafe-Message-Id", "Nats-Msg-Id"}
        assert (await socket.receive("message"))["subject"] == message.subject
    valid = {"X-A": "ü 😀", "x-b": "", "X_C": "a: b", "Content-Type": "text/plain"}
    envelope = json.dumps({"data": {"n": 1}, "headers": valid}).encode()
    assert (await api.send(route, envelope)).status_code == 202
    message = await asyncio.wait_for(received.get(), 5)
    assert json.loads(message.data) == (await socket.receive("message"))["data"] == {"n": 1}
    assert {name: message.headers.get(name) for name in valid} == valid
    for content in (b"", b" ", b"nonsense", b"\xff", b'"\xff"', b'{"data":', b"1 2", b"[" * 100_000):
        assert_problem(await api.send(route, content), 400, "invalid_request", ["body"])
    for headers in (
        5,
        None,
        "x",
        [],
        {"a": 1},
        {"a": None},
        {"a": ["b"]},
        {"": "x"},
        {"a b": "x"},
        {"a:b": "x"},
        {"a\r\nEvil": "x"},
        {"ü": "x"},
        {"a": "x\r\nEvil: 1"},
        {"a": "\0"},
        {"a": "\x7f"},
        {"a": "\u2028"},
        {"Nats-Msg-Id": "x"},
        {"nats-expected-stream": "x"},
        {"Artcafe-From": "somebody"},
        {"ARTCAFE-MESSAGE-ID": "x"},
        {"x" * 129: "x"},
        {"a": "x" * 5000},
        {f"h{number}": "x" for number in range(33)},
    ):
        response = await api.send(route, json.dumps({"data": 1, "headers": headers}).encode())
        assert_problem(response, 400, "bad_headers", ["headers"])
    for size in (1_000_001, MIB):
        content = b'"' + b"x" * (size - 2) + b'"'
        assert_problem(await api.send(route, content), 413, "payload_too_large")
    assert_problem(await api.send(route, b'"' + b"x" * MIB + b'"'), 413, "body_too_large")
    assert_problem(await api.send(route, b" " * (3 * MIB)), 413, "body_too_large")
    assert received.empty()
    await socket.assert_no_frame("message")
