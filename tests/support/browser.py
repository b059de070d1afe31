"""Chromium, and what is wrong with a page that it shows."""

import contextlib
import shutil

from playwright.async_api import async_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = None if CHROMIUM else "needs Chromium, which is not installed"
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    # The size of the heap, exactly.
    "--enable-precise-memory-info",
]


@contextlib.asynccontextmanager
async def running_browser():
    """A browser without a window."""
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


class Watch:
    """What a page requests, and what it complains about."""

    def __init__(self, page):
        self.urls, self.bodies, self.problems = [], [], []
        page.on("request", lambda request: self._note(request.url, request.post_data))
        page.on("websocket", self._watch_socket)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda line: self.problems.append(line.text) if line.type == "error" else None)

    def _note(self, url, body):
        self.urls.append(url)
        self.bodies.append(body or "")

    def _watch_socket(self, socket):
        self._note(socket.url, "")
        socket.on("framesent", lambda payload: self.bodies.append(str(payload)))
        socket.on("framereceived", lambda payload: self.bodies.append(str(payload)))

    def foreign(self, *origins):
        """The requests to other origins."""
        return [url for url in self.urls if not url.startswith((*origins, "data:", "blob:"))]
