"""Rules of names and ids: validation, and which names count as equal."""

import unicodedata

from precis_i18n import get_profile

from artcafe_common.broker.subjects import ULID_PATTERN
from artcafe_common.bus.errors import FieldError, InvalidRequest

MAX_USER_ID_LENGTH = 128
# Letters, digits, symbols, punctuation and spaces of any script (RFC 8264, section 4.3).
_FREEFORM = get_profile("FreeformClass")
_MAX_PASSES = 4


def check(name: str) -> None:
    """Raises InvalidRequest for a name with control, invisible or unassigned characters, as PRECIS recommends."""
    try:
        _FREEFORM.enforce(name)
    except UnicodeEncodeError as error:
        character = name[error.start]
        described = f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()
        message = f"a name must not contain control, invisible or unassigned characters, such as {described}"
        raise InvalidRequest(message, errors=(FieldError(field="name", message=message),)) from None


def check_change(before: str, after: str) -> None:
    """As `check`, but a name that stays is valid, also one of an earlier release."""
    if after != before:
        check(after)


def normalize(name: str) -> str:
    """The form in which names are compared: case-folded, in NFKC, with single spaces."""
    # Case folding can decompose characters and the other way round.
    for _ in range(_MAX_PASSES):
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
        folded = " ".join(folded.split())
        if folded == name:
            break
        name = folded
    return name


def _normalize_before(name: str) -> str:
    """The form of earlier releases, whose reservations exist: NFC and case-folded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def reservation_keys(tenant_id: str, name: str) -> tuple[str, ...]:
    """The partition keys that reserve a name, which are never valid ids; more than one for few names.

    The form of earlier releases is reserved as well, so that a name is taken whichever release reserved it.
    """
    forms = dict.fromkeys((normalize(name), _normalize_before(name)))
    return tuple(f"name#{tenant_id}#{form}" for form in forms)


def is_ulid(text: str) -> bool:
    """Whether the text is a well-formed id of a tenant, client, agent, channel or subject."""
    return ULID_PATTERN.fullmatch(text) is not None


def is_user_id(text: str) -> bool:
    """Whether the text can be a user id, which the OpenID provider assigns."""
    return 1 <= len(text) <= MAX_USER_ID_LENGTH
