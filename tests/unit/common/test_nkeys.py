"""NKeys: creation, strict parsing and signatures."""

import base64
import inspect

import nkeys as package
import pytest

from artcafe_common.broker.nkeys import (
    InvalidNKeyError,
    KeyKind,
    KeyPair,
    create_key_pair,
    decode_public,
    decode_signature,
    verify,
)
from support.weak_keys import CONSTANT_SIGNATURE, small_order_encodings

PREFIXES = {KeyKind.USER: "SU", KeyKind.ACCOUNT: "SA", KeyKind.OPERATOR: "SO", KeyKind.SERVER: "SN"}


@pytest.mark.parametrize("kind", KeyKind)
def test_created_key_pair_is_valid(kind):
    pairs = [create_key_pair(kind) for _ in range(20)]
    assert len({pair.seed for pair in pairs}) == 20
    for pair in pairs:
        assert len(pair.seed) == 58
        assert pair.seed.startswith(PREFIXES[kind])
        assert pair.public.startswith(PREFIXES[kind][1])
        assert len(decode_public(pair.public, kind)) == 32
        assert KeyPair(pair.seed).public == pair.public
        prefix, raw = package.decode_seed(bytearray(pair.seed.encode()))
        assert (prefix, len(raw)) == (kind, 32)
        assert pair.seed not in repr(pair)


def test_signature_is_valid_only_for_its_key_and_data():
    pair, other = create_key_pair(KeyKind.USER), create_key_pair(KeyKind.USER)
    signature = pair.sign(b"nonce")
    assert verify(pair.public, KeyKind.USER, b"nonce", signature)
    assert not verify(pair.public, KeyKind.ACCOUNT, b"nonce", signature)
    assert not verify(pair.public, KeyKind.USER, b"other", signature)
    assert not verify(other.public, KeyKind.USER, b"nonce", signature)
    for bad in (b"", signature[:-1], signature + b"\0", bytes(64)):
        assert not verify(pair.public, KeyKind.USER, b"nonce", bad)
    for public in (
        "",
        "U",
        "é" * 56,
        pair.public.lower(),
        pair.seed,
        pair.public + "=",
        " " + pair.public[1:],
    ):
        assert not verify(public, KeyKind.USER, b"nonce", signature)


def test_public_key_of_another_kind_or_with_a_typo_is_rejected():
    pair = create_key_pair(KeyKind.USER)
    with pytest.raises(InvalidNKeyError):
        decode_public(pair.public, KeyKind.ACCOUNT)
    for position in range(1, 56):
        wrong = "A" if pair.public[position] != "A" else "B"
        with pytest.raises(InvalidNKeyError):
            decode_public(pair.public[:position] + wrong + pair.public[position + 1 :], KeyKind.USER)


@pytest.mark.parametrize("raw", small_order_encodings(), ids=lambda raw: raw.hex()[:8] + raw.hex()[-2:])
def test_public_key_of_small_order_is_rejected(raw):
    body = bytes([KeyKind.USER]) + raw
    public = base64.b32encode(body + package.crc16(bytearray(body)).to_bytes(2, "little")).decode()
    with pytest.raises(InvalidNKeyError):
        decode_public(public, KeyKind.USER)
    assert not verify(public, KeyKind.USER, b"nonce", CONSTANT_SIGNATURE)


def test_invalid_seed_is_rejected():
    pair = create_key_pair(KeyKind.USER)
    for seed in (
        "",
        "SU",
        "x" * 58,
        pair.seed.lower(),
        pair.seed[:-1],
        pair.seed + "A",
        pair.public,
        "é" * 58,
        f"{pair.seed}\n",
    ):
        with pytest.raises(InvalidNKeyError):
            KeyPair(seed)


def test_seed_with_a_typo_is_rejected():
    pair = create_key_pair(KeyKind.USER)
    for position in range(4, 56):
        wrong = "A" if pair.seed[position] != "A" else "B"
        with pytest.raises(InvalidNKeyError):
            KeyPair(pair.seed[:position] + wrong + pair.seed[position + 1 :])


def test_signature_is_decoded_from_both_base64_alphabets():
    raw = bytes(range(192, 256))
    standard, url = base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()
    for text in (standard, url, standard.rstrip("="), url.rstrip("=")):
        assert decode_signature(text) == raw
    for text in ("%%%", "é", "a", "\0", "AA AA", "AAAA\n"):
        assert decode_signature(text) == b""


def test_nkeys_package_is_not_monkeypatched():
    for name, thing in vars(package).items():
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert thing.__module__.startswith("nkeys"), name
