"""The person who asks."""

from typing import Any

from litestar import Controller, get, put
from litestar.connection import Request
from litestar.di import NamedDependency

from artcafe_common.bus.caller import CallerContext
from artcafe_common.bus.errors import Forbidden
from artcafe_common.contracts.tenancy.profiles import (
    GetPreferences,
    GetProfile,
    Preferences,
    Profile,
    UpdatePreferences,
    UpdateProfile,
)
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import AuthenticatedUser, member
from artcafe_gateway.http.request import body, query


class ProfileController(Controller):
    """Needs no organization; one that is named must be the caller's, and is then the current one."""

    path = "/profile"
    tags = ["profile"]

    @get(
        "/me",
        summary="The caller's profile and organizations",
        does=[GetProfile],
        given=["email"],
        refuses=[Forbidden],
    )
    async def me(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        person: NamedDependency[AuthenticatedUser],
    ) -> Profile:
        command = query(request, GetProfile, email=person.user.email)
        return await gateway.bus.call(command, caller=await _caller(request, gateway, person))

    @put(
        "/me",
        summary="Change the caller's profile",
        does=[UpdateProfile],
        given=["email"],
        refuses=[Forbidden],
    )
    async def update_me(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        person: NamedDependency[AuthenticatedUser],
    ) -> Profile:
        command = await body(request, UpdateProfile, email=person.user.email)
        return await gateway.bus.call(command, caller=await _caller(request, gateway, person))

    @get("/preferences", summary="The caller's preferences", does=[GetPreferences])
    async def preferences(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        person: NamedDependency[AuthenticatedUser],
    ) -> Preferences:
        return await gateway.bus.call(query(request, GetPreferences), caller=person.caller)

    @put("/preferences", summary="Change the caller's preferences", does=[UpdatePreferences])
    async def update_preferences(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        person: NamedDependency[AuthenticatedUser],
    ) -> Preferences:
        return await gateway.bus.call(await body(request, UpdatePreferences), caller=person.caller)


async def _caller(
    request: Request[Any, Any, Any], gateway: Gateway, person: AuthenticatedUser
) -> CallerContext:
    if request.headers.get("x-tenant-id"):
        return (await member(request, gateway)).caller
    return person.caller
