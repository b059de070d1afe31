"""Changes that apply only if nobody has changed the resource in the meantime."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Generic, TypeVar

from msgspec import UNSET, UnsetType

from artcafe_common.bus.command import Command
from artcafe_common.bus.errors import CommandError

R = TypeVar("R")
# Stands for the time of the last change of a resource that was never changed.
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
# Receives the `updated_at` of the stored resource. Raises PreconditionFailed.
VersionCheck = Callable[[datetime | None], None]


class PreconditionFailed(CommandError):
    """The resource was changed after the version that `If-Match` names; nothing was changed by this request."""

    status = 412
    code = "precondition_failed"
    title = "The resource was changed in the meantime"
    remedy = "Read the resource again, apply your change to it, and send the new `ETag` in `If-Match`."


class ConditionalCommand(Command[R], Generic[R], frozen=True, kw_only=True):
    """A change of a resource; with `if_match` only if its `updated_at` is one of these."""

    if_match: tuple[datetime, ...] | UnsetType = UNSET

    def check_version(self, updated_at: datetime | None) -> None:
        """Raise PreconditionFailed for a version that `if_match` does not allow."""
        if self.if_match is not UNSET and (updated_at or NEVER) not in self.if_match:
            raise PreconditionFailed
