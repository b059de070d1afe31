"""Cursors: valid only for their tenant and list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artcafe_common.bus.errors import InvalidCursor
from artcafe_common.cursors import CursorCodec
from artcafe_common.key_ring import KeyRing

CURSORS = CursorCodec(KeyRing.of(b"k" * 32))
POSITION = {"client_id": "x", "tenant_id": "t"}


def test_cursor_round_trip():
    cursor = CURSORS.encode("t", "clients", POSITION)
    assert CURSORS.decode("t", "clients", cursor) == POSITION
    assert CursorCodec(KeyRing.of(b"k" * 32)).decode("t", "clients", cursor) == POSITION
    assert CURSORS.encode("t", "clients", None) is None
    assert CURSORS.decode("t", "clients", None) is None


@pytest.mark.parametrize(
    ("tenant", "scope", "key"),
    [("u", "clients", b"k"), ("t", "channels", b"k"), ("t", "clients", b"l"), ("tc", "lients", b"k")],
)
def test_cursor_is_bound_to_tenant_list_and_key(tenant, scope, key):
    cursor = CURSORS.encode("t", "clients", POSITION)
    with pytest.raises(InvalidCursor):
        CursorCodec(KeyRing.of(key * 32)).decode(tenant, scope, cursor)


@given(st.text(max_size=200))
def test_arbitrary_text_is_not_a_cursor(text):
    with pytest.raises(InvalidCursor):
        CURSORS.decode("t", "clients", text)


def test_tampered_or_too_long_cursor_is_rejected():
    cursor = CURSORS.encode("t", "clients", POSITION)
    for position in range(len(cursor) - 1):
        wrong = "A" if cursor[position] != "A" else "B"
        with pytest.raises(InvalidCursor):
            CURSORS.decode("t", "clients", cursor[:position] + wrong + cursor[position + 1 :])
    with pytest.raises(InvalidCursor):
        CURSORS.decode("t", "clients", "A" * 2000)


def test_short_cursor_key_is_rejected():
    with pytest.raises(ValueError, match="32 bytes"):
        CursorCodec(KeyRing.of(b"short"))
