"""Patterns of subject records: their raw subjects, overlaps and limits."""

import pytest

from artcafe_common.broker.subjects import BadSubject, ForbiddenSubject
from artcafe_common.contracts.identity.streams import SubjectOverlap
from artcafe_common.contracts.tenancy.fields import NameTaken, PlanLimitReached
from artcafe_common.contracts.tenancy.subjects import MAX_SUBJECTS
from artcafe_tenancy.subject_patterns import check_reservation, to_raw_subjects
from artcafe_tenancy.tables import SubjectReservation

TENANT = "01JADAR0000000000000000000"
OTHER = "01JADAR0000000000000000001"


def reservation(name="a", raw=("t.a",), max_bytes=10):
    return SubjectReservation(name=name, raw=list(raw), max_bytes=max_bytes)


@pytest.mark.parametrize("pattern", ["x.>", f"{TENANT}.x.>", f"tenant.{TENANT}.x.>"])
def test_all_forms_of_a_pattern_have_the_same_raw_subjects(pattern):
    assert to_raw_subjects(TENANT, pattern) == [f"{TENANT}.x.>", f"tenant.{TENANT}.x.>"]


def test_legacy_root_has_one_raw_subject():
    assert to_raw_subjects(TENANT, f"channels.{TENANT}.x") == [f"channels.{TENANT}.x"]


@pytest.mark.parametrize(
    ("pattern", "error"),
    [
        ("a..b", BadSubject),
        (f"{OTHER}.x", ForbiddenSubject),
        ("$SYS.>", ForbiddenSubject),
        ("_INBOX.x", ForbiddenSubject),
        ("presence.>", ForbiddenSubject),
        (">", SubjectOverlap),
        ("*.>", SubjectOverlap),
        (f"tenant.{TENANT}.channel.x", SubjectOverlap),
    ],
)
def test_foreign_or_reserved_pattern_is_rejected(pattern, error):
    with pytest.raises(error):
        to_raw_subjects(TENANT, pattern)


def test_disjoint_patterns_are_accepted():
    check_reservation({"1": reservation()}, "2", reservation("b", ["t.b"]), 20)
    check_reservation({"1": reservation()}, "1", reservation("a", ["t.>"]), 10)


def test_duplicate_name_overlap_and_excess_storage_are_rejected():
    held = {"1": reservation()}
    with pytest.raises(NameTaken):
        check_reservation(held, "2", reservation("a", ["t.b"]), None)
    with pytest.raises(SubjectOverlap):
        check_reservation(held, "2", reservation("b", ["t.*"]), None)
    with pytest.raises(PlanLimitReached):
        check_reservation(held, "2", reservation("b", ["t.b"], 11), 20)
    with pytest.raises(PlanLimitReached):
        check_reservation(
            {str(n): reservation(str(n), [f"t.{n}"]) for n in range(MAX_SUBJECTS + 1)},
            "x",
            reservation(),
            None,
        )


def test_organization_over_its_plan_may_shrink_but_not_grow():
    held = {"1": reservation(max_bytes=50), "2": reservation("b", ["t.b"], 50)}
    check_reservation(held, "1", reservation(max_bytes=50), 20)
    check_reservation(held, "1", reservation(max_bytes=40), 20)
    with pytest.raises(PlanLimitReached):
        check_reservation(held, "1", reservation(max_bytes=51), 20)
