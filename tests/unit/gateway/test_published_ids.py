"""Which messages a gateway knows to have reached the broker."""

from artcafe_gateway.delivery.message import create_unique_id
from artcafe_gateway.history.acks import Ack
from artcafe_gateway.history.published_ids import PublishedIds

STORED = Ack(stream="CHANNELS", seq=1)


def test_message_is_known_from_the_flush_or_the_acknowledgement_on():
    published = PublishedIds()
    assert "a" not in published
    published.record("a")
    published.record_ack("b", STORED)
    assert "a" in published
    assert "b" in published


def test_message_that_another_gateway_published_first_is_not_known():
    published = PublishedIds()
    published.record("a")
    published.record_ack("a", Ack(stream="CHANNELS", seq=1, duplicate=True))
    assert "a" not in published


def test_message_that_nobody_else_repeats_or_without_an_acknowledgement_is_not_known():
    published = PublishedIds()
    unique_id = create_unique_id()
    published.record(unique_id)
    published.record_ack(unique_id, STORED)
    published.record_ack("a", None)
    assert unique_id not in published
    assert "a" not in published


def test_publisher_without_an_id_is_not_told_of_the_gateways_own_repetition():
    duplicate = Ack(stream="CHANNELS", seq=1, duplicate=True)
    assert PublishedIds().record_ack(create_unique_id(), duplicate) == STORED
    assert PublishedIds().record_ack("a", duplicate) == duplicate
