"""Endpoints of users' profiles and preferences."""

import functools
import zoneinfo

from msgspec import UNSET

from artcafe_common import authorization
from artcafe_common.bus.caller import current_caller
from artcafe_common.bus.command import Empty
from artcafe_common.bus.endpoints import handles
from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_common.contracts.tenancy.profiles import (
    GetPreferences,
    GetProfile,
    Notifications,
    Organization,
    Preferences,
    Profile,
    RecordUserDetails,
    UpdatePreferences,
    UpdateProfile,
)
from artcafe_tenancy.endpoint_base import EndpointBase, changed_fields, given_fields
from artcafe_tenancy.tables import ProfileItem

MAX_ORGANIZATIONS = 200


class ProfileEndpoints(EndpointBase):
    """Commands on the caller's own profile and preferences."""

    @handles(GetProfile)
    async def get_profile(self, request: GetProfile) -> Profile:
        user_id = authorization.require_user()
        return await self._to_profile(await self.store.get_profile(user_id), request.email)

    @handles(UpdateProfile)
    async def update_profile(self, request: UpdateProfile) -> Profile:
        user_id = authorization.require_user()
        changes = changed_fields(request, key="email")
        profile = await self.store.update_profile(user_id, changes, request.check_version)
        return await self._to_profile(profile, request.email)

    @handles(RecordUserDetails)
    async def record_user_details(self, request: RecordUserDetails) -> Empty:
        await self.store.record_details(
            request.user_id, request.email, request.name, verified=request.email_verified
        )
        return Empty()

    @handles(GetPreferences)
    async def get_preferences(self, request: GetPreferences) -> Preferences:  # noqa: ARG002 - it has no fields
        return _to_preferences(await self.store.get_profile(authorization.require_user()))

    @handles(UpdatePreferences)
    async def update_preferences(self, request: UpdatePreferences) -> Preferences:
        user_id = authorization.require_user()
        if request.timezone is not UNSET:
            _check_timezone(request.timezone)
        changes = changed_fields(request)
        if request.notifications is not UNSET:
            del changes["notifications"]
            changes |= {
                f"notify_{name}": value for name, value in given_fields(request.notifications).items()
            }
        return _to_preferences(await self.store.update_profile(user_id, changes, request.check_version))

    async def _to_profile(self, item: ProfileItem, email: str) -> Profile:
        memberships = (await self.store.list_memberships(item.user_id, limit=MAX_ORGANIZATIONS)).items
        tenants = await self.store.get_tenants([each.tenant_id for each in memberships])
        organizations = [
            Organization(account_id=tenant.id, name=tenant.name, role=membership.role, plan=tenant.plan)
            for membership, tenant in zip(memberships, tenants, strict=True)
            if tenant is not None
        ]
        current = current_caller().tenant_id
        if not current and len(organizations) == 1:
            current = organizations[0].account_id
        return Profile(
            user_id=item.user_id,
            email=email or item.email or next((each.email for each in memberships if each.email), ""),
            name=item.name or item.provider_name,
            avatar_url=item.avatar_url,
            organizations=organizations,
            current_organization=next((each for each in organizations if each.account_id == current), None),
            updated_at=item.updated_at,
        )


def _to_preferences(item: ProfileItem) -> Preferences:
    notifications = {name: getattr(item, f"notify_{name}") for name in Notifications.__struct_fields__}
    preferences = {name: getattr(item, name) for name in ("theme", "language", "timezone")}
    return Preferences(
        **{name: value for name, value in preferences.items() if value is not None},
        notifications=Notifications(
            **{name: value for name, value in notifications.items() if value is not None}
        ),
        updated_at=item.updated_at,
    )


def _check_timezone(name: str) -> None:
    if name not in _timezones():
        message = "not a time zone of the IANA database"
        raise InvalidRequest(message, errors=(FieldError(field="timezone", message=message),))


@functools.cache
def _timezones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones() | {"UTC"})
