"""The documents as they are served, and the page that shows them."""

import re
import shutil

import httpx
import jsonschema_rs
import pytest
from playwright.async_api import async_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture
async def http(stack):
    async with httpx.AsyncClient(base_url=stack.api, timeout=20) as client:
        yield client


async def test_the_documents_are_served_to_anybody(http):
    rest = await http.get("/schema/openapi.json")
    sockets = await http.get("/schema/asyncapi.json")
    for answer in (rest, sockets):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.headers["x-request-id"]
    assert rest.json()["openapi"] == "3.1.0"
    assert sockets.json()["asyncapi"] == "3.0.0"
    # With and without a slash, as every route.
    assert (await http.get("/schema/")).text == (await http.get("/schema")).text
    for path in ("/schema/nothing", "/schema/assets/nothing.js", "/schema/assets/..%2findex.html"):
        assert (await http.get(path)).json()["code"] == "not_found"


async def test_the_page_loads_nothing_from_elsewhere(http):
    page = await http.get("/schema")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    wanted = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(wanted) >= 3
    for address in wanted:
        if address != "data:,":
            assert address.startswith("/schema/")
            asset = await http.get(address)
            assert (asset.status_code, asset.headers["x-content-type-options"]) == (200, "nosniff")


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
async def test_the_page_shows_every_route(stack, http):
    document = (await http.get("/schema/openapi.json")).json()
    asked, problems = [], []
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            page = await browser.new_page()
            page.on("request", lambda request: asked.append(request.url))
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
            await page.goto(f"{stack.api}/schema")
            await page.wait_for_selector(".opblock", timeout=20_000)
            shown = await page.locator(".opblock").count()
            await page.locator("#operations-clients-clients_create").click()
            await page.wait_for_selector("#operations-clients-clients_create .responses-wrapper")
            text = await page.locator("#operations-clients-clients_create").inner_text()
        finally:
            await browser.close()
    assert shown == sum(len(item) for item in document["paths"].values())
    assert "Register a client" in text
    assert "plan_limit" in text
    assert problems == []
    assert [url for url in asked if not url.startswith((stack.api, "data:", "blob:"))] == []


async def test_what_sockets_hear_is_as_the_document_says(tenant):
    """Frames of every kind that a client and a dashboard are sent."""
    base = tenant.stack.api
    async with httpx.AsyncClient(base_url=base) as http:
        told = (await http.get("/schema/asyncapi.json")).json()
    schemas = told["components"]["schemas"]

    def fits(endpoint, frame):
        for key in told["channels"][endpoint]["messages"]:
            message = told["components"]["messages"][key]
            if message["name"] == frame["type"]:
                schema = {**message["payload"], "components": {"schemas": schemas}}
                if jsonschema_rs.Draft202012Validator(schema).is_valid(frame):
                    return True
        return False

    channel, agent = await tenant.create_channel(), await tenant.create_client()
    name = channel["channel_id"]
    board = await tenant.connect_dashboard()
    await board.send_and_receive("subscribe_channel", "subscription_confirmed", channel_id=name)
    await board.send_and_receive("subscribe_topic_preview", "subscription_confirmed", pattern=">")
    socket, other = await agent.connect_websocket(), await agent.connect_websocket()
    await socket.send_and_receive("subscribe", "subscribed", channel=name, last=0, id=1)
    await socket.subscribe(subject="ask")
    await other.send_and_receive("publish", "published", channel=name, data={"n": 1}, id="a")
    await other.send(type="request", subject="ask", data=1, id="q")
    question = await socket.receive("message", data=1)
    await socket.send(type="publish", subject=question["reply"], data={"n": 2})
    await other.receive("reply", id="q")
    await socket.send_and_receive("heartbeat", "heartbeat_ack")
    await socket.send_and_receive("ping", "pong")
    await socket.send_and_receive("unsubscribe", "unsubscribed", subject="ask")
    await socket.send(type="subscribe", subject="a b", id=2)
    await socket.receive("error", id=2)
    await board.receive("channel_message")
    await board.receive("topic_preview_message")
    await board.send_and_receive("unsubscribe_topic_preview", "unsubscription_confirmed")
    kinds = set()
    for endpoint, each in (("client", socket), ("client", other), ("dashboard", board)):
        for frame in each.received:
            assert fits(endpoint, frame), frame
            kinds.add(frame["type"])
    assert kinds >= {
        "welcome",
        "subscribed",
        "unsubscribed",
        "message",
        "reply",
        "published",
        "heartbeat_ack",
        "pong",
        "error",
        "channel_message",
        "topic_preview_message",
        "subscription_confirmed",
        "unsubscription_confirmed",
    }
