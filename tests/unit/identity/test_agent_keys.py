"""Public keys of agents: accepted formats, rejected keys, and signatures."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.contracts.identity.agents import AgentKeyType
from artcafe_common.contracts.tenancy.agents import CreateAgent
from artcafe_gateway.openapi.examples import build_example
from artcafe_identity.agent_keys import InvalidAgentKeyError, describe, generate, load, verify
from support.api_examples import SSH_PUBLIC_KEY
from support.weak_keys import (
    CONSTANT_SIGNATURE,
    mixed_order_encoding,
    small_order_encodings,
    to_openssh,
    to_pem,
)

CHALLENGE = b"ch_7d0c3c6e"


@pytest.fixture(scope="module")
def rsa_key():
    return rsa.generate_private_key(65537, 2048)


def forms(private):
    public = private.public_key()
    pem = serialization.Encoding.PEM
    openssh = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    yield openssh
    yield f"{openssh} me@home\n"
    spki = public.public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    yield spki
    yield spki.replace("\n", "\r\n")
    if isinstance(private, rsa.RSAPrivateKey):
        yield public.public_bytes(pem, serialization.PublicFormat.PKCS1).decode()


@pytest.mark.parametrize("kind", list(AgentKeyType))
def test_all_encodings_of_a_key_are_equal(kind, rsa_key):
    private = rsa_key if kind is AgentKeyType.RSA else ed25519.Ed25519PrivateKey.generate()
    first, *others = [describe(load(text)) for text in forms(private)]
    assert all(other == first for other in others)
    assert first.key_type is kind
    assert len(first.public_key.split()) == 2
    blob = base64.b64decode(first.public_key.split()[1])
    wanted = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    assert first.fingerprint == f"SHA256:{wanted}"


def test_no_other_kind_of_key_is_taken():
    for private in (
        rsa.generate_private_key(65537, 1024),
        ec.generate_private_key(ec.SECP256R1()),
        dsa.generate_private_key(2048),
        ed448.Ed448PrivateKey.generate(),
    ):
        text = (
            private.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )
        with pytest.raises(InvalidAgentKeyError):
            load(text)


def test_expensive_rsa_key_is_rejected():
    huge = rsa.RSAPublicNumbers(65537, (1 << 16383) + 1).public_key()
    slow = rsa.RSAPublicNumbers((1 << 2000) + 1, (1 << 2047) + 1).public_key()
    for public in (huge, slow):
        text = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        with pytest.raises(InvalidAgentKeyError):
            load(text.decode())


@given(st.text() | st.binary().map(lambda raw: f"ssh-rsa {base64.b64encode(raw).decode()}"))
def test_arbitrary_text_is_not_a_key(text):
    with pytest.raises(InvalidAgentKeyError):
        load(text)


def test_private_key_is_rejected_and_not_echoed():
    pem = generate(AgentKeyType.ED25519)[1]
    with pytest.raises(InvalidAgentKeyError) as error:
        load(pem)
    assert pem.split("\n")[1] not in str(error.value)


def test_rsa_signature_must_be_pkcs1_with_sha256(rsa_key):
    public = rsa_key.public_key()
    signature = rsa_key.sign(CHALLENGE, padding.PKCS1v15(), hashes.SHA256())
    digest = hashlib.sha256(CHALLENGE).digest()
    # The published SDK signs the digest; the signature is the same.
    assert rsa_key.sign(digest, padding.PKCS1v15(), Prehashed(hashes.SHA256())) == signature
    assert verify(public, CHALLENGE, signature)
    for wrong in (
        rsa_key.sign(CHALLENGE, padding.PKCS1v15(), hashes.SHA512()),
        rsa_key.sign(CHALLENGE, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()),
        rsa_key.sign(digest, padding.PKCS1v15(), hashes.SHA256()),
        signature[:-1],
        b"",
        signature + b"\0",
    ):
        assert not verify(public, CHALLENGE, wrong)
    assert not verify(public, CHALLENGE + b"x", signature)


@pytest.mark.parametrize("kind", list(AgentKeyType))
def test_generated_key_pair_matches(kind):
    key, pem = generate(kind)
    private = serialization.load_pem_private_key(pem.encode(), None)
    assert describe(private.public_key()) == key
    assert key.key_type is kind
    if kind is AgentKeyType.ED25519:
        assert verify(load(key.public_key), CHALLENGE, private.sign(CHALLENGE))
        assert not verify(load(key.public_key), CHALLENGE, b"\0" * 64)
        assert not verify(load(key.public_key), b"other", private.sign(CHALLENGE))


SMALL_ORDER = small_order_encodings()


def test_small_order_encodings_are_complete():
    # Eight points; five of them have a second or more encodings.
    assert len(SMALL_ORDER) == 14
    accepted = 0
    for raw in SMALL_ORDER:
        key = ed25519.Ed25519PublicKey.from_public_bytes(raw)
        accepted += verify(key, CHALLENGE, CONSTANT_SIGNATURE)
    # The check matters: without it, one signature is valid for every challenge.
    assert accepted >= 4


@pytest.mark.parametrize("raw", SMALL_ORDER, ids=lambda raw: raw.hex()[:8] + raw.hex()[-2:])
@pytest.mark.parametrize("encode", [to_openssh, to_pem])
def test_key_of_small_order_is_rejected(raw, encode):
    with pytest.raises(InvalidAgentKeyError):
        load(encode(raw))


@pytest.mark.parametrize("encode", [to_openssh, to_pem])
def test_key_that_no_private_key_has_is_rejected(encode):
    raw = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    assert load(encode(raw)).public_bytes_raw() == raw
    off_curve = (2).to_bytes(32, "little")
    for wrong in (mixed_order_encoding(raw), off_curve, b"\xff" * 32):
        with pytest.raises(InvalidAgentKeyError):
            load(encode(wrong))


def security_keys():
    raw = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    yield to_openssh(raw, b"sk-ssh-ed25519@openssh.com", b"ssh:")
    point = ec.generate_private_key(ec.SECP256R1()).public_key()
    encoded = point.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    yield to_openssh(b"nistp256", b"sk-ecdsa-sha2-nistp256@openssh.com", encoded, b"ssh:")


@pytest.mark.parametrize("text", list(security_keys()), ids=lambda text: text.split()[0])
@pytest.mark.parametrize("comment", ["", " me@home"])
def test_security_key_is_rejected(text, comment):
    with pytest.raises(InvalidAgentKeyError, match="security key"):
        load(text + comment)


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\r", " ", "\t", " me@home\n", " me@home "])
def test_two_keys_are_rejected(separator, rsa_key):
    first, second = next(forms(ed25519.Ed25519PrivateKey.generate())), next(forms(rsa_key))
    for one, other in ((first, second), (second, first), (first, first)):
        with pytest.raises(InvalidAgentKeyError, match="More than one"):
            load(one + separator + other)


def test_two_pem_keys_are_rejected(rsa_key):
    pems = [list(forms(rsa_key))[2], list(forms(ed25519.Ed25519PrivateKey.generate()))[2]]
    for text in ("".join(pems), "".join(reversed(pems)), pems[0] * 2):
        with pytest.raises(InvalidAgentKeyError, match="More than one"):
            load(text)


@pytest.mark.parametrize(
    "comment", ["me@home", "Zoë's Schlüssel", "私の鍵 🔑", "ssh-ed25519 is what it is", "a  b"]
)
def test_comment_may_be_any_text(comment):
    bare = next(forms(ed25519.Ed25519PrivateKey.generate()))
    assert describe(load(f"{bare} {comment}")) == describe(load(bare))


@pytest.mark.parametrize("text", [SSH_PUBLIC_KEY, build_example(CreateAgent)["public_key"]])
def test_documented_keys_are_accepted(text):
    assert describe(load(text)).public_key == text


def test_options_of_authorized_keys_are_rejected():
    bare = next(forms(ed25519.Ed25519PrivateKey.generate()))
    with pytest.raises(InvalidAgentKeyError):
        load(f'command="ls" {bare}')


def test_rsa_key_with_an_even_modulus_is_rejected():
    public = rsa.RSAPublicNumbers(65537, (1 << 2047) + 2).public_key()
    text = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    with pytest.raises(InvalidAgentKeyError):
        load(text.decode())
