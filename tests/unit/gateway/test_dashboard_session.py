"""A dashboard whose tenant's connection to the broker is away, or cannot be opened."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from litestar.datastructures import Headers

from artcafe_common.bus.caller import CallerContext
from artcafe_common.contracts.identity.users import User
from artcafe_gateway.errors import BrokerUnavailable
from artcafe_gateway.http.auth import AuthenticatedUser
from artcafe_gateway.sessions import connect, dashboard
from artcafe_gateway.sessions.dashboard import DashboardSession
from artcafe_gateway.wire import frames
from support.fakes.ids import CHANNEL, TENANT
from support.fakes.peers import CHANNEL_SUBJECT
from support.fakes.reporting import FakeUsage
from support.fakes.sockets import FakeSocket

USER = User(user_id="user", expires_at=datetime.now(UTC) + timedelta(hours=1))
ENTERING = SimpleNamespace(query_params={}, headers=Headers(), scope={"path": "/ws/dashboard"})


class Gateway:
    """The parts of a gateway that a dashboard uses; the tenant has one channel."""

    def __init__(self, failure=None):
        self.sessions = SimpleNamespace(accepting=True, remove=lambda _: None)
        self.bridges = SimpleNamespace(acquire=self._fail)
        self.lookup_cache = SimpleNamespace(channel=self._channel)
        self.dashboard_feed = SimpleNamespace(remove_dashboard=lambda *_: None)
        self.denials = None
        self.usage = FakeUsage()
        self._failure = failure

    async def _fail(self, _tenant_id):
        raise self._failure

    async def _channel(self, channel_id, _caller):
        return SimpleNamespace(channel_id=channel_id, subject=CHANNEL_SUBJECT)


def tenant_user():
    return SimpleNamespace(identity=USER, caller=CallerContext(request_id="r", tenant_id=TENANT))


@pytest.fixture
async def session(bridge):
    session = DashboardSession(FakeSocket(), tenant_user(), bridge, Gateway())
    yield session
    await session.end()


@pytest.mark.parametrize(
    "frame", [frames.SubscribeChannel(channel_id=CHANNEL), frames.SubscribeTopicPreview(pattern="a.>")]
)
async def test_subscribing_while_the_broker_is_away_leaves_nothing_behind(session, bridge, broker, frame):
    broker.down = True
    await broker.restart()
    for _ in range(3):
        with pytest.raises(BrokerUnavailable):
            await session.dispatch(frame)
    assert session._acquired == []
    assert bridge.subscription_count == 0


async def _authenticated(*_):
    return AuthenticatedUser(identity=USER, caller=CallerContext(request_id="r"))


async def _selected(*_):
    return tenant_user()


@pytest.mark.parametrize(
    ("failure", "reason"),
    [(BrokerUnavailable(), "broker_unavailable"), (RuntimeError("unexpected"), "internal_error")],
)
async def test_socket_that_cannot_be_opened_is_asked_to_come_back(monkeypatch, failure, reason):
    monkeypatch.setattr(dashboard, "authenticate", _authenticated)
    monkeypatch.setattr(dashboard, "select_tenant", _selected)
    socket = FakeSocket()
    assert await dashboard._open(ENTERING, socket, Gateway(failure), "token") is None
    assert (socket.sent, socket.closed) == ([(reason, None)], (1013, reason))

    async def authenticate():
        return SimpleNamespace(tenant_id=TENANT)

    socket = FakeSocket()
    assert await connect._open(socket, Gateway(failure), authenticate, "/ws/client/c") is None
    assert (socket.sent, socket.closed) == ([(reason, None)], (1013, reason))
