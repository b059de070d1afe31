"""What a member does in the console, against the real system."""

import pytest
from playwright.async_api import expect

from support.actors import Client
from support.console import missing_console

REASON = missing_console()
pytestmark = [pytest.mark.browser, pytest.mark.skipif(REASON is not None, reason=REASON or "")]


async def confirm(page, button, typed=None):
    dialog = page.get_by_role("dialog")
    if typed is not None:
        await dialog.get_by_role("textbox").fill(typed)
    await dialog.get_by_role("button", name=button, exact=True).click()


async def test_client_is_created_watched_suspended_and_deleted(console, fleet):
    page = console.page
    await console.sign_in(fleet.owner.email, path="/clients")
    await page.get_by_role("button", name="New client").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("fetcher")
    await dialog.get_by_label("May publish to").fill("orders.new")
    await dialog.get_by_role("button", name="Create").click()
    seed = (await dialog.get_by_label("Seed").inner_text()).strip()
    assert "client_id=" in await dialog.get_by_label("Program").inner_text()
    await dialog.get_by_text("NATS CLI").click()
    assert "--nkey fetcher.seed" in await dialog.get_by_label("Program").inner_text()
    async with page.expect_download() as started:
        await dialog.get_by_role("button", name="Download fetcher.seed").click()
    assert (await started.value).suggested_filename == "fetcher.seed"
    await dialog.get_by_role("button", name="I have kept the seed").click()
    assert seed not in await page.content()

    (record,) = [c for c in await fleet.tenant.list_items("/clients") if c["name"] == "fetcher"]
    host = f"ws://127.0.0.1:{fleet.tenant.stack.ports.api}/ws/client/{record['client_id']}"
    client = Client(
        fleet.tenant, {"client": record, "nkey_seed": seed, "connection": {"websocket_url": host}}
    )
    row = page.get_by_role("row").filter(has_text="fetcher")
    await row.get_by_text("offline").wait_for()
    socket = await client.connect_websocket()
    # Shown by the socket, without reading the list again.
    await row.get_by_text("online").wait_for()

    await page.get_by_role("link", name="fetcher").click()
    await console.see("Connections (1)")
    await page.get_by_role("link", name="Permissions").click()
    await page.get_by_label("Subject").fill("orders.paid")
    await page.get_by_role("button", name="Check").click()
    await console.see("No")
    await page.get_by_label("Subject").fill("orders.new")
    await page.get_by_role("button", name="Check").click()
    await console.see("Yes")
    await page.get_by_label("May publish to").fill("orders.>")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("The permissions are saved.").wait_for()
    assert (await fleet.tenant.call("GET", f"/clients/{client.id}"))["permissions"]["publish"] == ["orders.>"]
    await socket.wait_closed()
    socket = await client.connect_websocket()

    await page.get_by_role("button", name="Suspend").click()
    await confirm(page, "Suspend")
    assert (await socket.wait_closed())[0] == 4403
    await console.see("suspended")
    await page.get_by_role("button", name="Replace the key").click()
    await confirm(page, "Replace the key")
    assert await page.get_by_role("dialog").get_by_label("Seed").inner_text() != seed
    await page.get_by_role("button", name="I have kept the seed").click()
    await page.get_by_role("button", name="Delete").click()
    await confirm(page, "Delete the client", typed="fetcher")
    await page.get_by_text("fetcher is deleted.").wait_for()
    assert page.url.endswith("/console/clients")
    assert console.watch.problems == []


async def test_live_tail_shows_sends_and_pauses(console, fleet):
    page = console.page
    await console.sign_in(fleet.owner.email, path="/live?pattern=pages.>")
    await console.see("Waiting for messages")
    await fleet.publish_until_seen(console)
    await fleet.publish(1, subject="pages.failed")
    await console.see("pages.failed")
    await page.get_by_role("button", name="pages.failed").click()
    await console.see("scraper-eu")
    await page.get_by_label("Search in the messages").fill("failed")
    await console.see("1 match")
    await page.get_by_label("Search in the messages").fill("")
    await page.get_by_role("button", name="Pause").click()
    await console.see("paused")
    await fleet.publish(1, subject="pages.hidden")
    # A person's message to a channel.
    received = fleet.sockets[0]
    await page.get_by_label("Channel", exact=True).select_option(label="news")
    await page.get_by_label("Message (JSON)").fill('{"from": "the console"}')
    await page.get_by_role("button", name="Send").click()
    await console.see("Published, kept as #6.")
    await received.receive("message", data={"from": "the console"})
    assert await page.get_by_text("pages.hidden").count() == 0

    # As a client, on a subject.
    await page.get_by_text("A subject").click()
    await page.get_by_label("Client").select_option(label="scraper-eu")
    await page.get_by_label("Its seed").fill(fleet.scraper.seed)
    await page.get_by_role("button", name="Connect").click()
    await console.see("Connected as scraper-eu.")
    subject = page.get_by_role("textbox", name="Subject")
    await subject.fill("pages.sent")
    await page.get_by_role("button", name="Send").click()
    message = await received.receive("message", subject="pages.sent")
    assert message["from"] == fleet.scraper.id
    await subject.fill("orders.no")
    await page.get_by_role("button", name="Send").click()
    await page.get_by_role("alert").wait_for()
    assert fleet.scraper.seed not in "".join(console.watch.bodies)


async def test_kept_message_is_found_published_again_and_purged(console, fleet):
    page = console.page
    await console.sign_in(fleet.owner.email, path=f"/channels/{fleet.news['channel_id']}")
    await page.get_by_text("Robots build robots, part 2").click()
    await page.get_by_role("button", name="Publish again").click()
    await confirm(page, "Publish again")
    await page.get_by_text("Published again as #6.").wait_for()
    # From the beginning: the oldest first.
    await page.get_by_label("From").fill("0")
    await expect(page.locator("main .live-row").first).to_contain_text("part 1")
    await page.get_by_role("button", name="Latest").click()
    await page.get_by_role("button", name="Purge").click()
    await confirm(page, "Delete its messages", typed="news")
    await console.see("No messages")
    assert await fleet.tenant.list_items(f"/channels/{fleet.news['channel_id']}/messages") == []


async def test_person_is_invited_and_accepts(console, new_console, fleet):
    person = await type(fleet.owner).sign_up(fleet.tenant.stack)
    await console.sign_in(fleet.owner.email, path="/settings/members")
    await console.page.get_by_label("E-mail address").fill(person.email)
    await console.page.get_by_role("button", name="Invite").click()
    await console.see("give this link")
    other = await new_console()
    await other.page.goto(other.url)
    await other.fill_credentials(person.email)
    await other.page.get_by_role("button", name="Accept").click()
    await other.see("What Northwind Robotics does now.")
    await console.open("/settings/members")
    await console.page.get_by_role("cell", name=person.email, exact=True).wait_for()


async def test_what_is_shown_can_be_downloaded(console, fleet):
    page = console.page

    async def download(start):
        async with page.expect_download() as started:
            await start()
        return (await (await started.value).path()).read_text().splitlines()

    await console.sign_in(fleet.owner.email, path="/activity?type=client")
    await console.see("Client created")
    for name in ("CSV", "JSON Lines"):
        await page.get_by_role("button", name="Export").click()
        lines = await download(page.get_by_role("menuitem", name=name).click)
        assert sum("client.created" in line for line in lines) >= 4
        assert not any("channel.created" in line for line in lines)
    await console.open("/usage")
    header, *days = await download(page.get_by_role("button", name="CSV").click)
    assert "messages" in header
    assert days
    await console.open("/settings")
    lines = await download(page.get_by_role("button", name="Export everything").click)
    assert any(fleet.planner.id in line for line in lines)
    assert fleet.planner.seed not in "".join(lines)


async def test_findings_say_what_does_not_work(console, fleet):
    finding = {"check": "metering", "status": "fail", "detail": "Usage is late.", "remedy": "Look again."}

    async def answer(route):
        response = await route.fetch()
        await route.fulfill(response=response, json={**await response.json(), "findings": [finding]})

    await console.page.route("**/api/v1/status", answer)
    await console.sign_in(fleet.owner.email, path="/health")
    await console.see("Usage is late.")
    await console.see("Look again.")
