"""Permissions must stay inside the tenant."""

import pytest

from artcafe_common.clock import new_id
from artcafe_common.contracts.identity.clients import Permissions, StreamAccess
from artcafe_common.contracts.tenancy.clients import InvalidPermission
from artcafe_tenancy import permissions

TENANT = new_id()
OTHER = new_id()


def test_permissions_inside_the_tenant_are_accepted():
    permissions.check(TENANT, Permissions())
    permissions.check(TENANT, Permissions(publish=["a.*", f"{TENANT}.x", f"tenant.{TENANT}.>"], subscribe=[]))


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        (Permissions(publish=["a", "a b"]), "permissions.publish[1]"),
        (Permissions(subscribe=[f"tenant.{OTHER}.x"]), "permissions.subscribe[0]"),
        (Permissions(subscribe=["a", "b", f"{OTHER}.x"]), "permissions.subscribe[2]"),
        (Permissions(publish=["$SYS.>"]), "permissions.publish[0]"),
        (Permissions(publish=[f"{TENANT}.$JS.API.>"]), "permissions.publish[0]"),
        (Permissions(subscribe=["artcafe.>"]), "permissions.subscribe[0]"),
        (Permissions(publish=[""]), "permissions.publish[0]"),
        (Permissions(publish=["tenant.*.x"]), "permissions.publish[0]"),
        (Permissions(publish=["a"] * 101), "permissions.publish"),
    ],
)
def test_invalid_permission_is_named(given_, field):
    with pytest.raises(InvalidPermission) as error:
        permissions.check(TENANT, given_)
    assert [each.field for each in error.value.errors] == [field]


@pytest.mark.parametrize(("publish", "subscribe"), [(["a"], [">"]), ([">"], ["a"]), ([], [])])
def test_managing_streams_needs_everything_in_both_lists(publish, subscribe):
    manage = StreamAccess.MANAGE
    permissions.check(TENANT, Permissions(streams=manage))
    with pytest.raises(InvalidPermission) as error:
        permissions.check(TENANT, Permissions(publish=publish, subscribe=subscribe, streams=manage))
    assert [each.field for each in error.value.errors] == ["permissions.streams"]
