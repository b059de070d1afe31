"""What a dashboard is shown of the messages: a channel, and a sample of all."""

import asyncio

import pytest

from artcafe_gateway.delivery.fanout import BrokerSubscription, RenderGroup
from artcafe_gateway.sessions import views as views_module
from artcafe_gateway.sessions.views import PREVIEW_BACKLOG, ChannelView, TopicPreviewView
from support.fakes.ids import CHANNEL, CLIENT, SIGNER, TENANT
from support.fakes.sockets import FakeSocket

SUBJECT = f"tenant.{TENANT}.channel.{CHANNEL}"


@pytest.fixture
def socket():
    return FakeSocket()


@pytest.fixture
def subscription():
    return BrokerSubscription(SIGNER, RenderGroup)


async def show(subscription, socket, subject, payload=b"1"):
    """The frames that a message makes."""
    subscription.on_message(subject, "_INBOX.x", payload, b"")
    await asyncio.sleep(0)
    return socket.send_queue.drain()


async def test_channel_is_shown_between_start_and_stop(socket, subscription):
    view = ChannelView(socket, CHANNEL, SUBJECT, subscription)
    assert await show(subscription, socket, SUBJECT) == []
    view.start()
    (frame,) = await show(subscription, socket, SUBJECT, b'{"n":1}')
    assert (frame["type"], frame["channel_id"], frame["data"]) == ("channel_message", CHANNEL, {"n": 1})
    view.stop()
    assert await show(subscription, socket, SUBJECT) == []


async def test_dashboards_of_one_channel_are_independent(subscription):
    sockets = [FakeSocket(), FakeSocket()]
    views = [ChannelView(each, CHANNEL, SUBJECT, subscription) for each in sockets]
    for view in views:
        view.start()
    views[0].stop()
    assert len(await show(subscription, sockets[1], SUBJECT)) == 1
    assert sockets[0].send_queue.frames == []


async def test_preview_shows_subjects_in_short_form(socket, subscription):
    TopicPreviewView(socket, TENANT, {">": subscription}, 1.0).start()
    for subject in (f"{TENANT}.a.b", f"tenant.{TENANT}.a.b"):
        (frame,) = await show(subscription, socket, subject, b"12")
        assert (frame["subject"], frame["data"], frame["size"]) == (f"{TENANT}.a.b", 12, 2)


async def test_preview_stops(socket, subscription):
    view = TopicPreviewView(socket, TENANT, {">": subscription}, 1.0)
    view.start()
    view.stop()
    assert await show(subscription, socket, SUBJECT) == []


async def test_preview_leaves_out_presence(socket, subscription):
    TopicPreviewView(socket, TENANT, {">": subscription}, 1.0).start()
    assert await show(subscription, socket, f"tenant.{TENANT}.presence.{CLIENT}") == []
    assert len(await show(subscription, socket, f"tenant.{TENANT}.presence.{CLIENT}.x")) == 1


async def test_slow_dashboard_is_told_how_many_messages_were_dropped(socket, subscription):
    TopicPreviewView(socket, TENANT, {">": subscription}, 1.0).start()
    socket.send_queue.backlog = PREVIEW_BACKLOG + 1
    for _ in range(3):
        assert await show(subscription, socket, SUBJECT) == []
    socket.send_queue.backlog = 0
    (frame,) = await show(subscription, socket, SUBJECT)
    assert frame["dropped"] == 3
    (frame,) = await show(subscription, socket, SUBJECT)
    assert "dropped" not in frame


async def test_sample_shows_its_share_of_the_messages(socket, subscription, monkeypatch):
    values = iter([0.0, 0.24, 0.25, 0.9])
    monkeypatch.setattr(views_module.random, "random", lambda: next(values))
    TopicPreviewView(socket, TENANT, {">": subscription}, 0.25).start()
    shown = [len(await show(subscription, socket, SUBJECT)) for _ in range(4)]
    assert shown == [1, 1, 0, 0]
