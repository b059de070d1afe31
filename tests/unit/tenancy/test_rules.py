"""Names, permissions, metadata, times: what is accepted, and what is the same."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.bus.errors import InvalidRequest
from artcafe_common.clock import new_id
from artcafe_common.contracts.identity.clients import Permissions
from artcafe_common.contracts.tenancy.clients import InvalidPermission
from artcafe_common.contracts.tenancy.fields import MAX_METADATA_BYTES
from artcafe_tenancy import metadata, names, permissions, presence_mirror

TENANT = new_id()
OTHER = new_id()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Robot", "rObOT"),
        ("Caf\u00e9", "Cafe\u0301"),
        ("CAFE\u0301", "caf\u00e9"),
        ("Stra\u00dfe", "STRASSE"),
        ("\u1e9b\u0323", "\u1e9b\u0323".upper()),
    ],
)
def test_equivalent_names_are_equal(one, other):
    assert names.normalize(one) == names.normalize(other)


def test_different_names_stay_different():
    assert names.normalize("robot 1") != names.normalize("robot 2")


@given(st.text(min_size=1, max_size=100))
def test_normalization_is_idempotent(name):
    once = names.normalize(name)
    assert names.normalize(once) == once


@given(st.text(max_size=100))
def test_name_key_is_never_an_id(name):
    assert not names.is_ulid(names.reservation_key(TENANT, name))


def test_id_validation():
    assert names.is_ulid(TENANT)
    for text in ("", "x", f"{TENANT}\n", f" {TENANT}", TENANT.lower(), f"name#{TENANT}#x"):
        assert not names.is_ulid(text)
    assert names.is_user_id("u")
    assert not names.is_user_id("")
    assert not names.is_user_id("u" * 129)


@pytest.mark.parametrize("name", ["a\n", "a\x00b", "\x1b[2J", "a\ud800"])
def test_name_with_control_characters_is_rejected(name):
    with pytest.raises(InvalidRequest) as refused:
        names.check(name)
    assert refused.value.errors[0].field == "name"


def test_unicode_name_is_accepted():
    names.check("Lager 3 \u2013 \u5009\u5eab")


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
        (Permissions(publish=[""]), "permissions.publish[0]"),
        (Permissions(publish=["tenant.*.x"]), "permissions.publish[0]"),
        (Permissions(publish=["a"] * 101), "permissions.publish"),
    ],
)
def test_invalid_permission_is_named(given_, field):
    with pytest.raises(InvalidPermission) as refused:
        permissions.check(TENANT, given_)
    assert [error.field for error in refused.value.errors] == [field]


def test_metadata_size_limit():
    metadata.check({"x": "a" * (MAX_METADATA_BYTES - len('{"x":""}'))})
    with pytest.raises(InvalidRequest) as refused:
        metadata.check({"x": "a" * (MAX_METADATA_BYTES - len('{"x":""}') + 1)})
    assert refused.value.errors[0].field == "metadata"


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001 - made aware below
def test_time_round_trip_in_microseconds(moment):
    aware = moment.replace(tzinfo=UTC)
    assert presence_mirror.from_microseconds(presence_mirror.to_microseconds(aware)) == aware
    assert presence_mirror.to_microseconds(aware) < presence_mirror.to_microseconds(
        aware + timedelta(microseconds=1)
    )
