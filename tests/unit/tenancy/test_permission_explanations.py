"""The explanation of a permission agrees with what is granted, and says why."""

import pytest

from artcafe_common.clock import new_id
from artcafe_common.contracts.identity.clients import Permissions, StreamAccess
from artcafe_common.contracts.tenancy.clients import PermissionAction
from artcafe_tenancy.permission_explanations import explain

TENANT, OTHER, CLIENT = new_id(), new_id(), new_id()
NARROW = Permissions(publish=["orders.*", "status"], subscribe=[])
MANAGE = Permissions(streams=StreamAccess.MANAGE)


def explained(permissions, action, subject):
    subject = subject.format(tid=TENANT, other=OTHER, cid=CLIENT)
    result = explain(TENANT, CLIENT, permissions, PermissionAction(action), subject)
    return result.allowed, result.pattern, result.why


@pytest.mark.parametrize("form", ["", "{tid}.", "tenant.{tid}."])
def test_every_form_of_a_name_is_explained_by_its_pattern(form):
    assert explained(NARROW, "publish", f"{form}orders.1") == (
        True,
        "orders.*",
        "The pattern `orders.*` in `publish` covers it.",
    )
    assert explained(NARROW, "publish", f"{form}orders.1.2") == (
        False,
        None,
        "No pattern in `publish` covers it. The client has `orders.*`, `status`.",
    )
    assert explained(NARROW, "subscribe", f"{form}orders.1") == (
        False,
        None,
        "The client's list `subscribe` is empty, so that it allows nothing.",
    )


@pytest.mark.parametrize(
    ("permissions", "action", "subject", "allowed", "word"),
    [
        (Permissions(), "subscribe", ">", True, "`>`"),
        (Permissions(), "publish", "a..b", False, "malformed"),
        (Permissions(), "publish", "orders.>", False, "malformed"),
        (Permissions(), "publish", "", False, "malformed"),
        (Permissions(), "publish", "{other}.x", False, "another organization"),
        (Permissions(), "publish", "tenant.{other}.x", False, "another organization"),
        (Permissions(), "publish", "{tid}.$JS.API.INFO", False, "platform"),
        (Permissions(), "publish", "tenant.{tid}.presence.x", False, "Only the platform publishes presence"),
        (Permissions(), "subscribe", "tenant.{tid}.presence.*", True, "`>`"),
        (NARROW, "publish", "_heartbeat.{tid}.{cid}", True, "own reports"),
        (NARROW, "publish", "_heartbeat.{tid}.{other}", False, "platform"),
        (NARROW, "publish", "_INBOX.x", True, "answer"),
        (NARROW, "subscribe", "_INBOX.x", False, "_INBOX.{cid}.>"),
        (NARROW, "subscribe", "_INBOX.{cid}.>", True, "receives replies"),
        (Permissions(), "subscribe", "_GW.>", False, "Only the platform"),
        (Permissions(), "publish", "$JS.API.STREAM.CREATE.X", False, "`read`, which does not include"),
        (Permissions(), "publish", "$JS.PLATFORM.API.STREAM.INFO.CHANNELS", True, "`read`, which includes"),
        (Permissions(), "publish", "$JS.PLATFORM.API.STREAM.PURGE.CHANNELS", False, "does not include"),
        (
            Permissions(publish=["a"]),
            "publish",
            "$JS.API.INFO",
            False,
            "needs `>` in `publish` and `subscribe`",
        ),
        (MANAGE, "publish", "$JS.API.STREAM.CREATE.X", True, "`manage`"),
        (MANAGE, "subscribe", "$KV.bucket.>", True, "`manage`"),
        (Permissions(), "publish", "$SYS.REQ.SERVER.PING.CONNZ", False, "platform"),
    ],
)
def test_explanation_gives_the_reason(permissions, action, subject, allowed, word):
    found, _, why = explained(permissions, action, subject)
    assert (found, word.format(cid=CLIENT) in why) == (allowed, True), why
