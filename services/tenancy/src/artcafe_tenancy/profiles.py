"""Endpoints of people's profiles and preferences."""

import functools
import zoneinfo

from msgspec import UNSET

from artcafe_common import authorization
from artcafe_common.bus.caller import current_caller
from artcafe_common.bus.endpoints import handles
from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_common.contracts.tenancy.profiles import (
    GetPreferences,
    GetProfile,
    Notifications,
    Organization,
    Preferences,
    Profile,
    UpdatePreferences,
    UpdateProfile,
)
from artcafe_tenancy import names
from artcafe_tenancy.endpoint_base import Handlers, given_fields
from artcafe_tenancy.tables import ProfileItem

MAX_ORGANIZATIONS = 200


class ProfileEndpoints(Handlers):
    """The person who asks, and nobody else."""

    @handles(GetProfile)
    async def get_profile(self, request: GetProfile) -> Profile:
        user_id = authorization.require_person()
        return await self._profile(await self.store.profile(user_id), request.email)

    @handles(UpdateProfile)
    async def update_profile(self, request: UpdateProfile) -> Profile:
        user_id = authorization.require_person()
        if request.name is not UNSET:
            names.check(request.name)
        changes = given_fields(request)
        del changes["email"]
        return await self._profile(await self.store.change_profile(user_id, changes), request.email)

    @handles(GetPreferences)
    async def get_preferences(self, request: GetPreferences) -> Preferences:  # noqa: ARG002 - it has no fields
        return _preferences(await self.store.profile(authorization.require_person()))

    @handles(UpdatePreferences)
    async def update_preferences(self, request: UpdatePreferences) -> Preferences:
        user_id = authorization.require_person()
        if request.timezone is not UNSET:
            _check_timezone(request.timezone)
        changes = given_fields(request)
        if request.notifications is not UNSET:
            del changes["notifications"]
            changes |= {
                f"notify_{name}": value for name, value in given_fields(request.notifications).items()
            }
        return _preferences(await self.store.change_profile(user_id, changes))

    async def _profile(self, item: ProfileItem, email: str) -> Profile:
        places = (await self.store.memberships(item.user_id, limit=MAX_ORGANIZATIONS)).items
        tenants = await self.store.tenants([place.tenant_id for place in places])
        organizations = [
            Organization(account_id=tenant.id, name=tenant.name, role=place.role, plan=tenant.plan)
            for place, tenant in zip(places, tenants, strict=True)
            if tenant is not None
        ]
        chosen = current_caller().tenant_id
        if not chosen and len(organizations) == 1:
            chosen = organizations[0].account_id
        return Profile(
            user_id=item.user_id,
            email=email or next((place.email for place in places if place.email), ""),
            name=item.name,
            avatar_url=item.avatar_url,
            organizations=organizations,
            current_organization=next((each for each in organizations if each.account_id == chosen), None),
            updated_at=item.updated_at,
        )


def _preferences(item: ProfileItem) -> Preferences:
    flags = {name: getattr(item, f"notify_{name}") for name in Notifications.__struct_fields__}
    chosen = {name: getattr(item, name) for name in ("theme", "language", "timezone")}
    return Preferences(
        **{name: value for name, value in chosen.items() if value is not None},
        notifications=Notifications(**{name: value for name, value in flags.items() if value is not None}),
    )


def _check_timezone(name: str) -> None:
    if name not in _timezones():
        message = "not a timezone of the IANA database"
        raise InvalidRequest(message, errors=(FieldError(field="timezone", message=message),))


@functools.cache
def _timezones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones() | {"UTC"})
