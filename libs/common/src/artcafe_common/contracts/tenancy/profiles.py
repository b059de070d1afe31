"""Profiles of people, kept by tenancy: who they are, where they belong, what they prefer."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from artcafe_common.bus.command import Command, Query
from artcafe_common.contracts.tenancy.fields import DisplayName
from artcafe_common.contracts.tenancy.members import Role
from artcafe_common.plans import Plan

AvatarUrl = Annotated[str, Meta(max_length=2048, pattern=r"^(https://[^\s\x00-\x1f\x7f-\x9f]+)?$(?!\n)")]
# As in BCP 47, without its rarities: en, pt-BR, zh-Hant-TW.
Language = Annotated[str, Meta(max_length=35, pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$(?!\n)")]
Timezone = Annotated[str, Meta(min_length=1, max_length=64)]


class Theme(StrEnum):
    """How the dashboard looks."""

    LIGHT = "light"
    DARK = "dark"
    SYSTEM = "system"


class Organization(msgspec.Struct, frozen=True, kw_only=True):
    """One of a person's organizations, and what they are in it."""

    account_id: str
    name: str
    role: Role
    plan: Plan


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A person with (the first 200 of) their organizations.

    `current_organization` is the one that was asked for, or the only one.
    """

    user_id: str
    email: str
    name: str
    avatar_url: str
    organizations: list[Organization]
    current_organization: Organization | None
    updated_at: datetime | None


class Notifications(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants to be told of, and how."""

    email: bool = True
    dashboard: bool = True
    client_offline: bool = True
    quota: bool = True
    security: bool = True


class NotificationChanges(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What is given of Notifications."""

    email: bool | UnsetType = UNSET
    dashboard: bool | UnsetType = UNSET
    client_offline: bool | UnsetType = UNSET
    quota: bool | UnsetType = UNSET
    security: bool | UnsetType = UNSET


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """A person's preferences, with defaults where they chose nothing."""

    theme: Theme = Theme.SYSTEM
    language: str = "en"
    timezone: str = "UTC"
    notifications: Notifications = Notifications()


class GetProfile(Query[Profile], frozen=True, kw_only=True):
    """The caller's profile; the caller's tenant, if any, is the current organization."""

    subject = "artcafe.tenancy.profile.get"
    email: str = ""


class UpdateProfile(Command[Profile], frozen=True, kw_only=True):
    """Change what is given of the caller's profile."""

    subject = "artcafe.tenancy.profile.update"
    email: str = ""
    name: DisplayName | UnsetType = UNSET
    avatar_url: AvatarUrl | UnsetType = UNSET


class GetPreferences(Query[Preferences], frozen=True, kw_only=True):
    """The caller's preferences."""

    subject = "artcafe.tenancy.preferences.get"


class UpdatePreferences(Command[Preferences], frozen=True, kw_only=True):
    """Change what is given of the caller's preferences; a timezone is one of the IANA database."""

    subject = "artcafe.tenancy.preferences.update"
    theme: Theme | UnsetType = UNSET
    language: Language | UnsetType = UNSET
    timezone: Timezone | UnsetType = UNSET
    notifications: NotificationChanges | UnsetType = UNSET
