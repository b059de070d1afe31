"""Field types and errors that several modules of tenancy's contract share."""

from typing import Annotated, Any

from msgspec import Meta

from artcafe_common.bus.errors import CommandError

# No control character, and no white space at either end. `$(?!\n)` because in Python `$` also matches before a final
# line break, and JSON Schema, where these patterns are shown, has no `\Z`.
_LINE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]"
DisplayName = Annotated[str, Meta(min_length=1, max_length=100, pattern=rf"^(?!\s){_LINE}+(?<!\s)$(?!\n)")]
# Chosen by the OpenID provider; it must be valid in a URL path.
UserId = Annotated[
    str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:|@+=~-]*$(?!\n)")
]
Email = Annotated[str, Meta(max_length=254, pattern=r"^[^\s\x00-\x1f\x7f-\x9f]*$(?!\n)")]
Description = Annotated[str, Meta(max_length=1000)]
Limit = Annotated[int, Meta(ge=1, le=200)]
CursorText = Annotated[str, Meta(max_length=1024)]
Patterns = Annotated[list[Annotated[str, Meta(min_length=1, max_length=255)]], Meta(max_length=100)]
Metadata = dict[str, Any]
MAX_METADATA_BYTES = 16 * 1024
PublicKeyText = Annotated[str, Meta(min_length=1, max_length=16 * 1024)]


class NameTaken(CommandError):
    """The name is already used in this organization."""

    status = 409
    code = "name_taken"
    title = "The name is already in use"
    remedy = "Choose another name; names that differ only in upper and lower case are equal."


class PlanLimitReached(CommandError):
    """The plan's limit for this kind of resource is reached."""

    status = 409
    code = "plan_limit"
    title = "The plan's limit is reached"
    remedy = "Delete resources that you do not need, or ask the operator for a larger plan."
