"""Signatures of clients on direct NATS messages: what proves a sender, and what looking up the key costs."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from artcafe_common.broker.message_signatures import SIGNATURE_HEADER, sign_message
from artcafe_common.broker.nkeys import KeyKind, create_key_pair
from artcafe_common.bus.errors import ServiceUnavailable
from artcafe_common.contracts.identity.clients import Permissions
from artcafe_common.contracts.tenancy.clients import Client, ClientNotFound, ClientStatus, GetClient
from artcafe_common.contracts.tenancy.events import ClientChanged, ClientRevoked, RevocationReason
from artcafe_gateway.delivery import held_messages
from artcafe_gateway.delivery.client_keys import ClientKeys
from artcafe_gateway.delivery.client_signatures import MAX_AGE_MS, ClientSignatureVerifier
from artcafe_gateway.delivery.fanout import BrokerSubscription, RenderGroup
from artcafe_gateway.delivery.message import BrokerMessage
from artcafe_gateway.delivery.signatures import MessageSigner
from support.fakes.bus import FakeBus
from support.fakes.ids import CLIENT, OTHER_CLIENT, SIGNING_KEYS, TENANT
from support.header_blocks import encode_headers

SUBJECT = f"{TENANT}.a"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Gateway:
    """A gateway's subscription, and a tenancy that knows the client CLIENT."""

    def __init__(self, rate=0):
        self.key = create_key_pair(KeyKind.USER)
        self.status = ClientStatus.ONLINE
        self.bus = FakeBus({GetClient: self._get})
        self.keys = ClientKeys(self.bus)
        verifier = ClientSignatureVerifier(TENANT, self.keys, rate)
        self.signer = MessageSigner(SIGNING_KEYS, TENANT, clients=verifier)
        self.subscription = BrokerSubscription(self.signer, RenderGroup)
        self.shown = []
        self.subscription.add_listener(self)

    def _get(self, command):
        if command.client_id != CLIENT:
            return ClientNotFound()
        return Client(
            client_id=CLIENT,
            tenant_id=TENANT,
            name="robot",
            nkey_public=self.key.public,
            permissions=Permissions(),
            status=self.status,
            last_seen=None,
            metadata={},
            created_at=NOW,
            updated_at=NOW,
        )

    def deliver(self, message):
        self.shown.append((message.data.decode(), message.sender))

    def receive(self, payload=b"1", headers=None, *, subject=SUBJECT, client_id=CLIENT, key=None, **when):
        """A message arrives; with a signature, unless `headers` are given."""
        if headers is None:
            headers = sign_message(key or self.key, client_id, SUBJECT, payload, **when)
        self.subscription.on_message(subject, "", payload, encode_headers(headers) if headers else b"")

    async def settle(self):
        for _ in range(5):
            await asyncio.sleep(0)

    async def shows(self, *expected):
        await self.settle()
        shown, self.shown = self.shown, []
        return shown == list(expected)

    @property
    def lookups(self):
        return self.bus.count(GetClient)


@pytest.fixture
async def gateway():
    gateway = Gateway()
    await gateway.keys.subscribe()
    return gateway


async def test_signed_message_shows_its_sender_in_its_place(gateway):
    gateway.receive(b"1")
    gateway.receive(b"2", {})
    gateway.receive(b"3", client_id=OTHER_CLIENT)
    assert not gateway.shown
    assert await gateway.shows(("1", CLIENT), ("2", None), ("3", None))
    gateway.receive(b"4")
    assert gateway.shown == [("4", CLIENT)]
    assert gateway.keys.results == {"verified": 2, "unknown_client": 1}


def _header(gateway, **fields):
    return sign_message(gateway.key, CLIENT, SUBJECT, b"1", **fields)[SIGNATURE_HEADER]


@pytest.mark.parametrize(
    "forge",
    [
        lambda gateway: gateway.receive(b"2", {SIGNATURE_HEADER: _header(gateway)}),
        lambda gateway: gateway.receive(subject=f"{TENANT}.b"),
        lambda gateway: gateway.receive(key=create_key_pair(KeyKind.USER)),
        lambda gateway: gateway.receive(
            headers={SIGNATURE_HEADER: _header(gateway).replace(CLIENT, OTHER_CLIENT)}
        ),
        lambda gateway: gateway.receive(headers={SIGNATURE_HEADER: _header(gateway).replace("v1", "v2")}),
        lambda gateway: gateway.receive(headers={SIGNATURE_HEADER: _header(gateway)[:-1]}),
        lambda gateway: gateway.receive(headers={SIGNATURE_HEADER: ""}),
        lambda gateway: gateway.receive(time_ms=time.time_ns() // 1_000_000 - MAX_AGE_MS - 1000),
        lambda gateway: gateway.receive(time_ms=time.time_ns() // 1_000_000 + MAX_AGE_MS + 1000),
    ],
)
async def test_signature_of_anything_else_proves_nothing(gateway, forge):
    forge(gateway)
    await gateway.settle()
    ((_, sender),) = gateway.shown
    assert sender is None
    assert sum(gateway.keys.results.values()) == 1
    assert not gateway.keys.results["verified"]


async def test_key_is_looked_up_once_and_only_for_signed_messages_of_now(gateway):
    gateway.receive(headers={})
    gateway.receive(headers={"Trace": "1"})
    gateway.receive(time_ms=1_600_000_000_000)
    await gateway.settle()
    assert gateway.lookups == 0
    for client_id in (CLIENT, OTHER_CLIENT) * 10:
        gateway.receive(client_id=client_id)
    await gateway.settle()
    gateway.receive(client_id=OTHER_CLIENT)
    assert gateway.lookups == 2
    assert len(gateway.shown) == 24


async def test_replaced_key_and_suspended_client_are_not_shown_any_more(gateway):
    gateway.receive()
    assert await gateway.shows(("1", CLIENT))
    old, gateway.key = gateway.key, create_key_pair(KeyKind.USER)
    revoked = ClientRevoked(
        tenant_id=TENANT, client_id=CLIENT, nkey_public=old.public, reason=RevocationReason.KEY_REGENERATED
    )
    await gateway.bus.emit(revoked)
    gateway.receive(key=old)
    gateway.receive()
    assert await gateway.shows(("1", None), ("1", CLIENT))
    gateway.status = ClientStatus.SUSPENDED
    await gateway.bus.emit(revoked)
    gateway.receive()
    assert await gateway.shows(("1", None))
    gateway.status = ClientStatus.OFFLINE
    await gateway.bus.emit(ClientChanged(tenant_id=TENANT, client_id=CLIENT, nkey_public=gateway.key.public))
    gateway.receive()
    assert await gateway.shows(("1", CLIENT))


async def test_client_that_is_created_during_its_lookup_is_found_by_the_next(gateway):
    gateway.bus.hold(GetClient)
    gateway.receive()
    await gateway.settle()
    gateway.bus.replies[GetClient], answer = ClientNotFound(), gateway.bus.replies[GetClient]
    gateway.bus.release(GetClient)
    await gateway.bus.emit(ClientChanged(tenant_id=TENANT, client_id=CLIENT, nkey_public=gateway.key.public))
    assert await gateway.shows(("1", None))
    gateway.bus.replies[GetClient] = answer
    gateway.receive()
    assert await gateway.shows(("1", CLIENT))


async def test_nothing_waits_while_keys_cannot_be_looked_up(gateway):
    gateway.bus.replies[GetClient] = ServiceUnavailable()
    gateway.receive()
    assert await gateway.shows(("1", None))
    gateway.receive()
    assert gateway.shown == [("1", None)]
    assert gateway.lookups == 1


async def test_messages_that_wait_for_a_key_are_bounded_and_stay_in_order(gateway, monkeypatch):
    monkeypatch.setattr(held_messages, "MAX_MESSAGES", 3)
    gateway.bus.hold(GetClient)
    gateway.receive(b"0")
    await gateway.settle()
    for number in (1, 2):
        gateway.receive(b"%d" % number, {})
    assert not gateway.shown
    gateway.receive(b"3", {})
    assert gateway.shown == [("0", None), ("1", None), ("2", None), ("3", None)]
    gateway.bus.release(GetClient)
    gateway.receive(b"4")
    assert await gateway.shows(("0", None), ("1", None), ("2", None), ("3", None), ("4", CLIENT))


async def test_new_subscriber_receives_nothing_that_arrived_before(gateway):
    class Listener:
        received = 0

        def deliver(self, _message):
            self.received += 1

    gateway.bus.hold(GetClient)
    gateway.receive()
    late = Listener()
    gateway.subscription.add_listener(late)
    gateway.bus.release(GetClient)
    assert await gateway.shows(("1", None))
    assert late.received == 0


async def test_rate_of_verifications_is_limited_and_repeated_ones_are_free():
    gateway = Gateway(rate=1)
    first = sign_message(gateway.key, CLIENT, SUBJECT, b"1")
    gateway.receive(headers=first)
    await gateway.settle()
    for number in range(150):
        gateway.receive(b"%d" % number)
    assert gateway.keys.results["limited"] > 0
    before = gateway.keys.results["limited"]
    gateway.receive(headers=first)
    assert gateway.keys.results["limited"] == before
    assert gateway.shown[-1] == ("1", CLIENT)


async def test_lookups_of_one_organization_are_limited(gateway):
    for number in range(300):
        gateway.receive(client_id=f"01JDB7Z8Q4T5W6X7Y8Z9A0{number:04d}")
    await gateway.settle()
    assert gateway.lookups < 250
    assert {sender for _, sender in gateway.shown} == {None}


async def test_stored_message_is_verified_for_the_time_at_which_it_was_stored(gateway):
    gateway.receive()
    await gateway.settle()
    signed_at = datetime(2026, 1, 1, tzinfo=UTC)
    headers = sign_message(gateway.key, CLIENT, SUBJECT, b"1", time_ms=int(signed_at.timestamp() * 1000))
    for delay_s, sender in ((20, CLIENT), (40, None)):
        stored_at = signed_at + timedelta(seconds=delay_s)
        block = encode_headers({**headers, "Other": "1"})
        message = BrokerMessage(gateway.signer, SUBJECT, "", b"1", block, stored_at)
        assert (message.sender, message.headers) == (sender, {"Other": "1"})
