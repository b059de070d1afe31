"""Names and ids: normalization and validation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.bus.errors import InvalidRequest
from artcafe_common.clock import new_id
from artcafe_tenancy import names

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
        ("robot", "\uff32\uff4f\uff42\uff4f\uff54"),
        ("file", "\ufb01le"),
        ("a b", "a\u00a0\u2003b"),
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
    assert not any(names.is_ulid(key) for key in names.reservation_keys(TENANT, name))


def test_id_validation():
    assert names.is_ulid(TENANT)
    for text in ("", "x", f"{TENANT}\n", f" {TENANT}", TENANT.lower(), f"name#{TENANT}#x"):
        assert not names.is_ulid(text)
    assert names.is_user_id("u")
    assert not names.is_user_id("")
    assert not names.is_user_id("u" * 129)


@pytest.mark.parametrize(
    "name", ["a\n", "a\x00b", "\x1b[2J", "a\ud800", "a\u200bb", "\u202eabc", "a\u00adb", "\u3164", "a\ue000"]
)
def test_name_with_control_characters_is_rejected(name):
    with pytest.raises(InvalidRequest) as error:
        names.check(name)
    assert error.value.errors[0].field == "name"


def test_name_that_stays_is_valid():
    names.check_change("a\u200bb", "a\u200bb")
    with pytest.raises(InvalidRequest) as error:
        names.check_change("ab", "a\u200bb")
    assert "U+200B ZERO WIDTH SPACE" in error.value.detail


@given(st.text(min_size=1, max_size=100))
def test_form_of_an_earlier_release_is_reserved_too(name):
    keys = names.reservation_keys(TENANT, name)
    assert keys[0] == f"name#{TENANT}#{names.normalize(name)}"
    assert names.reservation_keys(TENANT, keys[-1].removeprefix(f"name#{TENANT}#"))[0] == keys[0]


def test_unicode_name_is_accepted():
    names.check("Lager 3 \u2013 \u5009\u5eab")
