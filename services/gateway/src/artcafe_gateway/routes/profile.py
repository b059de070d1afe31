"""REST routes: the signed-in user's profile and preferences."""

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
from artcafe_gateway.http.auth import AuthenticatedUser, provide_tenant_user, read_tenant_header
from artcafe_gateway.http.conditional import if_match
from artcafe_gateway.http.request import read_body, read_query


class ProfileController(Controller):
    """The signed-in user. `X-Tenant-Id` is optional, and selects the current organization."""

    path = "/profile"
    tags = ["profile"]

    @get(
        "/me",
        summary="Get the user's profile and organizations",
        commands=[GetProfile],
        server_fields=["email"],
        optional_tenant=True,
        errors=[Forbidden],
    )
    async def me(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        user: NamedDependency[AuthenticatedUser],
    ) -> Profile:
        command = read_query(request, GetProfile, email=user.identity.email)
        return await gateway.bus.call(command, caller=await _select_caller(request, gateway, user))

    @put(
        "/me",
        summary="Update the user's profile",
        commands=[UpdateProfile],
        server_fields=["email"],
        optional_tenant=True,
        errors=[Forbidden],
    )
    async def update_me(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        user: NamedDependency[AuthenticatedUser],
    ) -> Profile:
        command = await read_body(
            request, UpdateProfile, email=user.identity.email, if_match=if_match(request)
        )
        return await gateway.bus.call(command, caller=await _select_caller(request, gateway, user))

    @get("/preferences", summary="Get the user's preferences", commands=[GetPreferences])
    async def preferences(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        user: NamedDependency[AuthenticatedUser],
    ) -> Preferences:
        return await gateway.bus.call(read_query(request, GetPreferences), caller=user.caller)

    @put("/preferences", summary="Update the user's preferences", commands=[UpdatePreferences])
    async def update_preferences(
        self,
        request: Request[Any, Any, Any],
        gateway: NamedDependency[Gateway],
        user: NamedDependency[AuthenticatedUser],
    ) -> Preferences:
        return await gateway.bus.call(
            await read_body(request, UpdatePreferences, if_match=if_match(request)), caller=user.caller
        )


async def _select_caller(
    request: Request[Any, Any, Any], gateway: Gateway, user: AuthenticatedUser
) -> CallerContext:
    if read_tenant_header(request) is not None:
        return (await provide_tenant_user(request, gateway)).caller
    return user.caller
