"""Counters of one connection: unconfirmed, confirmed, and the platform's own requests."""

from artcafe_gateway.bridges.counters import ConnectionCounters


def test_publishes_are_counted_by_client_and_channel():
    counters = ConnectionCounters()
    counters.record_publish(("c", ""), 5, 4)
    counters.record_publish(("c", ""), 1, 0)
    counters.record_publish(("c", "news"), 2, 0)
    assert counters.unconfirmed == {("c", ""): [2, 6, 10], ("c", "news"): [1, 2, 2]}
    assert (counters.confirmed_messages, counters.confirmed_bytes_in) == (0, 0)


def test_confirmed_bytes_include_headers():
    counters = ConnectionCounters()
    counters.record_publish(("c", ""), 5, 4)
    counters.confirm(counters.take_unconfirmed())
    assert (counters.confirmed_messages, counters.confirmed_bytes_in) == (1, 9)


def test_taken_counts_are_not_returned_again():
    counters = ConnectionCounters()
    counters.record_publish(("c", ""), 1, 0)
    assert counters.take_unconfirmed() == {("c", ""): [1, 1, 1]}
    assert counters.take_unconfirmed() == {}
    assert not counters.changed
