"""Pauses between attempts: growing, bounded, and not the same for everybody."""

from artcafe_common.backoff import Backoff


def test_pauses_double_up_to_the_maximum_with_a_random_part():
    backoffs = [Backoff(0.1, 0.5) for _ in range(200)]
    for longest in (0.1, 0.2, 0.4, 0.5, 0.5):
        pauses = [each.next_pause_s() for each in backoffs]
        assert longest / 2 <= min(pauses) < max(pauses) <= longest
        assert len(set(pauses)) > 100


def test_first_pause_follows_a_success():
    backoff = Backoff(0.1, 5)
    for _ in range(5):
        backoff.next_pause_s()
    backoff.reset()
    assert backoff.next_pause_s() <= 0.1
