"""The common form of commands that read a list page by page."""

from typing import ClassVar, Generic, TypeVar

from artcafe_common.bus.command import Query
from artcafe_common.bus.errors import CommandError, InvalidCursor
from artcafe_common.contracts.tenancy.fields import CursorText, Limit

R = TypeVar("R")


class ListQuery(Query[R], Generic[R], frozen=True, kw_only=True):
    """Reads one page of at most `limit` items; `cursor` is the `next_cursor` of the previous page."""

    raises: ClassVar[tuple[type[CommandError], ...]] = (InvalidCursor,)
    # A page may be large, and nobody waits for a list to change something.
    patience_s = 4.0
    limit: Limit = 50
    cursor: CursorText | None = None
