"""Access tokens that must be rejected."""

import functools
import hmac
import json
import time

from joserfc import jws, jwt
from joserfc.jwk import RSAKey

from support.tokens import decode_claims, encode_base64url, provider_key, sign_token


@functools.cache
def other_key():
    return RSAKey.generate_key(2048)


def sign_raw(header, payload):
    """A correctly signed token whose header and payload can be any bytes."""
    protected = header if isinstance(header, bytes) else json.dumps(header).encode()
    first, second = encode_base64url(protected), encode_base64url(payload)
    signed = jws.serialize_compact({"alg": "RS256", "kid": "dummy"}, payload, provider_key())
    return f"{first}.{second}.{signed.split('.')[2]}"


def sign_with_hmac(header, claims, secret):
    """A token signed with HMAC; libraries refuse to use a public key as the secret."""
    first, second = (encode_base64url(json.dumps(part).encode()) for part in (header, claims))
    return f"{first}.{second}.{encode_base64url(hmac.digest(secret, f'{first}.{second}'.encode(), 'sha256'))}"


def invalid_tokens(valid):
    """Pairs of a description and an invalid token, derived from a valid one."""
    claims, now = decode_claims(valid), int(time.time())
    head, body, signature = valid.split(".")
    public = provider_key().as_pem(private=False)
    any_use = RSAKey.import_key(
        {k: v for k, v in provider_key().as_dict(private=True).items() if k not in ("alg", "use")}
    )
    other = other_key()
    unsigned = f"{encode_base64url(json.dumps({'alg': 'none', 'kid': 'dummy'}).encode())}.{body}."
    yield "junk", "junk"
    yield "dots", "..."
    yield "not ascii", "é" * 20
    yield "none", unsigned
    yield "none with a signature", unsigned + signature
    yield "None", f"{encode_base64url(json.dumps({'alg': 'None', 'kid': 'dummy'}).encode())}.{body}."
    yield "no signature", f"{head}.{body}."
    yield "another's signature", f"{head}.{body}.{sign_token({**claims, 'sub': 'x'}).split('.')[2]}"
    yield "tampered", f"{head}.{encode_base64url(json.dumps({**claims, 'sub': 'me'}).encode())}.{signature}"
    yield "cut", valid[:-10]
    yield "two parts", f"{head}.{body}"
    yield "four parts", f"{valid}.x"
    yield "HS256 with the public key", sign_with_hmac({"alg": "HS256", "kid": "dummy"}, claims, public)
    yield "HS256 without kid", sign_with_hmac({"alg": "HS256"}, claims, public)
    yield "another key", sign_token(claims, key=other)
    yield "an unknown kid", sign_token(claims, key=other, kid="other")
    yield "no kid", jwt.encode({"alg": "RS256"}, claims, other)
    yield "a key in its header", sign_token(claims, key=other, jwk=other.as_dict(private=False))
    yield "RS512", jwt.encode({"alg": "RS512", "kid": "dummy"}, claims, any_use, algorithms=["RS512"])
    yield "PS256", jwt.encode({"alg": "PS256", "kid": "dummy"}, claims, any_use, algorithms=["PS256"])
    for header in (
        b"[]",
        b"5",
        b'"x"',
        b"null",
        b"{",
        b"\xff",
        b"[" * 9_000,
        b'{"a":' * 1_500 + b"1" + b"}" * 1_500,
    ):
        yield f"header {header[:5]!r}", sign_raw(header, json.dumps(claims).encode())
    for payload in (b"[]", b"5", b'"x"', b"null", b"{", b"\xff", b"[" * 9_000):
        yield f"payload {payload[:5]!r}", sign_raw({"alg": "RS256", "kid": "dummy"}, payload)
        yield (
            f"signed payload {payload[:5]!r}",
            jws.serialize_compact({"alg": "RS256", "kid": "dummy"}, payload, provider_key()),
        )
    yield "too long", sign_token({**claims, "pad": "x" * 20_000})
    for name, changes in {
        "expired": {"exp": now - 40},
        "not yet": {"nbf": now + 50},
        "issued later": {"iat": now + 50},
        "never expires": {"exp": 10**18},
        "expires as text": {"exp": str(now + 100)},
        "expires as true": {"exp": True},
        "no expiry": {"exp": None},
        "wrong issuer": {"iss": claims["iss"] + "x"},
        "issuers": {"iss": [claims["iss"]]},
        "wrong audience": {"client_id": "x"},
        "audience of the other kind": {"client_id": None, "aud": claims["client_id"]},
        "wrong use": {"token_use": "refresh"},
        "id without audience": {"token_use": "id"},
        "nobody": {"sub": ""},
        "no one": {"sub": None},
        "somebody odd": {"sub": {"a": 1}},
    }.items():
        yield name, sign_token({k: v for k, v in {**claims, **changes}.items() if v is not None})
