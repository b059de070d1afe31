"""Field types and errors that several modules of tenancy's contract share."""

from typing import Annotated, Any

from msgspec import Meta

from artcafe_common.bus.errors import CommandError

# Follows `$`, which in Python also matches before a final line break; JSON Schema, where patterns are shown, has no `\Z`.
PYTHON_END = r"(?!\n)"
# No control character, and no white space at either end.
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_LINE = rf"[^\s{_CONTROLS}]([^{_CONTROLS}]*[^\s{_CONTROLS}])?"
MAX_NAME_LENGTH = 100
DisplayName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_NAME_LENGTH,
        pattern=rf"^{_LINE}${PYTHON_END}",
        description="Text without control characters, and without white space at either end",
    ),
]
# A part of a name to search for.
NamePart = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH)]
# Chosen by the OpenID provider; it must be valid in a URL path.
UserId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:|@+=~-]*$(?!\n)",
        description="A user id: letters, digits and . _ : | @ + = ~ -, a letter or digit first",
    ),
]
Email = Annotated[
    str,
    Meta(
        max_length=254,
        pattern=r"^[^\s\x00-\x1f\x7f-\x9f]*$(?!\n)",
        description="An e-mail address, without white space and control characters",
    ),
]
Description = Annotated[str, Meta(max_length=1000)]
Limit = Annotated[int, Meta(ge=1, le=200)]
CursorText = Annotated[str, Meta(max_length=1024)]
Metadata = dict[str, Any]
MAX_METADATA_BYTES = 16 * 1024
PublicKeyText = Annotated[str, Meta(min_length=1, max_length=16 * 1024)]


class NameTaken(CommandError):
    """The name is already used in this organization."""

    status = 409
    code = "name_taken"
    title = "The name is already in use"
    remedy = "Choose another name; names that differ only in upper and lower case, or in the form of letters, are equal."


class PlanLimitReached(CommandError):
    """The plan's limit for this kind of resource is reached; `detail` names the limit and its number."""

    status = 409
    code = "plan_limit"
    title = "The plan's limit is reached"
    remedy = "Delete resources that you do not need, or ask the operator for a larger plan."
