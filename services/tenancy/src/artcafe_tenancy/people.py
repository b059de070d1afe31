"""The names and e-mail addresses of people, as their organizations see them.

A person is shown to an organization as a member who has visited it. So nobody learns who is behind a user id by adding
it to an organization, or from the refused requests of strangers in the activity log.
"""

from collections.abc import Collection, Sequence

import msgspec

from artcafe_tenancy.store import Store
from artcafe_tenancy.tables import MemberItem


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """What an organization sees of a member; empty where it is not known."""

    email: str
    name: str


async def describe_members(store: Store, members: Sequence[MemberItem]) -> list[Person]:
    """What their organization sees of these members, in their order."""
    visitors = [member.user_id for member in members if member.visited]
    profiles = dict(zip(visitors, await store.get_profiles(visitors), strict=True))
    return [
        Person(email=member.email, name="")
        if (profile := profiles.get(member.user_id)) is None
        else Person(email=profile.email or member.email, name=profile.name or profile.provider_name)
        for member in members
    ]


async def name_actors(store: Store, tenant_id: str, actors: Collection[str]) -> dict[str, str]:
    """The name, or else the e-mail address, of each actor who is a member of the organization."""
    user_ids = sorted({each.removeprefix("user:") for each in actors if each.startswith("user:")})
    members = await store.get_members(tenant_id, user_ids)
    people = await describe_members(store, members)
    return {
        f"user:{member.user_id}": person.name or person.email
        for member, person in zip(members, people, strict=True)
    }
