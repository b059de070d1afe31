"""Tokens of people, taken apart and made anew."""

import base64
import functools
import gzip
import importlib.resources
import json

from joserfc import jwt
from joserfc.jwk import RSAKey


@functools.cache
def provider_key():
    """The key with which the stand-in for Cognito signs: it is public knowledge."""
    folder = importlib.resources.files("moto.cognitoidp") / "resources"
    return RSAKey.import_key(json.loads(gzip.decompress((folder / "jwks-private.json.gz").read_bytes())))


def claims_of(token):
    return json.loads(_decoded(token.split(".")[1]))


def _decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(claims, *, key=None, **header):
    return jwt.encode({"alg": "RS256", "kid": "dummy", **header}, claims, key or provider_key())
