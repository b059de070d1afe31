"""Tokens of agents: issuer, audience and lifetime."""

import base64
import json
import secrets

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from artcafe_common.contracts.identity.clients import AuthenticationFailed
from artcafe_common.key_ring import KeyRing
from artcafe_identity import agent_tokens, signed_tokens
from artcafe_identity.agent_tokens import AUDIENCE, TOKEN_TTL_S, AgentTokenIssuer

SEED = secrets.token_bytes(32)
WHO = {"agent_id": "a", "tenant_id": "t", "fingerprint": "SHA256:x"}


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_token_round_trip():
    tokens = AgentTokenIssuer(KeyRing.of(SEED))
    token, ends = tokens.issue(**WHO)
    claims = tokens.verify(token)
    assert (claims.sub, claims.tid, claims.key, claims.aud) == ("a", "t", "SHA256:x", AUDIENCE)
    assert claims.exp == ends == claims.iat + TOKEN_TTL_S
    # Every instance with the same key verifies it; no other key does.
    assert AgentTokenIssuer(KeyRing.of(SEED)).verify(token) == claims
    with pytest.raises(AuthenticationFailed):
        AgentTokenIssuer(KeyRing.of(secrets.token_bytes(32))).verify(token)


def test_token_is_valid_only_during_its_lifetime(monkeypatch):
    tokens = AgentTokenIssuer(KeyRing.of(SEED))
    token, ends = tokens.issue(**WHO)
    for now, good in ((ends - 1, True), (ends, False), (ends - TOKEN_TTL_S - 20, True), (0, False)):
        monkeypatch.setattr(signed_tokens.time, "time", lambda now=now: float(now))
        if good:
            tokens.verify(token)
        else:
            with pytest.raises(AuthenticationFailed):
                tokens.verify(token)


def test_forged_tokens_are_rejected(monkeypatch):
    tokens = AgentTokenIssuer(KeyRing.of(SEED))
    token, _ = tokens.issue(**WHO)
    head, claims, signature = token.split(".")
    good = json.loads(base64.urlsafe_b64decode(claims + "=="))
    forged = [
        f"{head}.{part({**good, 'sub': 'b'})}.{signature}",
        f"{part({'alg': 'none'})}.{claims}.",
        f"{head}.{claims}.",
        f"{head}.{claims}",
        jwt.encode({"alg": "HS256"}, good, OctKey.import_key(SEED), algorithms=["HS256"]),
        "",
        "é",
        "a.b.c",
        "x" * 100_000,
    ]
    for bad in forged:
        with pytest.raises(AuthenticationFailed):
            tokens.verify(bad)
    monkeypatch.setattr(agent_tokens, "AUDIENCE", "something-else")
    other, _ = tokens.issue(**WHO)
    monkeypatch.undo()
    with pytest.raises(AuthenticationFailed):
        tokens.verify(other)
