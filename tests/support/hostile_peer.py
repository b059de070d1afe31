"""Hypothesis strategies for the bytes that a hostile peer writes to a WebSocket.

A step is a tuple; `write_step` carries it out.
"""

import asyncio
import json
import struct

from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from support.api_examples import CLIENT_FRAMES, DASHBOARD_FRAMES

MIB = 1024 * 1024
TABLES = {"client": CLIENT_FRAMES, "dashboard": DASHBOARD_FRAMES}
TABLES["agent"] = {
    **CLIENT_FRAMES,
    "subscribe": {"subjects": ["fuzz.a", "fuzz.b"]},
    "publish": {"topic": "fuzz.a", "message": {"payload": 1}},
}
_NAMES = st.sampled_from(
    [
        "fuzz.a",
        "fuzz.b",
        "fuzz.*",
        "fuzz.>",
        "{tid}.fuzz.a",
        "tenant.{tid}.fuzz.a",
        "tenant.{tid}.channel.{channel}",
        "agents.{tid}.x",
        "{other}.x",
        "tenant.{other}.channel.x",
        "tenant.{other}.>",
        "$SYS.>",
        "$JS.API.INFO",
        "_INBOX.x",
        "_REPUBLISH.>",
        "_heartbeat.{tid}.x",
        "",
        "a b",
        "a..b",
        ".a",
        "a.",
        "a.>.b",
        "a*",
        "a\x00b",
        "a\r\nPUB x 0\r\n\r\n",
        "\u202e",
        "x" * 256,
        "a." * 200 + "a",
    ]
)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_FIELDS = {
    "subject": _NAMES,
    "subjects": st.lists(_NAMES, max_size=20),
    "channel": st.sampled_from(["{channel}", "nothing", "", "a.b", "{other}"]),
    "channel_id": st.sampled_from(["{channel}", "nothing", "", "{other}"]),
    "topic": _NAMES,
    "pattern": _NAMES,
    "since": st.sampled_from([1, 10**30, -1, "2026-01-01T00:00:00Z", "yesterday", 5]),
    "last": st.sampled_from([0, 1, 10_000, -1, 10**9, "1"]),
    "id": st.sampled_from([1, "a", "a", "x" * 128, "x" * 129, 2**63, None, True, {}]),
    "data": _JSON,
    "timeout_ms": st.sampled_from([1, 50, 0, 60_001, "1"]),
    "headers": st.dictionaries(st.text(max_size=8), st.text(max_size=8) | st.integers(), max_size=3),
    "sample": st.sampled_from([0.5, 0, 2, "x"]),
    "nkey": st.text(max_size=60),
    "signature": st.text(max_size=60),
    "nonce": st.text(max_size=20),
}
# Texts that a generator of valid JSON does not produce.
_MALFORMED_TEXTS = st.sampled_from(
    [
        b"",
        b" ",
        b"null",
        b"{",
        b'{"type":"ping"',
        b'{"type":"ping"}{"type":"ping"}',
        b'{"type":"ping","type":"publish"}',
        b'{"type":"publish","type":"ping","subject":"fuzz.a"}',
        b'{"type":"\\ud800"}',
        b'{"type":"ping","x":"\\udfff\\ud800"}',
        b'{"type":"ping","x":1e999}',
        b'{"type":"ping","x":NaN}',
        b'{"type":"publish","subject":"fuzz.a","data":' + b"9" * 5000 + b"}",
        b"\xff\xfe\x00",
        b'{"type":"ping","x":"\xed\xa0\x80"}',
        b"\xef\xbb\xbf{}",
        b"[" * 10_000,
        b'{"type":"publish","subject":"fuzz.a","data":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"type":"subscribe","subject":"' + b"a" * 100_000 + b'"}',
        b'{"type":"ping",' + b",".join(b'"k%d":1' % n for n in range(20_000)) + b"}",
    ]
)


@st.composite
def _frames(draw, table):
    kind = draw(st.sampled_from(sorted(table)))
    frame = {"type": kind, **table[kind]}
    for name in draw(st.lists(st.sampled_from(sorted(_FIELDS)), max_size=3)):
        frame[name] = draw(_FIELDS[name])
    for name in draw(st.lists(st.sampled_from(sorted(frame)), max_size=1)):
        if draw(st.booleans()):
            del frame[name]
        else:
            frame[name] = draw(_JSON)
    return json.dumps(frame).encode()


def steps(endpoint):
    """Sequences of steps for one socket, and an optional last step that ends the connection."""
    texts = _frames(TABLES[endpoint]) | _MALFORMED_TEXTS | _JSON.map(lambda each: json.dumps(each).encode())
    valid_steps = st.one_of(
        st.tuples(st.just("text"), texts),
        st.tuples(st.just("binary"), texts),
        st.tuples(st.just("fragments"), texts, st.integers(2, 5), st.booleans()),
        st.tuples(st.just("pings"), st.integers(1, 50)),
        st.tuples(st.just("pause"), st.sampled_from([0.0, 0.01])),
    )
    last = st.one_of(
        st.none(),
        st.tuples(st.just("large"), st.sampled_from([MIB - 100, MIB, MIB + 1]), st.booleans()),
        st.tuples(st.just("raw"), st.sampled_from(sorted(INVALID_FRAMES))),
        st.just(("reset",)),
        st.tuples(st.just("half"), texts),
        st.just(("close",)),
    )
    return st.tuples(st.lists(valid_steps, min_size=1, max_size=20), last)


def _masked(opcode, data, *, fin=True):
    return Frame(opcode, data, fin=fin).serialize(mask=True)


# Invalid WebSocket frames, by what is wrong with them.
INVALID_FRAMES = {
    "not masked": Frame(Opcode.TEXT, b'{"type":"ping"}').serialize(mask=False),
    "reserved bits": bytes([0x80 | 0x70 | 1, 0x80, 0, 0, 0, 0]),
    "reserved opcode": bytes([0x83, 0x80, 0, 0, 0, 0]),
    "long control frame": bytes([0x89, 0x80 | 126]) + struct.pack("!H", 200) + b"\0" * 204,
    "fragmented control frame": bytes([0x09, 0x80, 0, 0, 0, 0]),
    "continuation without a start": _masked(Opcode.CONT, b"x"),
    "text frame inside a fragmented message": _masked(Opcode.TEXT, b"{", fin=False)
    + _masked(Opcode.TEXT, b"}"),
    "length of 2^62": bytes([0x81, 0x80 | 127]) + struct.pack("!Q", 2**62) + b"\0" * 8,
    "length with the highest bit set": bytes([0x81, 0x80 | 127]) + struct.pack("!Q", 2**63 + 1) + b"\0" * 8,
    "close with a reserved code": _masked(Opcode.CLOSE, struct.pack("!H", 1005)),
    "close with one byte": _masked(Opcode.CLOSE, b"x"),
    "close with a reason that is not UTF-8": _masked(Opcode.CLOSE, struct.pack("!H", 1000) + b"\xff\xfe"),
    "random bytes": bytes(range(256)) * 4,
}


async def write_step(socket, step, names):
    """Write one step to a socket; `names` replaces the placeholders in it."""
    transport = socket.ws.transport
    kind = step[0]
    if transport.is_closing():
        return
    if kind in ("text", "binary"):
        opcode = Opcode.TEXT if kind == "text" else Opcode.BINARY
        transport.write(_masked(opcode, fill_placeholders(step[1], names)))
    elif kind == "fragments":
        data, count, with_pings = fill_placeholders(step[1], names), step[2], step[3]
        size = max(1, len(data) // count)
        fragments = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
        for number, piece in enumerate(fragments):
            opcode = Opcode.CONT if number else Opcode.TEXT
            transport.write(_masked(opcode, piece, fin=number == len(fragments) - 1))
            if with_pings:
                transport.write(_masked(Opcode.PING, b"between"))
    elif kind == "pings":
        transport.write(_masked(Opcode.PING, b"p" * 100) * step[1])
    elif kind == "pause":
        await asyncio.sleep(step[1])
    elif kind == "large":
        _write_large(transport, step[1], fragmented=step[2])
    elif kind == "raw":
        transport.write(INVALID_FRAMES[step[1]])
    elif kind == "half":
        whole = _masked(Opcode.TEXT, fill_placeholders(step[1], names) + b" ")
        transport.write(whole[: len(whole) // 2])
    elif kind == "reset":
        transport.abort()
    elif kind == "close":
        transport.write(_masked(Opcode.CLOSE, struct.pack("!H", 1000)))
        transport.write(_masked(Opcode.TEXT, b'{"type":"ping"}'))


def _write_large(transport, size, *, fragmented):
    head = b'{"type":"ping","x":"'
    data = head + b"x" * (size - len(head) - 2) + b'"}'
    if not fragmented:
        transport.write(_masked(Opcode.TEXT, data))
        return
    fragments = [data[at : at + 100_000] for at in range(0, len(data), 100_000)]
    for number, piece in enumerate(fragments):
        opcode = Opcode.CONT if number else Opcode.TEXT
        transport.write(_masked(opcode, piece, fin=number == len(fragments) - 1))


def fill_placeholders(data, names):
    """Replace `{name}` in the data."""
    for name, value in names.items():
        data = data.replace(b"{%s}" % name.encode(), value.encode())
    return data
