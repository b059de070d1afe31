"""The states of the OpenID provider, and what the API answers in each: the table of `provider_states`, row by row."""

import httpx
import pytest
from structlog.testing import capture_logs

from artcafe_common.contracts.identity.users import (
    InvalidCredentials,
    InvalidRefreshToken,
    LoginChallengeRequired,
    ProviderThrottled,
    ProviderUnavailable,
)
from artcafe_identity import cognito as cognito_module
from artcafe_identity import jwks as jwks_module
from artcafe_identity.cognito import Cognito
from artcafe_identity.jwks import JwksCache
from artcafe_identity.provider_states import PROVIDER_STATES, STATES, find_state
from artcafe_identity.user_tokens import UserTokenVerifier
from support.stub_provider import APP, SUBJECT, StubProvider

REFUSALS = [(state, code) for state in PROVIDER_STATES for code in state.codes or (None,)]


@pytest.fixture(scope="module")
async def provider():
    async with StubProvider() as running:
        yield running


@pytest.fixture(scope="module")
async def cognito(provider):
    async with provider.client() as client:
        yield Cognito(client, APP)


@pytest.fixture(autouse=True)
def reset(provider):
    provider.state, provider.code = "ok", None
    provider.challenges, provider.answers = ["NEW_PASSWORD_REQUIRED"], []


def shorten_timeouts(monkeypatch, state):
    """Only where the provider hangs: a busy machine may take its time."""
    if state.name == "timeout":
        monkeypatch.setattr(cognito_module, "TIMEOUT_S", 0.3)
        monkeypatch.setattr(jwks_module, "FETCH_TIMEOUT_S", 0.2)


async def check_outcome(call, expected):
    if expected is None:
        return await call
    with pytest.raises(expected) as raised:
        await call
    assert type(raised.value) is expected
    return raised.value


@pytest.mark.parametrize(("state", "code"), REFUSALS, ids=lambda each: getattr(each, "name", each))
async def test_login_and_refresh_answer_as_the_table_says(provider, cognito, state, code, monkeypatch):
    shorten_timeouts(monkeypatch, state)
    provider.state, provider.code = state.name, code
    await check_outcome(cognito.login("ada@example.com", "secret-password"), state.login)
    await check_outcome(cognito.refresh("refresh"), state.refresh)


@pytest.mark.parametrize("state", PROVIDER_STATES, ids=lambda state: state.name)
async def test_tokens_are_verified_as_the_table_says(provider, state, monkeypatch):
    async with httpx.AsyncClient() as http:

        def verifier():
            jwks = JwksCache(provider.jwks_url, http)
            return UserTokenVerifier(jwks=jwks, issuer=provider.url, client_id=APP)

        known = verifier()
        await known.verify(provider.token())
        provider.state = state.name
        shorten_timeouts(monkeypatch, state)
        await check_outcome(verifier().verify(provider.token()), state.first)
        await check_outcome(known.verify(provider.token()), state.known)


async def test_challenge_is_named(provider, cognito):
    provider.state = "challenge"
    for challenge, fields in (
        ("NEW_PASSWORD_REQUIRED", ["new_password"]),
        ("SOFTWARE_TOKEN_MFA", ["code"]),
        ("SMS_MFA", []),
    ):
        provider.challenges = [challenge]
        with pytest.raises(LoginChallengeRequired, match=challenge) as raised:
            await cognito.login("ada@example.com", "secret-password")
        assert [each.field for each in raised.value.errors] == fields


async def test_challenges_are_answered(provider, cognito):
    provider.state, provider.challenges = "challenge", ["NEW_PASSWORD_REQUIRED", "SOFTWARE_TOKEN_MFA"]
    with pytest.raises(LoginChallengeRequired, match="SOFTWARE_TOKEN_MFA"):
        await cognito.login("ada@example.com", "old", new_password="new")
    provider.answers = []
    tokens = await cognito.login("ada@example.com", "old", new_password="new", code="123456")
    assert tokens.refresh_token == "refresh"
    assert provider.answers == [
        (
            "NEW_PASSWORD_REQUIRED",
            "session of NEW_PASSWORD_REQUIRED",
            {"USERNAME": SUBJECT, "NEW_PASSWORD": "new"},
        ),
        (
            "SOFTWARE_TOKEN_MFA",
            "session of SOFTWARE_TOKEN_MFA",
            {"USERNAME": SUBJECT, "SOFTWARE_TOKEN_MFA_CODE": "123456"},
        ),
    ]
    # One that is repeated for ever.
    provider.answers, provider.challenges = [], ["SOFTWARE_TOKEN_MFA"] * 10
    with pytest.raises(LoginChallengeRequired):
        await cognito.login("ada@example.com", "old", code="123456")
    assert len(provider.answers) == 2


async def test_empty_credentials_are_not_sent(provider, cognito):
    before = len(provider.requests)
    for email, password in (("", "x"), ("x", "")):
        with pytest.raises(InvalidCredentials):
            await cognito.login(email, password)
    with pytest.raises(InvalidRefreshToken, match="refresh token"):
        await cognito.refresh("")
    assert len(provider.requests) == before


async def test_unknown_error_of_the_provider_is_its_own_fault(provider, cognito):
    provider.state, provider.code = "refused", "SomethingNewException"
    assert find_state("SomethingNewException", "") is STATES["misconfigured"]
    with capture_logs() as logs:
        await check_outcome(cognito.login("ada@example.com", "secret-password"), ProviderUnavailable)
    assert [(each["event"], each["code"]) for each in logs] == [("provider_refused", "SomethingNewException")]
    assert "secret" not in str(logs)


def test_answers_say_when_to_try_again():
    for state in PROVIDER_STATES:
        for answer in filter(None, (state.login, state.refresh, state.first)):
            assert (answer.default_retry_after_s is not None) == (answer.status in (429, 503)), answer
    assert (STATES["throttled"].login, STATES["locked"].login.status) == (ProviderThrottled, 429)


async def test_unusable_keys_are_skipped_and_logged_once(provider):
    provider.state = "one_bad_key"
    async with httpx.AsyncClient() as http:
        jwks = JwksCache(provider.jwks_url, http)
        with capture_logs() as logs:
            assert await jwks.get_key("one")
            await jwks._refresh(0.0)
    assert [each["event"] for each in logs] == ["jwks_keys_skipped"]
    assert logs[0]["count"] > 3


async def test_endless_key_set_is_cut_off(provider, monkeypatch):
    monkeypatch.setattr(jwks_module, "MAX_KEY_SET_BYTES", 100)
    async with httpx.AsyncClient() as http:
        with pytest.raises(ProviderUnavailable):
            await JwksCache(provider.jwks_url, http).get_key("one")
