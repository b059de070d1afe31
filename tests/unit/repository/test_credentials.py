"""What each service's credentials allow at a real broker."""

import asyncio

import nats.errors
import pytest
from nats.aio.client import RawCredentials

from artcafe_common.broker.connect import connect_once
from artcafe_common.bus.client import inbox_prefix
from artcafe_common.installation.permissions import called_services, published_events
from support.ordered_flush import OrderedFlushNats
from support.waiting import eventually

SERVICES = ("gateway", "identity", "metering", "presence", "tenancy")
ON_THE_BUS = [name for name in SERVICES if name != "gateway"]


class CredentialsProbe:
    """A connection with one credentials file, which tries what the broker allows."""

    def __init__(self, nc, errors):
        self._nc = nc
        self._errors = errors

    async def _attempt(self, action, subject):
        self._errors.clear()
        if action == "publish":
            await self._nc.publish(subject, b"{}")
        else:
            await self._nc.subscribe(subject)
        # The broker answers in order: a violation arrives before the reply to the flush.
        await self._nc.flush()
        await asyncio.sleep(0)

    async def subscribe(self, subject):
        subscription = await self._nc.subscribe(subject)
        await self._nc.flush()
        return subscription

    async def publish(self, subject, *, reply):
        await self._nc.publish(subject, b"{}", reply=reply)
        await self._nc.flush()

    async def assert_denied(self, action, subject):
        await self._attempt(action, subject)
        await eventually(
            lambda: any("permissions violation" in str(error).lower() for error in self._errors),
            within=1,
            every=0.01,
        )

    async def assert_allowed(self, action, subject):
        await self._attempt(action, subject)
        assert self._errors == []


class Installation:
    """A broker as `artcafe bootstrap` configures it."""

    def __init__(self, stack):
        self.url = stack.environ()["NATS_URL"]
        self.keys = stack.directory / "keys"
        self._connections = []

    async def connect(self, name):
        """Connect with the credentials file of a service."""
        errors = []

        async def record(error):
            errors.append(error)

        credentials = RawCredentials((self.keys / f"{name}.creds").read_text())

        async def attempt():
            try:
                nc = OrderedFlushNats()
                await nc.connect(
                    self.url,
                    user_credentials=credentials,
                    allow_reconnect=False,
                    error_cb=record,
                    inbox_prefix=inbox_prefix(name.partition("-")[0]),
                )
            except OSError:
                return None
            return nc

        nc = await eventually(attempt)
        self._connections.append(nc)
        return CredentialsProbe(nc, errors)

    async def close(self):
        for nc in self._connections:
            await nc.close()


@pytest.fixture(scope="module")
async def installation(new_stack):
    async with new_stack(servers=("nats",)) as stack:
        installation = Installation(stack)
        yield installation
        await installation.close()


def test_key_files_are_private(installation):
    for path in installation.keys.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("service", [*SERVICES, "admin"])
async def test_service_credentials_allow_only_its_own_subjects(installation, service):
    probe = await installation.connect(service)
    # Neither system subjects nor those of tenants.
    for subject in ("$SYS.>", "$SYS.ACCOUNT.*.CONNECT", ">", "tenant.>", "*.>", "_INBOX.>"):
        await probe.assert_denied("subscribe", subject)
    for subject in ("$SYS.REQ.SERVER.PING", "$SYS.REQ.CLAIMS.UPDATE", "tenant.x.y", "artcafe.ingest.A.b.c.d"):
        await probe.assert_denied("publish", subject)
    for other in {*SERVICES, "admin"} - {service}:
        # Neither the replies nor the commands of another service.
        await probe.assert_denied("subscribe", f"{inbox_prefix(other)}.>")
        await probe.assert_denied("subscribe", f"artcafe.{other}.>")
        if other not in called_services(service) and other in ON_THE_BUS:
            await probe.assert_denied("publish", f"artcafe.{other}.some.command")
    # Each event is published by its own service.
    for noun in {event for each in SERVICES for event in published_events(each)}:
        check = probe.assert_allowed if noun in published_events(service) else probe.assert_denied
        await check("publish", f"artcafe.events.{noun}.happened")
    await probe.assert_allowed("subscribe", f"{inbox_prefix(service)}.>")
    await probe.assert_denied("subscribe", "artcafe.events.>")
    # No service deletes a stream or reads it without its own consumer.
    for subject in (
        "$JS.API.STREAM.DELETE.EVENTS",
        "$JS.API.STREAM.PURGE.EVENTS",
        "$JS.API.STREAM.MSG.GET.EVENTS",
        "$JS.API.CONSUMER.DELETE.EVENTS.tenancy",
    ):
        await probe.assert_denied("publish", subject)
    # Identity alone gives the stream its replicas.
    check = probe.assert_allowed if service == "identity" else probe.assert_denied
    await check("publish", "$JS.API.STREAM.UPDATE.EVENTS")


@pytest.mark.parametrize("service", ON_THE_BUS)
async def test_received_message_gives_no_right_to_publish_on_its_reply_subject(installation, service):
    """A caller chooses the reply subject; only inboxes of callers are in the service's own permissions."""
    probe = await installation.connect(service)
    caller = await installation.connect("gateway")
    subscription = await probe.subscribe(f"artcafe.{service}.x")
    for reply in ("$JS.API.STREAM.DELETE.EVENTS", "artcafe.events.client.revoked.x", f"_INBOX_{service}.x"):
        await caller.publish(f"artcafe.{service}.x", reply=reply)
        assert (await subscription.next_msg(timeout=2)).reply == reply
        await probe.assert_denied("publish", reply)
    await caller.publish(f"artcafe.{service}.x", reply="_INBOX_gateway.x")
    await probe.assert_allowed("publish", "_INBOX_gateway.x")


@pytest.mark.parametrize("service", ["identity", "presence", "metering"])
async def test_system_account_credentials_are_restricted(installation, service):
    probe = await installation.connect(f"{service}-system")
    for subject in ("$SYS.>", ">", "$SYS.REQ.USER.AUTH", "$SYS.SERVER.>"):
        await probe.assert_denied("subscribe", subject)
    for subject in ("$SYS.REQ.SERVER.X.RELOAD", "$SYS.REQ.SERVER.PING.ACCOUNTZ"):
        await probe.assert_denied("publish", subject)
    # Identity changes accounts, and tells which operator a server trusts; the others end connections, over the plan or of floods.
    may_use = {
        "$SYS.REQ.CLAIMS.UPDATE": {"identity"},
        "$SYS.REQ.SERVER.PING.VARZ": {"identity"},
        "$SYS.REQ.SERVER.X.KICK": {"identity", "presence", "metering"},
    }
    for subject, services in may_use.items():
        check = probe.assert_allowed if service in services else probe.assert_denied
        await check("publish", subject)


async def test_callout_credentials_receive_only_the_callout(installation):
    probe = await installation.connect("identity-callout")
    await probe.assert_allowed("subscribe", "$SYS.REQ.USER.AUTH")
    await probe.assert_denied("subscribe", ">")
    await probe.assert_denied("publish", "anything")


async def test_connection_without_credentials_is_rejected(installation):
    # Wait until the broker is running.
    await installation.connect("gateway")

    async def ignore(_error):
        return None

    async def assert_rejected(**options):
        # Not by nats-py's `connect`, which returns normally if the broker closes the connection without a reason.
        with pytest.raises((nats.errors.Error, OSError, TimeoutError)):
            await connect_once(installation.url, error_cb=ignore, **options)

    await asyncio.gather(
        assert_rejected(), assert_rejected(user="a", password="b"), assert_rejected(token="t")
    )
