"""Records the commands that the services send each other."""

from collections import defaultdict

from artcafe_common.broker.connect import connect
from artcafe_common.bus.client import parse_caller
from support.cleanup import close_after_test

SERVICES = ("gateway", "identity", "tenancy", "presence", "metering")


class CommandSpy:
    """Every command on the broker, grouped by the id of the request that caused it."""

    def __init__(self):
        self._connections = []
        self._commands = defaultdict(list)

    @classmethod
    async def attach(cls, stack):
        spy = cls()
        for service in SERVICES:
            # A service's credentials allow it to subscribe only to its own commands.
            keys = stack.directory / "keys"
            nc = await connect(stack.environ()["NATS_URL"], keys / f"{service}.creds", name="spy")
            close_after_test(nc, nc.close)
            await nc.subscribe(f"artcafe.{service}.>", cb=spy._record)
            spy._connections.append(nc)
        await spy.flush()
        return spy

    async def flush(self):
        """Wait until every command sent so far is recorded."""
        for nc in self._connections:
            await nc.flush()

    async def _record(self, message):
        caller = parse_caller(message)
        if caller is None:
            return
        command = message.subject, message.data.decode()
        # A command that is not answered in time is sent again.
        if command not in self._commands[caller.request_id]:
            self._commands[caller.request_id].append(command)

    def subjects_of_request(self, request_id, *, excluding=()):
        """The subjects of a request's commands, except those whose payload contains a text in `excluding`."""
        commands = self._commands.get(request_id, ())
        return sorted(subject for subject, data in commands if not any(text in data for text in excluding))

    def subjects_containing(self, text):
        """The subjects of all commands whose payload contains a text."""
        return sorted(
            subject for commands in self._commands.values() for subject, data in commands if text in data
        )
