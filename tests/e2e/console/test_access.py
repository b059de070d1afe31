"""Who sees what in the console: roles, organizations, sessions."""

import re

import pytest

from support.actors import PASSWORD, User
from support.console import missing_console
from support.waiting import eventually

REASON = missing_console()
pytestmark = [pytest.mark.browser, pytest.mark.skipif(REASON is not None, reason=REASON or "")]
# The words of every button and link that changes something.
CHANGES = re.compile(
    r"^(New client|Actions for .*|Replace the key|Suspend|Activate|Delete|Disconnect|New channel|Store a subject|"
    r"Publish|Publish again|Send|Purge|Change the retention|Invite|Remove|Issue a key|Export everything)$"
)


async def test_viewer_sees_no_button_that_changes_something(console, fleet):
    viewer = await fleet.add_person("viewer")
    await console.sign_in(viewer.email)
    client, channel = f"/clients/{fleet.planner.id}", f"/channels/{fleet.news['channel_id']}"
    subject = f"/channels/subjects/{fleet.subject['subject_id']}"
    for path, text in {
        "/clients?new=1": "planner",
        client: "Connections",
        f"{client}/permissions": "May it …?",
        "/live": "Waiting for messages",
        "/channels": "news",
        channel: "Robots build robots",
        subject: "Retention",
        "/settings": "Your role",
        "/settings/members": fleet.owner.email,
        "/settings/keys": "Settings",
    }.items():
        await console.open(path)
        await console.see(text)
        assert await console.page.get_by_role("button", name=CHANGES).count() == 0, path
        assert await console.page.get_by_role("dialog").count() == 0, path
    # Opened, a message can be copied, and not published again.
    await console.open(channel)
    await console.page.get_by_text("Robots build robots, part 5").click()
    await console.page.get_by_role("button", name="Copy JSON").wait_for()
    assert await console.page.get_by_role("button", name="Publish again").count() == 0
    headers = {"X-Tenant-Id": fleet.tenant.id}
    for method, path, body in (
        ("POST", "/clients", {"name": "mine"}),
        ("PUT", f"/clients/{fleet.planner.id}", {"status": "suspended"}),
        ("POST", f"/clients/{fleet.planner.id}/regenerate-nkey", {}),
        ("DELETE", f"/clients/{fleet.planner.id}", None),
        ("POST", f"{channel}/messages", {"data": 1}),
        ("POST", f"{channel}/purge", {}),
        ("DELETE", channel, None),
        ("POST", f"/accounts/{fleet.tenant.id}/invitations", {"email": "a@example.com"}),
        ("POST", f"/accounts/generate-nkey/{fleet.tenant.id}", {}),
    ):
        response = await viewer.http.request(method, path, json=body, headers=headers)
        assert response.status_code == 403, (method, path, response.text)


async def test_nothing_of_an_organization_stays_after_switching(console, fleet):
    owner = fleet.owner
    other = await owner.create_organization("Contoso Drones")
    client = await other.create_client("quadcopter")
    await console.sign_in(owner.email, organization="Northwind Robotics")
    mine = [
        *(each.id for each in (fleet.planner, fleet.scraper, fleet.importer)),
        *(fleet.news["channel_id"], fleet.subject["subject_id"], fleet.tenant.id),
        *("planner", "scraper-eu", "Robots build robots"),
    ]
    for path in (
        "/clients",
        f"/clients/{fleet.planner.id}",
        f"/channels/{fleet.news['channel_id']}",
        "/activity",
        "/live",
    ):
        await console.open(path)
    await fleet.publish_until_seen(console)
    await console.page.get_by_role("button", name="Northwind Robotics").click()
    await console.page.get_by_role("menuitem", name="Contoso Drones").click()
    await console.page.get_by_role("button", name="Contoso Drones").wait_for()
    watch = console.watch
    watch.urls.clear()
    watch.bodies.clear()
    await fleet.publish(5)
    for path, text in {
        "/": "Online now",
        "/clients": "quadcopter",
        "/live": "Live tail",
        "/activity": "Client created",
    }.items():
        await console.open(path)
        await console.see(text)
    await other.call("PUT", f"/clients/{client.id}", 200, json={"name": "hexacopter"})
    await console.open("/clients")
    await console.see("hexacopter")
    stored = await console.page.evaluate(
        "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])"
    )
    shown = await console.page.content()
    # The names of a person's organizations are the person's own; everything inside of one is not.
    requested = "\n".join([*watch.urls, *watch.bodies])
    for text in mine:
        assert text not in stored, text
        assert text not in shown, text
        assert text not in requested, text
    # The watch sees what the page receives.
    await eventually(lambda: any("hexacopter" in body for body in watch.bodies))


async def test_session_survives_a_reload_and_ends_with_signing_out(console, fleet):
    await console.sign_in(fleet.owner.email, path="/clients?status=suspended")
    await console.see("old-importer")
    token = fleet.owner.token[:20]
    await console.page.reload()
    await console.see("old-importer")
    assert "status=suspended" in console.page.url
    stored = await console.page.evaluate(
        "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])"
    )
    assert token not in stored
    await console.page.get_by_role("button", name="Sign out").click()
    await console.page.get_by_text("You are signed out.").wait_for()

    async def has_no_cookie():
        return "artcafe_csrf" not in await console.page.evaluate("document.cookie")

    await eventually(has_no_cookie)
    await console.page.reload()
    await console.page.get_by_label("Password").wait_for()


async def test_wrong_password_is_explained(console, fleet):
    await console.page.goto(console.url)
    await console.fill_credentials(fleet.owner.email, "wrong")
    await console.page.get_by_role("alert").get_by_text("credentials are wrong").wait_for()


async def test_temporary_password_is_replaced_and_the_first_organization_created(console, stack):
    email = f"{User.__name__.lower()}-{stack.ports.api}@example.com"
    async with stack.cognito() as cognito:
        pool = stack.environ()["ARTCAFE_COGNITO_POOL_ID"]
        await cognito.admin_create_user(UserPoolId=pool, Username=email, TemporaryPassword="Temporary-1")
    await console.page.goto(console.url)
    await console.fill_credentials(email, "Temporary-1")
    await console.page.get_by_label("New password").fill(PASSWORD)
    await console.page.get_by_role("button", name="Continue").click()
    await console.page.get_by_label("Name").fill("First")
    await console.page.get_by_role("button", name="Create").click()
    await console.see("There is no client yet.")


async def test_code_of_an_authenticator_is_asked_for(console, stack):
    person = await User.sign_up(stack)
    await person.create_organization("With codes")
    async with stack.cognito() as cognito:
        await cognito.associate_software_token(AccessToken=person.token)
        await cognito.verify_software_token(AccessToken=person.token, UserCode="123456")
        preferred = {"Enabled": True, "PreferredMfa": True}
        await cognito.set_user_mfa_preference(AccessToken=person.token, SoftwareTokenMfaSettings=preferred)
    await console.page.goto(console.url)
    await console.fill_credentials(person.email)
    await console.page.get_by_label("Code").fill("123456")
    await console.page.get_by_role("button", name="Continue").click()
    await console.see("There is no client yet.")


async def test_deleted_organization_is_restored(console, stack):
    person = await User.sign_up(stack)
    tenant = await person.create_organization("Short Lived")
    await console.sign_in(person.email, path="/settings")
    await console.page.get_by_role("button", name="Delete").click()
    dialog = console.page.get_by_role("dialog")
    await dialog.get_by_role("textbox").fill("Short Lived")
    await dialog.get_by_role("button", name="Delete the organization").click()
    await console.page.get_by_text("Everything in it is gone on").wait_for()
    assert (await tenant.call("GET", f"/accounts/{tenant.id}", 200))["status"] == "deleted"
    await console.page.get_by_role("button", name="Restore").click()
    await console.page.locator("nav[aria-label=Pages]").wait_for(state="attached")
    assert (await tenant.call("GET", f"/accounts/{tenant.id}", 200))["status"] == "active"
