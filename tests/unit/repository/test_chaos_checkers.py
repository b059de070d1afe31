"""The checkers of `make chaos` find what they look for."""

from chaos import findings
from chaos.findings import Arrivals, Findings, compare
from chaos.report import AT_MOST_ONCE, list_violations


def test_numbers_that_arrived_once_and_in_order_are_no_finding():
    assert compare([0, 1, 2], [0, 1, 2, 3]) == {"lost": 0, "doubled": 0, "disordered": 0}


def test_missing_repeated_and_late_numbers_are_counted():
    assert compare([0, 1, 2, 3, 4], [0, 2, 2, 1, 0]) == {"lost": 2, "doubled": 2, "disordered": 1}


def test_only_subjects_without_a_stream_may_lose_messages():
    assert list_violations(Findings(fault="f", traffic=AT_MOST_ONCE, lost=1)) == []
    assert list_violations(Findings(fault="f", traffic="REST channel", lost=1)) == ["f, REST channel: 1 lost"]


def test_second_round_adds_counts_and_keeps_the_longest_times():
    found = Findings(fault="f", traffic="t", lost=1, slowest_write_s=0.5, errors={"503": 1})
    found.add(Findings(fault="f", traffic="t", lost=2, slowest_write_s=0.1, errors={"503": 2}))
    assert (found.lost, found.slowest_write_s, found.errors) == (3, 0.5, {"503": 3})


def test_time_after_the_last_arrival_is_a_gap(monkeypatch):
    now = 0.0
    monkeypatch.setattr(findings.time, "monotonic", lambda: now)
    arrivals = Arrivals()
    for now in (1.0, 3.0):
        arrivals.add(now)
    now = 10.0
    assert arrivals.longest_gap_s == 7.0
