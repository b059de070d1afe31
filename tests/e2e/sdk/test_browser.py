"""The TypeScript SDK's build and its React hooks in Chromium, against the real stack."""

import asyncio
import functools
import http.server
import threading

import pytest

import artcafe_client
from support.browser import MISSING, running_browser
from support.cut_proxy import CutProxy
from support.history import list_subscribers, publish
from support.node_sdk import missing_node, npm
from support.snippets import snippets
from support.waiting import eventually

REASON = missing_node() or MISSING
pytestmark = [pytest.mark.node, pytest.mark.skipif(REASON is not None, reason=REASON or "")]
CONNECT = """async ([url, record]) => {
  globalThis.client = await sdk.connect({ url, clientId: record.id, seed: record.seed, firstBackoffMs: 50 });
}"""


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments):
        pass


@pytest.fixture(scope="module")
async def site(sdk):
    """The built page's address."""
    board = snippets("docs/guide/typescript.md")["board.jsx"]
    (sdk / "tests/browser/board.jsx").write_text(board)
    await asyncio.to_thread(npm, sdk, "exec", "--", "vite", "build", "tests/browser", "--logLevel", "warn")
    directory = sdk / "tests/browser/dist"
    handler = functools.partial(QuietHandler, directory=str(directory))
    # Loopback is a secure context, as Web Crypto needs.
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
async def page(site):
    """The page, opened; errors of it fail the test."""
    problems = []

    async with running_browser() as browser:
        opened = await browser.new_page()
        opened.on("pageerror", lambda error: problems.append(str(error)))
        await opened.goto(site)
        await opened.wait_for_function("globalThis.isReady")
        yield opened
    assert problems == []


def credentials(record):
    return {"id": record.id, "seed": record.seed}


async def test_client_behaves_in_a_browser(page, tenant):
    record, channel = await tenant.create_client(), await tenant.create_channel()
    other = artcafe_client.connect(
        connection=(peer := await tenant.create_client()).connection, seed=peer.seed, client_id=peer.id
    )
    async with other, CutProxy.running(tenant.stack.ports.api) as proxy:
        await page.evaluate(CONNECT, [f"ws://127.0.0.1:{proxy.port}", credentials(record)])
        await page.evaluate(
            """async (channel) => {
              globalThis.orders = await client.subscribe("orders.>").confirmed();
              globalThis.news = await client.channel(channel).subscribe().confirmed();
              await client.respond("ask", ({ data }) => data * 7).confirmed();
            }""",
            channel["channel_id"],
        )
        await other.publish("orders.new", {"grüße": "\U0001f600"})
        message = "orders.next().then(({ value }) => [value.subject, value.data])"
        assert await page.evaluate(message) == ["orders.new", {"grüße": "\U0001f600"}]
        assert (await other.request("ask", 6)).data == 42
        answers = await other.subscribe("answers")
        await page.evaluate("client.publish('answers', Uint8Array.from([0, 255]))")
        assert (await answers.next(5)).bytes == b"\x00\xff"
        await publish(tenant, channel, {"n": 0})
        before = await page.evaluate("client.connectionId")
        proxy.cut()
        await page.wait_for_function("(id) => client.connectionId !== id", arg=before)
        await publish(tenant, channel, {"n": 1}, {"n": 2})
        received = """Promise.all([0, 1, 2].map(() => news.next())).then((all) => all.map(({ value }) => value.data.n))"""
        assert await page.evaluate(received) == [0, 1, 2]
        refusal = "client.publish('$SYS.x', 1).catch((error) => error instanceof sdk.ForbiddenSubject)"
        assert await page.evaluate(refusal) is True
        await tenant.call("DELETE", f"/clients/{record.id}", 200)
        assert await page.evaluate("orders.next().catch((error) => error.name)") == "AccessRevoked"
        assert await page.evaluate("client.state") == "closed"


async def test_hooks_show_what_happens(page, tenant):
    record, channel = await tenant.create_client("browser"), await tenant.create_channel()
    await publish(tenant, channel, *({"text": f"message {number}"} for number in range(4)))
    url = record.connection["websocket_url"]
    await page.evaluate(CONNECT, [url, credentials(record)])
    await page.evaluate("(channel) => show(client, channel)", channel["channel_id"])

    def texts(selector):
        return page.locator(f"{selector} li").all_inner_texts()

    async def shows(selector, *expected):
        async def check():
            assert await texts(selector) == list(expected)
            return True

        await eventually(check)

    await shows("ol", "message 1", "message 2", "message 3")
    await page.get_by_role("button").click()
    await shows("ol", "message 2", "message 3", "from the page")
    await shows("ul", "browser is online")
    other = await tenant.create_client("other")
    socket = await other.connect_websocket()
    await shows("ul", "browser is online", "other is online")
    await socket.close()
    await shows("ul", "browser is online", "other is offline")
    assert await page.inner_text("#state") == "connected"
    assert await page.inner_text("#error") == ""

    async def connections():
        return [each["connections"] for each in await list_subscribers(tenant, channel)]

    assert await connections() == [1]
    await page.evaluate("hide()")

    async def left():
        return await connections() == [0]

    await eventually(left)
    await page.evaluate("(channel) => show(client, channel)", channel["channel_id"])
    await tenant.call("DELETE", f"/clients/{record.id}", 200)

    async def told():
        return (await page.inner_text("#state"), await page.inner_text("#error")) == (
            "closed",
            "AccessRevoked",
        )

    await eventually(told)
