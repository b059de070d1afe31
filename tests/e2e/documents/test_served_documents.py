"""The served OpenAPI and AsyncAPI documents, and the page that shows them."""

import json
import re

import httpx
import jsonschema_rs
import pytest

from support.browser import MISSING, Watch, running_browser


async def test_api_documents_need_no_authentication(http):
    rest = await http.get("/schema/openapi.json")
    sockets = await http.get("/schema/asyncapi.json")
    for response in (rest, sockets):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("application/json")
        assert response.headers["x-request-id"]
    assert rest.json()["openapi"] == "3.1.0"
    assert sockets.json()["asyncapi"] == "3.0.0"
    # With and without a trailing slash, like every route.
    assert (await http.get("/schema/")).text == (await http.get("/schema")).text
    for path in ("/schema/nothing", "/schema/assets/nothing.js", "/schema/assets/..%2findex.html"):
        assert (await http.get(path)).json()["code"] == "not_found"


async def test_documents_are_compressed_and_sent_once(http):
    for path in ("/schema/openapi.json", "/schema/asyncapi.json", "/schema/assets/swagger-ui-bundle.js"):
        plain = await http.get(path, headers={"Accept-Encoding": "identity"})
        packed = await http.get(path, headers={"Accept-Encoding": "br, gzip"})
        refused = await http.get(path, headers={"Accept-Encoding": "gzip;q=0"})
        assert "content-encoding" not in plain.headers
        assert "content-encoding" not in refused.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == plain.content
        assert int(packed.headers["content-length"]) * 3 < int(plain.headers["content-length"])
        assert packed.headers["etag"] != plain.headers["etag"]
        known = {"Accept-Encoding": "gzip", "If-None-Match": packed.headers["etag"]}
        again = await http.get(path, headers=known)
        assert (again.status_code, again.content) == (304, b"")


async def test_api_page_loads_only_from_its_own_host(http):
    page = await http.get("/schema")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(assets) >= 3
    for address in assets:
        if address != "data:,":
            assert address.startswith("/schema/")
            asset = await http.get(address)
            assert (asset.status_code, asset.headers["x-content-type-options"]) == (200, "nosniff")


@pytest.mark.skipif(MISSING is not None, reason=MISSING or "")
async def test_api_page_shows_every_route(stack, http):
    document = (await http.get("/schema/openapi.json")).json()
    async with running_browser() as browser:
        page = await browser.new_page()
        watch = Watch(page)
        await page.goto(f"{stack.api}/schema")
        await page.wait_for_selector(".opblock", timeout=60_000)
        shown = await page.locator(".opblock").count()
        await page.locator("#operations-clients-clients_create").click()
        await page.wait_for_selector("#operations-clients-clients_create .responses-wrapper")
        text = await page.locator("#operations-clients-clients_create").inner_text()
    assert shown == sum(len(item) for item in document["paths"].values())
    assert "Create a client; its seed is shown only once" in text
    assert "plan_limit" in text
    assert watch.problems == []
    assert watch.foreign(stack.api) == []


async def test_openapi_document_describes_the_published_bodies_that_are_accepted(tenant):
    """Any JSON, or an object of `data`, `headers` and `message_id`, whose types are then checked."""
    async with httpx.AsyncClient(base_url=tenant.stack.api) as http:
        document = (await http.get("/schema/openapi.json")).json()
    body = document["paths"]["/api/v1/channels/{channel_id}/messages"]["post"]["requestBody"]
    schema = {**body["content"]["application/json"]["schema"], "components": document["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema)
    channel = await tenant.create_channel()
    for message, accepted in (
        (None, True),
        ([1], True),
        ({"headers": {}}, True),
        ({"data": 1, "other": 2, "headers": 3}, True),
        ({"data": 1, "headers": {"A": "b"}, "message_id": "m"}, True),
        ({"data": 1, "headers": 3}, False),
        ({"data": 1, "message_id": ""}, False),
    ):
        response = await tenant.http.post(
            f"/channels/{channel['channel_id']}/messages", content=json.dumps(message)
        )
        assert (validator.is_valid(message), response.status_code) == (accepted, 202 if accepted else 400)


async def test_frames_conform_to_the_asyncapi_document(tenant):
    base = tenant.stack.api
    async with httpx.AsyncClient(base_url=base) as http:
        document = (await http.get("/schema/asyncapi.json")).json()
    schemas = document["components"]["schemas"]

    def conforms(endpoint, frame):
        for key in document["channels"][endpoint]["messages"]:
            message = document["components"]["messages"][key]
            if message["name"] == frame["type"]:
                schema = {**message["payload"], "components": {"schemas": schemas}}
                if jsonschema_rs.Draft202012Validator(schema).is_valid(frame):
                    return True
        return False

    channel, client = await tenant.create_channel(), await tenant.create_client()
    name = channel["channel_id"]
    dashboard = await tenant.connect_dashboard()
    await dashboard.send_and_receive("subscribe_channel", "subscription_confirmed", channel_id=name)
    await dashboard.send_and_receive("subscribe_topic_preview", "subscription_confirmed", pattern=">")
    socket, other = await client.connect_websocket(), await client.connect_websocket()
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
    await dashboard.receive("channel_message")
    await dashboard.receive("topic_preview_message")
    await dashboard.send_and_receive("unsubscribe_topic_preview", "unsubscription_confirmed")
    kinds = set()
    for endpoint, each in (("client", socket), ("client", other), ("dashboard", dashboard)):
        for frame in each.received:
            assert conforms(endpoint, frame), frame
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
