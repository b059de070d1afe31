"""A JetStream stream of a tenant's channels, and its direct get, as nats-server does them."""

import json
from datetime import UTC, datetime, timedelta

import msgspec

from artcafe_common.broker.subjects import HISTORY_STREAM
from artcafe_gateway.history.stream import ANY_SUBJECT, DIRECT_GET_SUBJECT, STREAM_INFO_PREFIX

START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeHistory:
    """Stores messages with increasing sequence numbers; the message with `seq` n is stored at START + n s."""

    def __init__(self, broker):
        self.broker = broker
        self.stored = []
        self.reads = 0
        # Called once, after the next page is read and before the gateway receives it.
        self.after_read = None
        self._last_seq = 0
        self._published_blocks = {}
        broker.responders[DIRECT_GET_SUBJECT] = self._direct_get
        broker.responders[f"{STREAM_INFO_PREFIX}.{HISTORY_STREAM}"] = self._stream_info

    def append(self, subject, payload, *, announce=True, headers=b""):
        """Store a published message with its header block; unless `announce`, no connection receives it. Returns `seq`."""
        self._last_seq += 1
        self.stored.append((self._last_seq, subject, payload))
        self._published_blocks[self._last_seq] = headers
        if announce:
            self.announce(self._last_seq)
        return self._last_seq

    def announce(self, seq):
        """Deliver a message to those who are subscribed to its subject, as it was published."""
        subject, payload = next((subject, data) for number, subject, data in self.stored if number == seq)
        self.broker.route(subject, payload, self._published_blocks[seq])

    def delete(self, seq):
        self.stored = [each for each in self.stored if each[0] != seq]

    def evict(self, *, before):
        """Remove the oldest messages, as a stream does that is full."""
        self.stored = [each for each in self.stored if each[0] >= before]

    def recreate(self):
        """An empty stream in place of this one."""
        self.stored, self._last_seq = [], 0

    def _stream_info(self, _payload):
        last_ts = (START + timedelta(seconds=self._last_seq)).isoformat()
        yield json.dumps({"state": {"last_seq": self._last_seq, "last_ts": last_ts}}).encode(), None

    def _stored_block(self, seq, **more):
        """The publisher's header block, and the broker's headers after it."""
        subject = next(subject for number, subject, _ in self.stored if number == seq)
        headers = {
            "Nats-Stream": HISTORY_STREAM,
            "Nats-Subject": subject,
            "Nats-Sequence": seq,
            "Nats-Time-Stamp": (START + timedelta(seconds=seq)).isoformat(),
            **more,
        }
        published = self._published_blocks[seq] or b"NATS/1.0\r\n\r\n"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return published.removesuffix(b"\r\n") + lines.encode() + b"\r\n"

    def _run_after_read(self):
        callback, self.after_read = self.after_read, None
        if callback is not None:
            callback()

    def _direct_get(self, payload):
        self.reads += 1
        query = msgspec.json.decode(payload)
        subject = query.get("next_by_subj") or query.get("last_by_subj", ANY_SUBJECT)
        found = [(seq, data) for seq, stored, data in self.stored if subject in (stored, ANY_SUBJECT)]
        if "batch" not in query and "seq" in query:
            found = [each for each in found if each[0] == query["seq"]]
        if "batch" not in query:
            if found:
                seq, data = found[-1]
                yield data, self._stored_block(seq)
            else:
                yield b"", b"NATS/1.0 404 Message Not Found\r\n\r\n"
            return
        if "start_time" in query:
            start = datetime.fromisoformat(query["start_time"])
            found = [(seq, data) for seq, data in found if START + timedelta(seconds=seq) >= start]
        else:
            found = [(seq, data) for seq, data in found if seq >= query["seq"]]
        if not found:
            self._run_after_read()
            yield b"", b"NATS/1.0 404 No Results\r\n\r\n"
            return
        page = found[: query["batch"]]
        self._run_after_read()
        for index, (seq, data) in enumerate(page):
            yield data, self._stored_block(seq, **{"Nats-Num-Pending": len(found) - index - 1})
        yield b"", b"NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\n\r\n"
