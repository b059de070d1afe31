"""The console in a browser."""

import shutil
from pathlib import Path

from playwright.async_api import expect

from support.actors import PASSWORD
from support.browser import MISSING as MISSING_BROWSER
from support.browser import Watch

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "services/gateway/src/artcafe_gateway/console/static"
AXE = ROOT / "dashboard/node_modules/axe-core/axe.min.js"
SCREENSHOTS = ROOT / ".screenshots"
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def missing_console():
    """Why the console cannot be tested here; None if it can."""
    if MISSING_BROWSER:
        return MISSING_BROWSER
    has_node = shutil.which("npm") or (ROOT / ".venv/node").exists()
    # With Node.js it must have been built: the tests fail without it.
    return None if has_node or STATIC.exists() else "needs the console, which Node.js builds"


class ConsolePage:
    """A tab with the console."""

    def __init__(self, page, stack):
        self.page = page
        self.url = f"{stack.api}/console"
        self.watch = Watch(page)
        page.set_default_timeout(10_000)

    async def sign_in(self, email, *, organization=None, path="/"):
        """Sign in, and choose an organization by its name where there are several."""
        await self.page.goto(self.url + path)
        await self.fill_credentials(email)
        if organization is not None:
            await self.page.get_by_role("button", name=organization).click()
        await self.page.locator("nav[aria-label=Pages]").wait_for(state="attached")

    async def fill_credentials(self, email, password=PASSWORD):
        await self.page.get_by_label("E-mail address").fill(email)
        await self.page.get_by_label("Password").fill(password)
        await self.page.get_by_role("button", name="Sign in").click()

    async def open(self, path):
        """Go to a page as its links do, without loading the document again."""
        await self.page.evaluate("path => history.pushState(null, '', path)", f"/console{path}")
        await expect(self.page.locator("main .skeleton")).to_have_count(0)

    async def text(self):
        """What the page shows."""
        return await self.page.locator("main").inner_text()

    async def see(self, text, state="visible"):
        """Wait until a text is shown."""
        found = self.page.locator("main").get_by_text(text)
        await (found.filter(visible=True) if state == "visible" else found).first.wait_for(state=state)

    async def axe(self):
        """What axe finds: the rules with the elements that break them."""
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(AXE.read_text())
        found = await self.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        return {
            each["id"]: [node["html"][:200] for node in each["nodes"]][:4] for each in found["violations"]
        }

    async def screenshot(self, name):
        SCREENSHOTS.mkdir(exist_ok=True)
        await self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True, animations="disabled")
