"""Pure rules of names and ids: which are well formed, and when two names are one."""

import unicodedata

from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.bus.errors import FieldError, InvalidRequest

MAX_USER_ID = 128
# Control characters and halves of surrogate pairs.
_UNPRINTABLE = ("Cc", "Cs")


def check(name: str) -> None:
    """InvalidRequest for a name with line breaks or other control characters."""
    if any(unicodedata.category(character) in _UNPRINTABLE for character in name):
        message = "a name has no control characters"
        raise InvalidRequest(message, errors=(FieldError(field="name", message=message),))


def normalised(name: str) -> str:
    """What two names have in common when people take them for the same."""
    # Casefolding can take a text apart again, hence the second composition.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def guard_key(tenant_id: str, name: str) -> str:
    """The key that reserves a name in a tenant; never the id of an item."""
    return f"name#{tenant_id}#{normalised(name)}"


def is_id(text: str) -> bool:
    """Whether a text that a caller gave can be the id of an item at all."""
    return ULID_PATTERN.fullmatch(text) is not None


def is_user_id(text: str) -> bool:
    """Whether a text can be the id of a person, which the OpenID provider chooses."""
    return 1 <= len(text) <= MAX_USER_ID
