"""The status of a record whose stream the broker had refused."""

from types import SimpleNamespace

import pytest

from artcafe_common import clock
from artcafe_common.contracts.identity.streams import EnsureStream, StreamRefused
from artcafe_common.contracts.tenancy.subjects import SubjectStatus
from artcafe_tenancy.stream_reconciler import HISTORY_RETENTION, StreamReconciler
from artcafe_tenancy.subject_patterns import history_key
from artcafe_tenancy.tables import SubjectItem
from support.fakes.ids import TENANT


class Subjects:
    """The table, with the record of one history."""

    def __init__(self):
        self.record = SubjectItem(
            subject_id=history_key(TENANT),
            tenant_id=TENANT,
            name="",
            pattern="",
            raw=[],
            stream="CHANNELS",
            retention=HISTORY_RETENTION,
            description="",
            metadata={},
            status=SubjectStatus.REFUSED,
            refusal=StreamRefused.code,
            created_at=clock.now(),
            updated_at=clock.now(),
        )

    async def get_record(self, _tenant_id, _key):
        return self.record

    async def list(self, _tenant_id, *, limit, position):
        assert limit
        return SimpleNamespace(items=[], position=position)

    async def set_status(self, item, status, refusal):
        assert item is self.record
        self.record = SimpleNamespace(status=status, refusal=refusal, deleting=False)
        return True


class Broker:
    """The calls of identity; it may refuse streams."""

    def __init__(self):
        self.refuses = True

    async def call(self, command):
        if self.refuses and isinstance(command, EnsureStream):
            raise StreamRefused


@pytest.fixture
def subjects():
    return Subjects()


@pytest.fixture
def broker():
    return Broker()


@pytest.fixture
def reconciler(subjects, broker):
    return StreamReconciler(SimpleNamespace(subjects=subjects), broker)


async def test_refused_history_is_active_when_the_broker_accepts_it(reconciler, subjects, broker):
    assert await reconciler.sync(TENANT) == (0, True)
    assert subjects.record.status is SubjectStatus.REFUSED
    assert not await reconciler.has_history(TENANT)
    broker.refuses = False
    assert await reconciler.sync(TENANT) == (1, False)
    assert (subjects.record.status, subjects.record.refusal) == (SubjectStatus.ACTIVE, None)
    assert await reconciler.has_history(TENANT)
