"""Decodes and signs the access tokens of users."""

import base64
import functools
import gzip
import importlib.resources
import json

from joserfc import jwt
from joserfc.jwk import RSAKey


@functools.cache
def provider_key():
    """The key with which moto's Cognito signs; it is published with moto."""
    folder = importlib.resources.files("moto.cognitoidp") / "resources"
    return RSAKey.import_key(json.loads(gzip.decompress((folder / "jwks-private.json.gz").read_bytes())))


def decode_claims(token):
    return json.loads(_decode_base64url(token.split(".")[1]))


def _decode_base64url(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def encode_base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def sign_token(claims, *, key=None, **header):
    return jwt.encode({"alg": "RS256", "kid": "dummy", **header}, claims, key or provider_key())
