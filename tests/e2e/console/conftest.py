"""One browser for all tests of the console, and an organization in which something happens."""

import asyncio
import contextlib

import pytest

from support.actors import User
from support.browser import running_browser
from support.console import WIDE, ConsolePage
from support.waiting import eventually

NAME = "Northwind Robotics"


@pytest.fixture(scope="session")
async def browser():
    async with running_browser() as running:
        yield running


@pytest.fixture
async def new_console(browser, stack):
    """Opens a tab of its own: `await new_console()`, with the options of a browser's context."""
    async with contextlib.AsyncExitStack() as opened:

        async def open_console(**options):
            context = await browser.new_context(**{"viewport": WIDE, "locale": "en-GB", **options})
            opened.push_async_callback(context.close)
            return ConsolePage(await context.new_page(), stack)

        yield open_console


@pytest.fixture
async def console(new_console):
    return await new_console()


class Fleet:
    """An organization with clients, channels and messages."""

    def __init__(self, tenant):
        self.tenant = tenant
        self.owner = tenant.owner

    @classmethod
    async def start(cls, owner, name=NAME):
        self = cls(await owner.create_organization(name))
        tenant = self.tenant
        names = ("planner", "scraper-eu", "summarizer", "old-importer")
        self.planner, self.scraper, self.summarizer, self.importer = [
            await tenant.create_client(each) for each in names
        ]
        narrow = {"permissions": {"publish": ["pages.>"], "subscribe": ["jobs.>"]}}
        await tenant.call("PUT", f"/clients/{self.scraper.id}", 200, json=narrow)
        suspended = {"status": "suspended"}
        await tenant.call("PUT", f"/clients/{self.importer.id}", 200, json=suspended)
        self.news, self.alerts = await tenant.create_channel("news"), await tenant.create_channel("alerts")
        self.subject = await tenant.call(
            "POST", "/subjects", 201, json={"name": "Orders", "pattern": "orders.>"}
        )
        self.sockets = [await each.connect_websocket() for each in (self.planner, self.scraper)]
        first = self.sockets[0]
        await first.send_and_receive("subscribe", "subscribed", channel=self.news["channel_id"])
        await first.send_and_receive("subscribe", "subscribed", subject="pages.>")
        for n in range(1, 6):
            data = {
                "headline": f"Robots build robots, part {n}",
                "words": 120 * n,
                "tags": ["robots", "news"],
            }
            await first.send_and_receive(
                "publish", "published", id=str(n), channel=self.news["channel_id"], data=data
            )
        # Refused: its permissions do not cover it.
        await self.sockets[1].send_and_receive("publish", "error", id="x", subject="orders.new", data=1)
        await eventually(self._is_counted)
        return self

    async def _is_counted(self):
        live = await self.tenant.call("GET", "/usage/local/stats", 200)
        return live["today"]["messages"] >= 5 and live["channels"]

    async def add_person(self, role):
        """A new person with a role in the organization."""
        person = await User.sign_up(self.tenant.stack)
        me = (await person.http.get("/profile/me")).json()
        member = {"user_id": me["user_id"], "email": person.email, "role": role}
        await self.tenant.call("POST", f"/accounts/{self.tenant.id}/members", 201, json=member)
        return person

    async def publish_until_seen(self, console, text="pages.done"):
        """Publish until the live tail, which begins when it is confirmed, shows it."""

        async def is_seen():
            await self.publish(5)
            return await console.page.locator("main").get_by_text(text).count()

        await eventually(is_seen, every=0.2)

    async def publish(self, count, subject="pages.done", pause_s=0.0):
        for n in range(count):
            await self.sockets[1].send(
                type="publish", subject=subject, data={"n": n, "url": "https://example.com"}
            )
            await asyncio.sleep(pause_s)


@pytest.fixture
async def fleet(stack):
    return await Fleet.start(await User.sign_up(stack))
