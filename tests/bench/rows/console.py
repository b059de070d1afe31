"""The console's live tail while an organization publishes, and its first load on a slow processor."""

import asyncio
import contextlib
import itertools
import time

import nats

from artcafe_common.dev.stack import PASSWORD, USER
from bench.result import Result
from support.browser import running_browser
from support.console import WIDE, ConsolePage, missing_console

RATE = 5_000
BURSTS_PER_SECOND = 50
SECONDS, QUICK_SECONDS = 60, 5
THROTTLING = 4
COUNT_FRAMES = """
window.frames_ = [];
(function count(at) { window.frames_.push(at); requestAnimationFrame(count); })(performance.now());
"""
FIRST_PAINT = (
    "performance.getEntriesByType('paint').find((e) => e.name === 'first-contentful-paint').startTime"
)


async def publish_steadily(environment, seconds):
    """RATE messages a second over direct NATS, in small bursts; returns how many were published."""
    seed = environment.tenant.agents[0]["seed"]
    connection = await nats.connect(environment.nats_url, nkeys_seed_str=seed)
    subject, payload = f"{environment.tenant.id}.load.test", b'{"n":1,"text":"' + b"x" * 160 + b'"}'
    started, sent = time.monotonic(), 0
    try:
        while (elapsed := time.monotonic() - started) < seconds:
            due = int(elapsed * RATE)
            for _ in range(due - sent):
                await connection.publish(subject, payload)
            sent = max(sent, due)
            await asyncio.sleep(1 / BURSTS_PER_SECOND)
        await connection.flush()
    finally:
        await connection.close()
    return sent / seconds


@contextlib.asynccontextmanager
async def open_page(browser):
    context = await browser.new_context(viewport=WIDE, locale="en-GB")
    try:
        yield await context.new_page()
    finally:
        await context.close()


async def measure_frames(page, environment, seconds):
    """Frames a second of a page under load, the longest of them in ms, and the messages a second."""
    await page.evaluate(COUNT_FRAMES)
    began = time.monotonic()
    rate = await publish_steadily(environment, seconds)
    frames = await page.evaluate("window.frames_")
    longest = max(later - earlier for earlier, later in itertools.pairwise(frames))
    return len(frames) / (time.monotonic() - began), longest, rate


async def measure_first_paint(browser, console_url):
    """Milliseconds until the sign-in form is painted, with a processor of a quarter."""
    async with open_page(browser) as page:
        session = await page.context.new_cdp_session(page)
        await session.send("Emulation.setCPUThrottlingRate", {"rate": THROTTLING})
        await page.goto(console_url)
        await page.get_by_label("Password").wait_for()
        return await page.evaluate(FIRST_PAINT)


async def run(environment):
    if reason := missing_console():
        raise RuntimeError(reason)
    seconds = QUICK_SECONDS if environment.quick else SECONDS
    async with running_browser() as browser:
        async with open_page(browser) as empty:
            reference, _, _ = await measure_frames(empty, environment, QUICK_SECONDS)
        async with open_page(browser) as page:
            console = ConsolePage(page, environment.stack)
            await page.goto(console.url + "/live")
            await console.fill_credentials(USER, PASSWORD)
            await page.get_by_role("button", name="Bench").click()
            await page.get_by_text("Live", exact=True).last.wait_for(state="attached")
            frames, longest, rate = await measure_frames(page, environment, seconds)
        paints = [await measure_first_paint(browser, console.url) for _ in range(environment.repeats)]
    yield Result(
        row="console",
        what=f"frames of the live tail at {rate:,.0f} messages/s for {seconds} s",
        unit="frames/s",
        ours=frames,
        reference=reference,
        of="an empty page",
        note=f"the longest frame {longest:.0f} ms",
    )
    yield Result(
        row="console",
        what=f"first paint of the sign-in page with 1/{THROTTLING} of a processor",
        unit="ms",
        ours=sorted(paints)[len(paints) // 2],
        better="less",
    )
