"""Where a client may answer: on the inboxes of requests that others sent it, for a while."""

from functools import partial

import pytest

from artcafe_common.contracts.identity.clients import Permissions
from artcafe_common.grants import allows, client_grants
from artcafe_gateway.delivery.message import BrokerMessage
from artcafe_gateway.subscriptions import reply_subjects
from artcafe_gateway.subscriptions.reply_subjects import (
    MAX_REPLIES,
    MAX_REPLY_SUBJECTS,
    REPLY_PERIOD_S,
    ReplySubjects,
)
from support.fakes.ids import CLIENT, SIGNER, TENANT


def request(reply, sender=None):
    headers = SIGNER.sign(sender, f"{TENANT}.a", b"1") if sender else b""
    return BrokerMessage(SIGNER, f"{TENANT}.a", reply, b"1", headers)


@pytest.fixture
def replies():
    return replies_of([">"])


def replies_of(publish):
    """The reply subjects of a client with these permissions."""
    grants = client_grants(TENANT, CLIENT, Permissions(publish=publish, subscribe=["loop"]))
    return ReplySubjects(CLIENT, partial(allows, grants.publish))


@pytest.mark.parametrize("reply", ["_INBOX.x.1", "_INBOX_me.x", "_GW.x.1"])
def test_inbox_of_a_request_may_be_answered(replies, reply):
    assert not replies.take(reply)
    replies.add(request(reply, "another"))
    assert replies.take(reply)
    assert not replies.take(f"{reply}.more")


def test_direct_request_gives_no_right_that_the_client_lacks_over_nats():
    """It may be the client's own."""
    replies = replies_of(["loop"])
    for reply in ("_INBOX_me.x", "_INBOXES.x"):
        replies.add(request(reply))
        assert not replies.take(reply)
    for reply in ("_INBOX.x.1", "_GW.x.1"):
        replies.add(request(reply))
        assert replies.take(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.API.STREAM.PURGE.CHANNELS",
        "_REPUBLISH.x",
        "_heartbeat.x.y",
        "_INBOX",
        "_INBOX.>",
        "_INBOX.*",
        "_INBOX. x",
        "None",
        "orders.new",
        f"{TENANT}.orders",
        f"tenant.{TENANT}.channel.x",
        f"tenant.{TENANT}.presence.x",
    ],
)
def test_other_reply_subjects_give_no_right_to_publish(replies, reply):
    replies.add(request(reply, "another"))
    assert not replies.take(reply)


def test_own_message_gives_no_right_to_publish(replies):
    replies.add(request("_INBOX.x", CLIENT))
    assert not replies.take("_INBOX.x")


def test_own_request_over_another_socket_may_be_answered(replies):
    replies.add(request("_GW.x.1", CLIENT))
    assert replies.take("_GW.x.1")


@pytest.mark.parametrize("reply", ["agents.inbox.1", f"{TENANT}.answers.1", "_INBOX_me.1", "_GW.1"])
def test_reply_subject_of_any_prefix_is_shown(reply):
    assert request(reply).reply == reply


@pytest.mark.parametrize("reply", ["", "None", "$JS.ACK.x", "_REPUBLISH.x.1", "a..b", "a.*"])
def test_other_reply_subjects_are_not_shown(reply):
    assert request(reply).reply is None


def test_replies_are_limited_in_number_and_time(replies, monkeypatch):
    replies.add(request("_INBOX.x"))
    assert [replies.take("_INBOX.x") for _ in range(MAX_REPLIES + 1)] == [True] * MAX_REPLIES + [False]
    replies.add(request("_INBOX.y"))
    later = reply_subjects.time.monotonic() + REPLY_PERIOD_S + 1
    monkeypatch.setattr(reply_subjects.time, "monotonic", lambda: later)
    assert not replies.take("_INBOX.y")


def test_oldest_reply_subjects_are_dropped(replies):
    for number in range(MAX_REPLY_SUBJECTS + 5):
        replies.add(request(f"_INBOX.{number}"))
    assert len(replies) == MAX_REPLY_SUBJECTS
    assert not replies.take("_INBOX.4")
    assert replies.take("_INBOX.5")
