"""Bytes that a hostile client writes to the broker, drawn from a seeded random generator."""

import json

# {tid}, {client}, {channel}: the attacker's own. {other}, {victim}: of an organization that only watches.
_SUBJECTS = [
    "{tid}.fuzz.a",
    "tenant.{tid}.fuzz.a",
    "tenant.{tid}.channel.{channel}",
    "_heartbeat.{tid}.{client}",
    "_heartbeat.{tid}.{victim}",
    "_heartbeat.{other}.{victim}",
    "_HEARTBEAT.tenant.{tid}.client.{client}",
    "_METRICS.tenant.{tid}.client.{client}",
    "_PRESENCE.tenant.{tid}.client.{client}",
    "_PRESENCE.tenant.{other}.client.{victim}",
    "{other}.calm",
    "tenant.{other}.calm",
    "tenant.{other}.presence.{victim}",
    "tenant.{tid}.presence.{client}",
    "artcafe.ingest.x.heartbeat.{other}.{victim}",
    "artcafe.events.metering.usage_recorded",
    "artcafe.presence.client.get",
    "artcafe.tenancy.client.delete",
    "artcafe.signals.presence.gateway_alive",
    "$SYS.REQ.USER.AUTH",
    "$SYS.REQ.SERVER.PING.CONNZ",
    "$SYS.REQ.ACCOUNT.PING.STATZ",
    "$SYS.ACCOUNT.x.DISCONNECT",
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.DELETE.CHANNELS",
    "$JS.API.STREAM.PURGE.EVENTS",
    "$JS.API.DIRECT.GET.CHANNELS",
    "$JS.ACK.CHANNELS.x.1.1.1.1.1",
    "$JS.FC.CHANNELS.x",
    "$SRV.PING",
    "_INBOX.x",
    "_INBOX_presence.x",
    "_INBOX_gateway.x",
    "_REPUBLISH.tenant.{tid}.channel.{channel}",
    "_GATEWAY.x",
    ">",
    "*",
    "{tid}.>",
    "{other}.>",
    "tenant.*.>",
    "$SYS.>",
    "$JS.>",
    "artcafe.>",
    "_INBOX.>",
    "_INBOX_metering.>",
]
_ODD_BYTES = [
    *(bytes([each]) for each in (0, 1, 7, 8, 11, 12, 13, 27, 28, 127, 133, 160, 255)),
    b"\xff\xfe",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xe2\x80\xae",
    b"..",
    b".",
    b" ",
    b"\t",
    b"*",
    b">",
    b"\x0b7",
    b"\x0c12 5",
    b"\r3",
    b"x" * 300,
    b"a." * 500,
    b"y" * 4100,
]
_INFO = {"acc": "A", "user": "{victim}", "id": 1, "server": "nats-1", "kind": "Client"}
_HEADER_LINES = [
    b"A: b",
    b"A",
    b": b",
    b"A : b",
    b" A: b",
    b"A:\xff\xfe",
    b"\xff: b",
    b"Status: 503",
    b"Status: ok",
    b"Description: x",
    b"Nats-Msg-Id: 1",
    b"Nats-Rollup: all",
    b"Nats-TTL: 1s",
    b"Nats-Expected-Last-Sequence: 99999999999999999999",
    b"Nats-Expected-Stream: \xff",
    b"Nats-Sequence: -1",
    b"Nats-Num-Pending: x",
    b"Nats-Stream: EVENTS",
    b"Nats-Service-Error-Code: 500",
    b"Artcafe-From: {victim}",
    b'Artcafe-Caller: {"request_id":"x","tenant_id":"{other}","actor":"service:gateway"}',
    b"Artcafe-Timeout-Ms: 1",
    b"Nats-Request-Info: " + json.dumps(_INFO).encode(),
    b"Nats-Request-Info : " + json.dumps(_INFO).encode(),
    b"x" * 3000,
]
_PAYLOADS = [
    b"",
    b"{}",
    b"null",
    b"1e999",
    b'{"status":"error"}',
    b'{"type":"disconnect"}',
    b'{"type":1,"ts":[],"status":{}}',
    b'{"status":"\\ud800"}',
    b'{"status":"\xff"}',
    b'{"metrics":' + b"[" * 20_000,
    b"[" * 100_000,
    b'{"client_ids":["{victim}"]}',
    b'{"batch":1000000,"no_wait":true}',
    b'{"last_by_subj":">"}',
    b"\x00" * 100,
    b"9" * 5000,
]
# Lines that a client may not write, or not so.
_LINES = [
    b"HELLO",
    b"PUB",
    b"PUB a",
    b"PUB a b c d",
    b"PUB a -1",
    b"PUB a 99999999",
    b"PUB a 99999999999999999999",
    b"PUB a 3\r\nabcdef",
    b"HPUB a 99 5\r\nabcde",
    b"HPUB a 0 2\r\nhi",
    b"HPUB a x y",
    b"SUB",
    b"SUB a",
    b"SUB > \xff 1",
    b"SUB a " + b"9" * 300,
    b"UNSUB 999999",
    b"UNSUB x",
    b"MSG a 1 2\r\nhi",
    b"RMSG x a 2\r\nhi",
    b"LMSG x a 2\r\nhi",
    b"A+ X",
    b"RS+ X a",
    b'INFO {"server_id":"x"}',
    b"+OK",
    b"-ERR 'Stale Connection'",
    b"PONG",
    b"CONNECT {",
    b'CONNECT {"verbose":true,"pedantic":true}',
    b'CONNECT {"user":"{victim}","nkey":"x","sig":"y"}',
    b'CONNECT {"jwt":"' + b"x" * 5000 + b'"}',
    b"\x00" * 50,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/1.1\r\nHost: x\r\n",
    b"x" * 10_000,
]


class HostileInputs:
    """Draws inputs; each is one thing that a client writes, as (kind, bytes)."""

    def __init__(self, random, names):
        self._random = random
        self._names = {b"{%s}" % name.encode(): value.encode() for name, value in names.items()}

    def _fill(self, data):
        for name, value in self._names.items():
            data = data.replace(name, value)
        return data

    def _subject(self):
        random = self._random
        subject = random.choice(_SUBJECTS).encode()
        if random.random() < 0.4:
            at = random.randrange(len(subject) + 1) if random.random() < 0.5 else len(subject)
            subject = subject[:at] + random.choice(_ODD_BYTES) + subject[at:]
        elif random.random() < 0.1:
            subject += random.randbytes(random.randrange(1, 12)).replace(b"\n", b"")
        return self._fill(subject)

    def _headers(self):
        random = self._random
        first = random.choice(
            [b"NATS/1.0"] * 5 + [b"NATS/1.0 503", b"NATS/1.0 100 Idle", b"NATS/1.0 \xff", b"X", b""]
        )
        lines = [first, *random.choices(_HEADER_LINES, k=random.randrange(5))]
        end = random.choice([b"\r\n\r\n"] * 3 + [b"", b"\r\n", b"zz", b"\n\n", b"\r\n\r\n\r\n"])
        return self._fill(b"\r\n".join(lines) + end)

    def publish(self):
        """A complete PUB or HPUB."""
        random = self._random
        reply = self._subject() if random.random() < 0.5 else b""
        payload = self._fill(random.choice(_PAYLOADS)) if random.random() < 0.9 else random.randbytes(40)
        address = self._subject() + (b" " + reply if reply else b"")
        if random.random() < 0.5:
            return b"PUB %b %d\r\n%b\r\n" % (address, len(payload), payload)
        headers = self._headers()
        total = len(headers) + len(payload)
        return b"HPUB %b %d %d\r\n%b%b\r\n" % (address, len(headers), total, headers, payload)

    def subscribe(self):
        """A SUB, sometimes with a queue group, and its UNSUB."""
        random = self._random
        sid = random.randrange(1, 1000)
        group = (
            b" " + random.choice([b"presence", b"identity", b"metering", b"\xff"])
            if random.random() < 0.4
            else b""
        )
        return b"SUB %b%b %d\r\n" % (self._subject(), group, sid) + (
            b"UNSUB %d\r\n" % sid if random.random() < 0.5 else b""
        )

    def line(self):
        """A protocol line that is wrong in itself, and usually ends the connection."""
        return self._fill(self._random.choice(_LINES)) + self._random.choice([b"\r\n", b"\r\n", b"\n", b""])

    def flood(self):
        """Two hundred small messages, or pings, at once."""
        random = self._random
        one = random.choice([b"PING\r\n", b"PUB %b 1\r\nx\r\n" % self._subject(), self.publish()[:2000]])
        return one * 200

    def draw(self):
        """One input."""
        kind = self._random.choices(
            ["publish", "subscribe", "line", "flood", "half"], weights=[80, 15, 2, 0.2, 2]
        )[0]
        if kind == "half":
            whole = self.publish()
            return kind, whole[: self._random.randrange(len(whole))]
        return kind, getattr(self, kind)()
