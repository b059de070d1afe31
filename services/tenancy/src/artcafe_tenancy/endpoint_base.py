"""What the endpoints of every noun need."""

from artcafe_common.bus.client import Bus
from artcafe_common.bus.errors import Forbidden
from artcafe_common.cursors import CursorCodec
from artcafe_common.plans import Plan
from artcafe_tenancy.activity_table import ActivityTable
from artcafe_tenancy.store import Store
from artcafe_tenancy.stream_reconciler import StreamReconciler
from artcafe_tenancy.tables import TenantItem


class Handlers:
    """The base of the endpoint classes."""

    def __init__(
        self,
        *,
        store: Store,
        activity: ActivityTable,
        streams: StreamReconciler,
        bus: Bus,
        cursors: CursorCodec,
        default_plan: Plan,
    ) -> None:
        self.store = store
        self.activity = activity
        self.streams = streams
        self.bus = bus
        self.cursors = cursors
        self.default_plan = default_plan

    async def tenant(self, tenant_id: str) -> TenantItem:
        """A tenant that must be there; one that is not tells no more than one that is closed to you."""
        tenant = await self.store.tenant(tenant_id)
        if tenant is None:
            raise Forbidden
        return tenant
