"""What the services ask of each other, overheard on the broker."""

from collections import defaultdict

from artcafe_common.broker.connect import connect
from artcafe_common.bus.client import caller_of
from support.actors import closing

SERVICES = ("gateway", "identity", "tenancy", "presence", "metering")


class Spy:
    """Every command that is sent, by the request that caused it: how a refusal comes about, step by step."""

    def __init__(self):
        self._connections = []
        self._heard = defaultdict(list)

    @classmethod
    async def on(cls, stack):
        spy = cls()
        for service in SERVICES:
            # Each service may hear only what is meant for it, and so does whoever has its credentials.
            keys = stack.directory / "keys"
            nc = await connect(stack.environ()["NATS_URL"], keys / f"{service}.creds", name="spy")
            closing(nc, nc.close)
            await nc.subscribe(f"artcafe.{service}.>", cb=spy._hear)
            spy._connections.append(nc)
        await spy.settle()
        return spy

    async def settle(self):
        """Have heard all that was sent until now."""
        for nc in self._connections:
            await nc.flush()

    async def _hear(self, message):
        caller = caller_of(message)
        if caller is not None:
            self._heard[caller.request_id].append((message.subject, message.data.decode()))

    def calls(self, request_id, *, but=()):
        """The subjects of a request's commands; not those that hold one of the texts in `but`."""
        heard = self._heard.get(request_id, ())
        return sorted(subject for subject, data in heard if not any(text in data for text in but))

    def about(self, text):
        """The subjects of all commands that hold a text, whatever caused them."""
        return sorted(subject for some in self._heard.values() for subject, data in some if text in data)
