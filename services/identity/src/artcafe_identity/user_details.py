"""The e-mail address and the name of a person, from an ID token or the provider's user info."""

import unicodedata
from collections.abc import Mapping
from typing import Any

import msgspec

MAX_EMAIL_LENGTH = 254
MAX_NAME_LENGTH = 128
# Unicode categories of characters that are not shown, or change how others are shown.
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
# Persian and Indic names contain these.
_JOINERS = "\u200c\u200d"


class UserDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider says of a person; empty or None where it says nothing."""

    email: str = ""
    name: str = ""
    email_verified: bool | None = None


def read_details(claims: Mapping[str, Any]) -> UserDetails:
    """The details in OpenID claims. An address that the provider calls unverified could be anybody's, so it is left out."""
    stated = claims.get("email_verified")
    verified = True if stated in (True, "true") else False if stated in (False, "false") else None
    email = "" if verified is False else _text(claims.get("email"), MAX_EMAIL_LENGTH)
    email = email if "@" in email else ""
    parts = (_text(claims.get(part), MAX_NAME_LENGTH) for part in ("given_name", "family_name"))
    name = _text(claims.get("name"), MAX_NAME_LENGTH) or " ".join(filter(None, parts))[:MAX_NAME_LENGTH]
    return UserDetails(
        email=email, name=name, email_verified=verified if email or verified is False else None
    )


def _text(value: Any, max_length: int) -> str:
    """The value, if it is a text that can be shown; empty for anything else."""
    if not isinstance(value, str) or len(value) > max_length:
        return ""
    if any(unicodedata.category(each) in _HIDDEN and each not in _JOINERS for each in value):
        return ""
    return value.strip()
