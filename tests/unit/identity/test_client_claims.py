"""NATS permissions of a client; an empty list must never allow everything."""

import pytest

from artcafe_common.broker.subjects import covers
from artcafe_common.clock import new_id
from artcafe_common.contracts.identity.clients import Permissions
from artcafe_common.contracts.tenancy.clients import InvalidPermission
from artcafe_identity.client_claims import client_user_claims
from artcafe_tenancy import permissions as rules

TENANT, CLIENT = "01JDB7Z8Q4T5W6X7Y8Z9A0BCDE", "01JDB7Z8Q4T5W6X7Y8Z9A0BCDG"
OWN = (
    f"_heartbeat.{TENANT}.{CLIENT}",
    f"_HEARTBEAT.tenant.{TENANT}.client.{CLIENT}",
    f"_PRESENCE.tenant.{TENANT}.client.{CLIENT}",
    f"_METRICS.tenant.{TENANT}.client.{CLIENT}",
)


def user(publish, subscribe):
    permissions = Permissions(publish=publish, subscribe=subscribe)
    rules.check(TENANT, permissions)
    return client_user_claims(tenant_id=TENANT, client_id=CLIENT, account="A", permissions=permissions)


def may(permission, subject):
    allowed = any(covers(pattern, subject) for pattern in permission.allow)
    return allowed and not any(covers(pattern, subject) for pattern in permission.deny)


@pytest.mark.parametrize("publish", [[], ["a"], [">"], [f"{TENANT}.a.*"]])
@pytest.mark.parametrize("subscribe", [[], ["a"], [">"]])
def test_permission_lists_are_never_empty_and_always_allow_heartbeats(publish, subscribe):
    made = user(publish, subscribe)
    # For the broker, an empty list allows everything.
    assert made.pub.allow
    assert made.sub.allow
    for subject in OWN:
        assert may(made.pub, subject)
    assert may(made.sub, f"_INBOX.{CLIENT}.x.1")
    assert may(made.sub, "_INBOX.x.1") == (subscribe == [">"])
    # It would take precedence over both lists.
    assert made.resp is None


def test_empty_permissions_deny_everything():
    made = user([], [])
    for subject in ("a", f"{TENANT}.a", f"tenant.{TENANT}.a", f"tenant.{TENANT}.channel.x", "$JS.API.INFO"):
        assert not may(made.pub, subject)
        assert not may(made.sub, subject)
    assert not may(made.pub, f"_heartbeat.{TENANT}.{new_id()}")


def test_permission_applies_to_every_form_of_a_subject():
    made = user(["jobs.*"], ["done"])
    for prefix in ("", f"{TENANT}.", f"tenant.{TENANT}."):
        assert may(made.pub, f"{prefix}jobs.1")
        assert may(made.sub, f"{prefix}done")
        for subject in ("jobs", "jobs.1.2", "done", "jobs2.1"):
            assert not may(made.pub, f"{prefix}{subject}")
        for subject in ("done.1", "jobs.1"):
            assert not may(made.sub, f"{prefix}{subject}")


def test_clients_cannot_publish_presence():
    assert not may(user([">"], [">"]).pub, f"tenant.{TENANT}.presence.{CLIENT}")


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        " ",
        "a b",
        "a..b",
        "$SYS.>",
        "_INBOX.>",
        "_heartbeat.x.y",
        "tenant.>",
        f"{TENANT}.$JS.API.>",
        f"tenant.{TENANT}._INBOX.>",
        "artcafe.>",
        "01JDB7Z8Q4T5W6X7Y8Z9A0BCDF.>",
    ],
)
def test_pattern_outside_the_tenant_is_rejected(pattern):
    for lists in (([pattern], []), ([], [pattern])):
        with pytest.raises(InvalidPermission):
            user(*lists)
