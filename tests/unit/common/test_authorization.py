"""Roles, and what each of them allows in a tenant."""

import pytest

from artcafe_common import authorization
from artcafe_common.bus.caller import CallerContext, set_caller
from artcafe_common.bus.errors import Forbidden
from artcafe_common.contracts.tenancy.members import Role

OWNER, ADMIN, MEMBER, VIEWER = Role.OWNER, Role.ADMIN, Role.MEMBER, Role.VIEWER


def caller(actor, role="", tenant_id="T"):
    return CallerContext(request_id="r", tenant_id=tenant_id, actor=actor, role=role)


def test_role_includes_lower_roles():
    ascending = (VIEWER, MEMBER, ADMIN, OWNER)
    for high, role in enumerate(ascending):
        for low, least in enumerate(ascending):
            assert authorization.includes(role, least) is (high >= low)


@pytest.mark.parametrize(
    ("actor", "role", "acts_as"),
    [
        ("user:u", "member", MEMBER),
        ("service:metering", "", VIEWER),
        ("service:metering", "owner", VIEWER),
        ("service:admin", "", OWNER),
    ],
)
def test_role_of_a_caller(actor, role, acts_as):
    assert authorization.role_of(caller(actor, role)) is acts_as


@pytest.mark.parametrize(
    ("actor", "role"), [("user:u", ""), ("user:u", "king"), ("client:c", "owner"), ("", "")]
)
def test_caller_without_a_role_is_rejected(actor, role):
    with pytest.raises(Forbidden):
        authorization.role_of(caller(actor, role))


def test_role_requires_a_tenant():
    set_caller(caller("user:u", "owner", tenant_id=""))
    with pytest.raises(Forbidden):
        authorization.require_role(VIEWER)
    set_caller(caller("user:u", "member"))
    assert authorization.require_role(MEMBER) == "T"
    with pytest.raises(Forbidden):
        authorization.require_role(ADMIN)


def test_only_a_user_creates_organizations():
    set_caller(caller("user:u"))
    assert authorization.require_user() == "u"
    for actor in ("user:", "client:c", "service:admin", ""):
        set_caller(caller(actor))
        with pytest.raises(Forbidden):
            authorization.require_user()


def test_only_the_admin_service_is_the_operator():
    set_caller(caller("service:admin", tenant_id=""))
    authorization.require_operator()
    for actor, role in (("user:admin", "owner"), ("service:gateway", ""), ("user:service:admin", "owner")):
        set_caller(caller(actor, role))
        with pytest.raises(Forbidden):
            authorization.require_operator()


@pytest.mark.parametrize(
    ("actor", "before", "after", "allowed"),
    [
        (OWNER, None, OWNER, True),
        (OWNER, OWNER, MEMBER, True),
        (OWNER, OWNER, None, True),
        (ADMIN, None, ADMIN, True),
        (ADMIN, ADMIN, VIEWER, True),
        (ADMIN, MEMBER, None, True),
        (ADMIN, None, OWNER, False),
        (ADMIN, MEMBER, OWNER, False),
        (ADMIN, OWNER, MEMBER, False),
        (ADMIN, OWNER, None, False),
        (MEMBER, None, VIEWER, False),
        (MEMBER, VIEWER, None, False),
        (VIEWER, MEMBER, VIEWER, False),
    ],
)
def test_member_changes_by_role(actor, before, after, allowed):
    if allowed:
        authorization.check_member_change(actor, before, after)
    else:
        with pytest.raises(Forbidden):
            authorization.check_member_change(actor, before, after)
