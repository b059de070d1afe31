"""Base class and helpers of the endpoint classes."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from artcafe_common.bus.client import Bus
from artcafe_common.bus.command import Command
from artcafe_common.bus.errors import CommandError, Forbidden
from artcafe_common.contracts.tenancy.list_query import ListQuery
from artcafe_common.cursors import CursorCodec
from artcafe_common.plans import Plan
from artcafe_common.storage.table import Page
from artcafe_tenancy import metadata
from artcafe_tenancy.activity_table import ActivityTable
from artcafe_tenancy.store import Store
from artcafe_tenancy.stream_reconciler import StreamReconciler
from artcafe_tenancy.tables import TenantItem

T = TypeVar("T")
Item = TypeVar("Item", bound=msgspec.Struct)


class EndpointBase:
    """The dependencies that all endpoint classes share."""

    def __init__(
        self,
        *,
        store: Store,
        activity: ActivityTable,
        streams: StreamReconciler,
        bus: Bus,
        cursors: CursorCodec,
        default_plan: Plan,
        organizations_per_user: int,
    ) -> None:
        self.store = store
        self.activity = activity
        self.streams = streams
        self.bus = bus
        self.cursors = cursors
        self.default_plan = default_plan
        self.organizations_per_user = organizations_per_user

    async def read_page(
        self,
        list_items: Callable[..., Awaitable[Page[Item]]],
        owner_id: str,
        scope: str,
        request: ListQuery[Any],
        **filters: Any,
    ) -> tuple[list[Item], str | None]:
        """A page of the owner's items and its `next_cursor`, which is valid only for this owner and scope."""
        position = self.cursors.decode(owner_id, scope, request.cursor)
        page = await list_items(owner_id, limit=request.limit, position=position, **filters)
        return page.items, self.cursors.encode(owner_id, scope, page.position)

    async def get_tenant(self, tenant_id: str) -> TenantItem:
        """An existing tenant. Raises Forbidden, which does not reveal whether the tenant exists."""
        tenant = await self.store.get_tenant(tenant_id)
        if tenant is None:
            raise Forbidden
        return tenant


def require_found(item: T | None, error: type[CommandError]) -> T:
    """The item. Raises `error` for None."""
    if item is None:
        raise error
    return item


def given_fields(struct: msgspec.Struct) -> dict[str, Any]:
    """The fields that are not UNSET."""
    fields = msgspec.structs.asdict(struct)
    return {name: value for name, value in fields.items() if value is not msgspec.UNSET}


def changed_fields(request: Command[Any], *, key: str = "") -> dict[str, Any]:
    """The fields that an update command sets, except `key`. Raises InvalidRequest for bad metadata."""
    changes = given_fields(request)
    changes.pop("if_match", None)
    changes.pop(key, None)
    if "metadata" in changes:
        metadata.check(changes["metadata"])
    return changes
