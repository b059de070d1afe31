"""The names and e-mail addresses of people, which the identity provider knows."""

import uuid

from support.actors import PASSWORD, Tenant, User
from support.waiting import eventually, eventually_equals


async def sign_up(stack, name):
    email = f"{uuid.uuid4().hex[:12]}@example.com"
    await stack.add_user(email, PASSWORD, name)
    return await User.log_in(stack, email)


async def test_profile_members_and_activity_show_people(stack):
    ada, bob = await sign_up(stack, "Ada Lovelace"), await sign_up(stack, "Bob")
    assert (await ada.http.get("/profile/me")).json()["email"] == ada.email
    org = await ada.create_organization()
    bob_id = (await bob.http.get("/profile/me")).json()["user_id"]
    added = await org.call(
        "POST", f"/accounts/{org.id}/members", 201, json={"user_id": bob_id, "role": "member"}
    )
    # Whoever knows a user id learns nothing by adding it.
    assert (added["email"], added["name"]) == ("", "")

    async def members():
        listed = await org.list_items(f"/accounts/{org.id}/members")
        return {(each["email"], each["name"]) for each in listed}

    await eventually_equals(members, {(ada.email, "Ada Lovelace"), ("", "")})

    visiting = Tenant(bob, org.account)
    await visiting.create_channel("news")
    await eventually_equals(members, {(ada.email, "Ada Lovelace"), (bob.email, "Bob")})
    await bob.http.put("/profile/me", json={"name": "Robert"})

    async def names():
        logs = (await org.call("GET", "/activity/logs", 200))["logs"]
        by_action = {each["action"]: each["actor_name"] for each in logs}
        return by_action if {"account.created", "channel.created"} <= by_action.keys() else None

    found = await eventually(names)
    assert (found["account.created"], found["channel.created"]) == ("Ada Lovelace", "Robert")


async def test_person_is_invited_by_email_and_accepts(stack):
    ada, bob, eve = [await sign_up(stack, name) for name in ("Ada", "Bob", "Eve")]
    org = await ada.create_organization()
    path = f"/accounts/{org.id}/invitations"
    created = await org.call("POST", path, 201, json={"email": bob.email, "role": "viewer"})
    assert created["link"].endswith(created["invitation_id"])
    assert (created["email"], created["invited_by_name"]) == (bob.email, "Ada")
    assert await org.list_items(path) == [{k: v for k, v in created.items() if k != "link"}]

    async def received():
        return (await bob.http.get("/invitations")).json()["invitations"]

    (invitation,) = await eventually(received)
    assert (invitation["account_name"], invitation["invited_by_name"]) == ("Acme", "Ada")
    assert (await eve.http.get("/invitations")).json()["invitations"] == []
    accept = f"/invitations/{created['invitation_id']}/accept"
    assert (await eve.http.post(accept)).status_code == 404
    assert (await Tenant(bob, org.account).http.get("/clients")).status_code == 403
    once = {"Idempotency-Key": uuid.uuid4().hex}
    for _ in range(2):
        accepted = await bob.http.post(accept, headers=once)
        assert (accepted.status_code, accepted.json()["role"]) == (200, "viewer")
    assert (await Tenant(bob, org.account).http.get("/clients")).status_code == 200

    async def members():
        return {each["email"]: each["name"] for each in await org.list_items(f"/accounts/{org.id}/members")}

    await eventually_equals(members, {ada.email: "Ada", bob.email: "Bob"})


async def test_stranger_in_the_activity_log_has_no_name(stack):
    ada, eve = await sign_up(stack, "Ada"), await sign_up(stack, "Eve")
    org = await ada.create_organization()
    response = await Tenant(eve, org.account).http.get("/channels")
    assert response.status_code == 403

    async def denied():
        logs = (await org.call("GET", "/activity/logs?status=denied", 200))["logs"]
        return next((each for each in logs if each["actor"].startswith("user:")), None)

    entry = await eventually(denied)
    assert entry["actor_name"] == ""


async def test_person_is_known_from_an_access_token_alone(stack):
    """As after a login at the provider's own page, which does not pass the API."""
    email = f"{uuid.uuid4().hex[:12]}@example.com"
    await stack.add_user(email, PASSWORD, "Carol")
    async with stack.cognito() as cognito:
        answer = await cognito.initiate_auth(
            ClientId=stack.environ()["ARTCAFE_OIDC_CLIENT_ID"],
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": email, "PASSWORD": PASSWORD},
        )
    carol = User.with_token(stack, email, answer["AuthenticationResult"]["AccessToken"])

    async def profile():
        found = (await carol.http.get("/profile/me")).json()
        return found if found["email"] else None

    found = await eventually(profile)
    assert (found["email"], found["name"]) == (email, "Carol")
