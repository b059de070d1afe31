"""A JetStream stream of a tenant's channels: direct get and republishing, as nats-server does them."""

from datetime import UTC, datetime, timedelta

import msgspec

from artcafe_common.broker.subjects import HISTORY_STREAM, REPUBLISH_PREFIX
from artcafe_gateway.history.stream import DIRECT_GET_SUBJECT

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
        broker.responders[DIRECT_GET_SUBJECT] = self._direct_get

    def append(self, subject, payload, *, republish=True, headers=b""):
        """Store a message, and republish it unless the gateway is to miss it; returns its `seq`."""
        previous = max((seq for seq, stored, _ in self.stored if stored == subject), default=0)
        self._last_seq += 1
        self.stored.append((self._last_seq, subject, payload))
        if republish:
            self.republish(self._last_seq, previous, headers=headers)
        return self._last_seq

    def republish(self, seq, previous, *, headers=b""):
        subject, payload = next((subject, data) for number, subject, data in self.stored if number == seq)
        lines = b"".join(b"\r\n%b: %b" % (k.encode(), v.encode()) for k, v in self._headers(seq).items())
        block = b"NATS/1.0" + headers + lines + b"\r\nNats-Last-Sequence: %d\r\n\r\n" % previous
        self.broker.route(f"{REPUBLISH_PREFIX}.{subject}", payload, block)

    def delete(self, seq):
        self.stored = [each for each in self.stored if each[0] != seq]

    def _headers(self, seq):
        subject = next(subject for number, subject, _ in self.stored if number == seq)
        return {
            "Nats-Stream": HISTORY_STREAM,
            "Nats-Subject": subject,
            "Nats-Sequence": str(seq),
            "Nats-Time-Stamp": (START + timedelta(seconds=seq)).isoformat(),
        }

    def _run_after_read(self):
        callback, self.after_read = self.after_read, None
        if callback is not None:
            callback()

    def _direct_get(self, payload):
        self.reads += 1
        query = msgspec.json.decode(payload)
        subject = query.get("next_by_subj") or query["last_by_subj"]
        found = [(seq, data) for seq, stored, data in self.stored if stored == subject]
        if "last_by_subj" in query:
            if found:
                seq, data = found[-1]
                yield data, self._headers(seq)
            else:
                yield b"", {"Status": "404"}
            return
        if "start_time" in query:
            start = datetime.fromisoformat(query["start_time"])
            found = [(seq, data) for seq, data in found if START + timedelta(seconds=seq) >= start]
        else:
            found = [(seq, data) for seq, data in found if seq >= query["seq"]]
        if not found:
            self._run_after_read()
            yield b"", {"Status": "404"}
            return
        page = found[: query["batch"]]
        self._run_after_read()
        for index, (seq, data) in enumerate(page):
            yield data, {**self._headers(seq), "Nats-Num-Pending": str(len(found) - index - 1)}
        yield b"", {"Status": "204"}
