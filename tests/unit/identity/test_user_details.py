"""The e-mail addresses and names of people reach tenancy without holding up anybody."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from artcafe_common.bus.command import Empty
from artcafe_common.bus.errors import StoreUnavailable
from artcafe_common.contracts.identity.users import InvalidToken, ProviderUnavailable, Tokens, User
from artcafe_common.contracts.tenancy.profiles import RecordUserDetails
from artcafe_identity import cognito as cognito_module
from artcafe_identity import user_details_recorder, user_info
from artcafe_identity.cognito import Cognito
from artcafe_identity.user_details import UserDetails
from artcafe_identity.user_details_recorder import UserDetailsRecorder
from artcafe_identity.user_info import UserInfoEndpoint, UserPoolInfo
from support.fakes.bus import FakeBus
from support.stub_provider import APP, SUBJECT, StubProvider
from support.waiting import eventually

ADA = UserDetails(email="ada@example.com", name="Ada L.", email_verified=True)
LATER = datetime.now(UTC) + timedelta(hours=1)


class FakeUserInfo:
    """Answers with `reply`, or raises it."""

    def __init__(self, reply=ADA):
        self.reply = reply
        self.asked = 0

    async def get(self, _token, _user_id):
        self.asked += 1
        await asyncio.sleep(0)
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


class FakeVerifier:
    async def verify(self, token):
        if token == "bad":
            raise InvalidToken
        return User(user_id="ada", expires_at=LATER)


@contextlib.asynccontextmanager
async def running(bus, info):
    recorder = UserDetailsRecorder(bus=bus, verifier=FakeVerifier(), user_info=info)
    task = asyncio.create_task(recorder.run())
    try:
        yield recorder
    finally:
        task.cancel()
        await asyncio.wait({task})


def user(user_id="ada", **details):
    return User(user_id=user_id, expires_at=LATER, **details)


async def recorded(bus, count=1):
    await eventually(lambda: bus.count(RecordUserDetails) >= count)
    return [(each.user_id, each.email, each.name) for each in bus.calls]


async def test_person_is_recorded_once_and_again_when_something_changed():
    bus, info = FakeBus({RecordUserDetails: Empty()}), FakeUserInfo()
    async with running(bus, info) as recorder:
        for _ in range(5):
            recorder.note(user(), "token")
        assert await recorded(bus) == [("ada", ADA.email, ADA.name)]
        await eventually(lambda: not recorder._pending)
        recorder.note(user(), "token")
        recorder.note(user(email=ADA.email, name=ADA.name, email_verified=True), "token")
        recorder.note(user(email="new@example.com", name=ADA.name), "token")
        assert (await recorded(bus, 2))[1:] == [("ada", "new@example.com", ADA.name)]
    assert [each.email_verified for each in bus.calls] == [True, None]
    assert info.asked == 1


@pytest.mark.parametrize("failure", [ProviderUnavailable(), None])
async def test_failure_is_tried_again_later_and_not_for_every_request(failure):
    bus = FakeBus({RecordUserDetails: StoreUnavailable() if failure is None else Empty()})
    info = FakeUserInfo(failure or ADA)
    async with running(bus, info) as recorder:
        recorder.note(user(), "token")
        await eventually(lambda: "ada" in recorder._failed)
        for _ in range(5):
            recorder.note(user(), "token")
        assert recorder.waiting_count == 0
        recorder._failed.clear()
        info.reply, bus.replies[RecordUserDetails] = ADA, Empty()
        recorder.note(user(), "token")
        await eventually(lambda: recorder._recorded.get("ada") == ADA)


async def test_waiting_people_are_bounded(monkeypatch):
    recorder = UserDetailsRecorder(bus=FakeBus(), verifier=FakeVerifier(), user_info=FakeUserInfo())
    for number in range(user_details_recorder.MAX_WAITING + 10):
        recorder.note(user(str(number)), "token")
    assert recorder.waiting_count == len(recorder._pending) == user_details_recorder.MAX_WAITING


async def test_login_waits_for_the_record_and_not_for_a_failure(monkeypatch):
    monkeypatch.setattr(user_details_recorder, "LOGIN_WAIT_S", 0.05)
    bus = FakeBus({RecordUserDetails: Empty()})
    async with running(bus, FakeUserInfo()) as recorder:
        await recorder.record_login(Tokens(access_token="a", id_token="bad", expires_in=1))
        assert not bus.calls
        await recorder.record_login(Tokens(access_token="a", id_token="i", expires_in=1))
        assert bus.count(RecordUserDetails) == 1
    bus.hold(RecordUserDetails)
    async with running(bus, FakeUserInfo()) as recorder:
        await recorder.record_login(Tokens(access_token="a", id_token="i", expires_in=1))
        assert "ada" not in recorder._recorded
        bus.release(RecordUserDetails)


async def test_user_info_of_the_provider(monkeypatch):
    async with StubProvider() as provider, provider.client() as client, httpx.AsyncClient() as http:
        for source in (UserInfoEndpoint(provider.user_info_url, http), UserPoolInfo(Cognito(client, APP))):
            provider.state = "ok"
            assert await source.get("token", SUBJECT) == ADA
            # OpenID Connect core 1.0, section 5.3.4: of another person.
            assert await source.get("token", "somebody") == UserDetails()
            for provider.state in ("away", "server_error", "malformed", "timeout"):
                with monkeypatch.context() as patch:
                    if provider.state == "timeout":
                        patch.setattr(user_info, "TIMEOUT_S", 0.2)
                        patch.setattr(cognito_module, "TIMEOUT_S", 0.2)
                    with pytest.raises(ProviderUnavailable):
                        await source.get("token", SUBJECT)
        provider.state = "wrong_credentials"
        assert await source.get("token", SUBJECT) == UserDetails()
