"""Signatures of messages: only what a gateway wrote, for this subject and about this time, proves a sender."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.key_ring import KeyRing, TimedKey
from artcafe_gateway.delivery.signatures import MAX_AGE_MS, MessageSigner, SubjectSigner, derive_signing_key
from support.fakes.ids import CLIENT, OTHER_CLIENT, OTHER_TENANT, SIGNER, SIGNING_KEYS, TENANT

SUBJECT = f"{TENANT}.a"
BROKER_LINES = b"Nats-Stream: CHANNELS\r\nNats-Sequence: 1\r\n"


def now_ms():
    return time.time_ns() // 1_000_000


def verify(block, *, subject=SUBJECT, payload=b"1", at_ms=None, signer=SIGNER):
    return signer.verify(subject, payload, block, now_ms() if at_ms is None else at_ms)


def sign(headers=None, sender=CLIENT, payload=b"1"):
    return SIGNER.sign(sender, SUBJECT, payload, headers)


@given(st.binary(max_size=50), st.dictionaries(st.text("abc", min_size=1), st.text("xyz :"), max_size=4))
def test_signed_message_has_its_sender_and_headers(payload, headers):
    verified = verify(sign(headers, payload=payload), payload=payload)
    assert verified[0] == CLIENT
    assert verified[1] == b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items())


@given(st.lists(st.binary(max_size=50), max_size=4))
def test_signer_of_a_subject_signs_as_any_other(payloads):
    signer = SubjectSigner(SIGNER, CLIENT, SUBJECT)
    for payload in payloads:
        block = signer.start + signer.sign_end(payload)
        assert len(block) == signer.block_size
        assert verify(block, payload=payload) == (CLIENT, b"")


def test_signer_of_a_subject_follows_the_keys():
    keys = KeyRing.of(b"a" * 32)
    tenant_signer = MessageSigner(keys, TENANT)
    signer = SubjectSigner(tenant_signer, CLIENT, SUBJECT)
    for secret in (b"a" * 32, b"b" * 32):
        keys.replace([TimedKey(secret=secret)])
        block = signer.start + signer.sign_end(b"1")
        assert verify(block, signer=MessageSigner(KeyRing.of(secret), TENANT)) == (CLIENT, b"")


def test_every_gateway_of_the_installation_verifies():
    key = derive_signing_key(b"s" * 32)
    block = MessageSigner(KeyRing.of(key), TENANT).sign(CLIENT, SUBJECT, b"1")
    assert verify(block, signer=MessageSigner(KeyRing.of(derive_signing_key(b"s" * 32)), TENANT)) == (
        CLIENT,
        b"",
    )
    assert verify(block, signer=MessageSigner(KeyRing.of(derive_signing_key(b"t" * 32)), TENANT)) is None


def test_headers_that_the_broker_appends_leave_the_signature_valid():
    for headers in (None, {"A": "b"}):
        assert verify(sign(headers)[:-2] + BROKER_LINES + b"\r\n")[0] == CLIENT


def test_message_of_another_tenant_subject_payload_or_time_is_not_verified():
    block = sign({"A": "b"})
    assert verify(block, signer=MessageSigner(SIGNING_KEYS, OTHER_TENANT)) is None
    assert verify(block, subject=f"{TENANT}.b") is None
    assert verify(block, payload=b"2") is None
    for away, valid in ((MAX_AGE_MS - 1000, True), (MAX_AGE_MS + 1000, False)):
        for at_ms in (now_ms() - away, now_ms() + away):
            assert (verify(block, at_ms=at_ms) is not None) is valid


@pytest.mark.parametrize(
    "forge",
    [
        lambda _: b"",
        lambda _: b"NATS/1.0\r\n\r\n",
        lambda _: b"NATS/1.0\r\nArtcafe-From: %b\r\n\r\n" % CLIENT.encode(),
        lambda block: block.replace(CLIENT.encode(), OTHER_CLIENT.encode()),
        lambda block: block.replace(b"Artcafe-Auth", b"artcafe-auth"),
        lambda block: block.replace(b"NATS/1.0", b"NATS/1.0 503"),
        lambda block: block.replace(b"A: b", b"A: c"),
        lambda block: block.replace(b"A: b\r\n", b""),
        lambda block: block.replace(b"A: b\r\n", b"A: b\r\nB: c\r\n"),
        lambda block: block[:-2] + b"B: c\r\n\r\n",
        lambda block: block[:-2] + b"Nats-Sequence: 1\r\nB: c\r\n\r\n",
        lambda block: block[:-2],
        lambda block: b"NATS/1.0\r\nArtcafe-From: %b\r\n" % OTHER_CLIENT.encode() + block[10:],
        lambda block: b"NATS/1.0\r\nB: c\r\n" + block[10:],
    ],
)
def test_forged_block_is_not_verified(forge):
    assert verify(forge(sign({"A": "b"}))) is None


@given(st.integers(0, 200), st.integers(0, 255))
def test_no_changed_byte_is_verified(position, value):
    block = bytearray(sign({"A": "b"}))
    if position < len(block) and block[position] != value:
        block[position] = value
        assert verify(bytes(block)) is None


@given(st.binary(max_size=200))
def test_any_block_is_read_without_an_error(tail):
    for start in (b"", b"NATS/1.0\r\nArtcafe-From: ", b"NATS/1.0\r\nArtcafe-From: x\r\nArtcafe-Auth: "):
        assert verify(start + tail) is None


def test_too_long_headers_are_not_signed():
    with pytest.raises(ValueError, match="too long"):
        sign({"A": "x" * 70_000})


def test_stored_message_is_verified_with_the_key_of_its_time():
    now = int(time.time())
    old, new = TimedKey(secret=b"o" * 32), TimedKey(secret=b"n" * 32, valid_from=now)
    before = MessageSigner(KeyRing([old]), TENANT)
    after = MessageSigner(KeyRing([old, new]), TENANT)
    block = before.sign(CLIENT, SUBJECT, b"1")
    assert after.verify(SUBJECT, b"1", block, now * 1000) == (CLIENT, b"")
    assert after.verify(SUBJECT, b"1", after.sign(CLIENT, SUBJECT, b"1"), now * 1000) == (CLIENT, b"")
    # The id of a message that is repeated during the change stays the same.
    assert before.unique_id(CLIENT, SUBJECT, "id") == after.unique_id(CLIENT, SUBJECT, "id")


def test_replaced_key_proves_no_sender_of_a_later_message():
    """Whoever has an old key cannot publish with it: the time is the one at which the broker stores the message."""
    now = int(time.time())
    old, new = TimedKey(secret=b"o" * 32), TimedKey(secret=b"n" * 32, valid_from=now - 120)
    forged = MessageSigner(KeyRing([old]), TENANT).sign(CLIENT, SUBJECT, b"1")
    assert MessageSigner(KeyRing([old, new]), TENANT).verify(SUBJECT, b"1", forged, now * 1000) is None
