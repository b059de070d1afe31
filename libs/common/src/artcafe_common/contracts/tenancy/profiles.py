"""User profiles: personal data, organizations and preferences."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from artcafe_common.bus.command import Command, Empty, Query
from artcafe_common.contracts.tenancy.conditional import ConditionalCommand, PreconditionFailed
from artcafe_common.contracts.tenancy.fields import DisplayName, Email
from artcafe_common.contracts.tenancy.members import Role
from artcafe_common.plans import Plan

AvatarUrl = Annotated[
    str,
    Meta(
        max_length=2048,
        pattern=r"^(https://[^\s\x00-\x1f\x7f-\x9f]+)?$(?!\n)",
        description="An https URL, or nothing",
    ),
]
# Language tags of BCP 47, such as en, pt-BR and zh-Hant-TW, without its rare forms.
Language = Annotated[
    str,
    Meta(
        max_length=35,
        pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$(?!\n)",
        description="A language tag such as en or pt-BR",
    ),
]
Timezone = Annotated[str, Meta(min_length=1, max_length=64)]


class Theme(StrEnum):
    """The color theme of the dashboard."""

    LIGHT = "light"
    DARK = "dark"
    SYSTEM = "system"


class Organization(msgspec.Struct, frozen=True, kw_only=True):
    """An organization of a user, and the user's role in it."""

    account_id: str
    name: str
    role: Role
    plan: Plan


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A user's profile, with up to 200 organizations; without a `name` of the user's own, that of the identity provider.

    `current_organization` is the one that the request selects, or the user's only one.
    """

    user_id: str
    email: str
    name: str
    avatar_url: str
    organizations: list[Organization]
    current_organization: Organization | None
    updated_at: datetime | None


class Notifications(msgspec.Struct, frozen=True, kw_only=True):
    """The notifications that a user receives, and their channels."""

    email: bool = True
    dashboard: bool = True
    client_offline: bool = True
    quota: bool = True
    security: bool = True


class NotificationChanges(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The fields of Notifications to update."""

    email: bool | UnsetType = UNSET
    dashboard: bool | UnsetType = UNSET
    client_offline: bool | UnsetType = UNSET
    quota: bool | UnsetType = UNSET
    security: bool | UnsetType = UNSET


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """A user's preferences; unset ones have their defaults."""

    theme: Theme = Theme.SYSTEM
    language: str = "en"
    timezone: str = "UTC"
    notifications: Notifications = Notifications()
    updated_at: datetime | None = None


class GetProfile(Query[Profile], frozen=True, kw_only=True):
    """Get the calling user's profile."""

    subject = "artcafe.tenancy.profile.get"
    email: str = ""


class UpdateProfile(ConditionalCommand[Profile], frozen=True, kw_only=True):
    """Update the given fields of the calling user's profile."""

    subject = "artcafe.tenancy.profile.update"
    raises = (PreconditionFailed,)
    email: str = ""
    name: DisplayName | UnsetType = UNSET
    avatar_url: AvatarUrl | UnsetType = UNSET


class RecordUserDetails(Command[Empty], frozen=True, kw_only=True):
    """Keep the e-mail address and the name of a user as the identity provider gives them; empty ones stay unchanged.

    `email_verified` is whether the provider says that the address is the user's; None if it does not say.
    """

    subject = "artcafe.tenancy.profile.record"
    callers = ("identity",)
    idempotent = True
    user_id: Annotated[str, Meta(min_length=1, max_length=128)]
    email: Email = ""
    name: Annotated[str, Meta(max_length=128)] = ""
    email_verified: bool | None = None


class GetPreferences(Query[Preferences], frozen=True, kw_only=True):
    """Get the calling user's preferences."""

    subject = "artcafe.tenancy.preferences.get"


class UpdatePreferences(ConditionalCommand[Preferences], frozen=True, kw_only=True):
    """Update the given preferences of the calling user; `timezone` is a name in the IANA database."""

    subject = "artcafe.tenancy.preferences.update"
    raises = (PreconditionFailed,)
    theme: Theme | UnsetType = UNSET
    language: Language | UnsetType = UNSET
    timezone: Timezone | UnsetType = UNSET
    notifications: NotificationChanges | UnsetType = UNSET
