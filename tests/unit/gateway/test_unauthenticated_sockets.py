"""How many sockets of one address may authenticate at the same time."""

from contextlib import ExitStack

import pytest

from artcafe_gateway.limits.unauthenticated_sockets import TooManySockets, UnauthenticatedSockets


def test_address_is_refused_from_its_limit_until_one_has_authenticated():
    sockets = UnauthenticatedSockets(2)
    with ExitStack() as opened:
        opened.enter_context(sockets.admit("192.0.2.1"))
        with sockets.admit("192.0.2.1"), pytest.raises(TooManySockets):
            opened.enter_context(sockets.admit("192.0.2.1"))
        opened.enter_context(sockets.admit("192.0.2.1"))
        opened.enter_context(sockets.admit("192.0.2.2"))
        assert sockets.count == 3
    assert sockets.count == 0


def test_addresses_of_one_ipv6_network_count_together():
    sockets = UnauthenticatedSockets(1)
    with sockets.admit("2001:db8::1"):
        with pytest.raises(TooManySockets), sockets.admit("2001:db8::ffff"):
            pass
        with sockets.admit("2001:db8:0:1::1"):
            assert sockets.count == 2


def test_failed_authentication_gives_its_place_back():
    sockets = UnauthenticatedSockets(1)
    for _ in range(3):
        with pytest.raises(RuntimeError), sockets.admit("192.0.2.1"):
            raise RuntimeError
    assert sockets.count == 0


def test_limit_of_zero_is_none():
    sockets = UnauthenticatedSockets(0)
    with ExitStack() as opened:
        for _ in range(5000):
            opened.enter_context(sockets.admit("192.0.2.1"))
