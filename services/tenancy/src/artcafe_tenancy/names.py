"""Rules of names and ids: validation, and which names count as equal."""

import unicodedata

from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.bus.errors import FieldError, InvalidRequest

MAX_USER_ID_LENGTH = 128
# Unicode categories: control characters and unpaired surrogates.
_UNPRINTABLE = ("Cc", "Cs")


def check(name: str) -> None:
    """Raises InvalidRequest for a name with line breaks or other control characters."""
    if any(unicodedata.category(character) in _UNPRINTABLE for character in name):
        message = "a name must not contain control characters"
        raise InvalidRequest(message, errors=(FieldError(field="name", message=message),))


def normalize(name: str) -> str:
    """The form in which names are compared: NFC and case-folded."""
    # Casefolding can decompose characters, so the result is composed again.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def reservation_key(tenant_id: str, name: str) -> str:
    """The partition key of a name's reservation, which is never a valid id."""
    return f"name#{tenant_id}#{normalize(name)}"


def is_ulid(text: str) -> bool:
    """Whether the text is a well-formed id of a tenant, client, agent, channel or subject."""
    return ULID_PATTERN.fullmatch(text) is not None


def is_user_id(text: str) -> bool:
    """Whether the text can be a user id, which the OpenID provider assigns."""
    return 1 <= len(text) <= MAX_USER_ID_LENGTH
