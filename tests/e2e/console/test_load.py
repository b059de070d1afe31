"""The live tail under many messages; `make bench ARGS=console` measures how smooth it stays, and how fast the page is there."""

import gzip
import re

import pytest

from support.console import STATIC, missing_console
from support.waiting import eventually

REASON = missing_console()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(REASON is not None, reason=REASON or ""),
    pytest.mark.timeout(300),
]
MESSAGES = 3_000
MAX_ROWS = 100
MAX_GROWTH_BYTES = 12_000_000
# Of all files, and of those that the sign-in page needs.
MAX_BYTES, MAX_FIRST_BYTES = 200_000, 30_000


async def test_live_tail_is_bounded_and_counts_what_it_does_not_show(console, fleet):
    await console.sign_in(fleet.owner.email, path="/live")
    page = console.page
    await page.get_by_text("Live", exact=True).last.wait_for(state="attached")
    session = await page.context.new_cdp_session(page)
    nats = await fleet.planner.connect_nats()
    sent = 0

    async def publish():
        nonlocal sent
        for _ in range(MESSAGES):
            await nats.publish(f"{fleet.tenant.id}.load.test", b'{"text":"' + b"x" * 160 + b'"}')
        await nats.flush()
        sent += MESSAGES

    async def all_are_counted():
        counts = re.findall(r"([\d,]+) (?:received|not shown)", await console.text())
        return sum(int(each.replace(",", "")) for each in counts) >= sent

    async def heap():
        await session.send("HeapProfiler.collectGarbage")
        return await page.evaluate("performance.memory.usedJSHeapSize")

    await publish()
    await eventually(all_are_counted)
    before = await heap()
    await publish()
    await eventually(all_are_counted)
    assert await heap() - before < MAX_GROWTH_BYTES
    assert await page.locator("main .live-row").count() < MAX_ROWS


def test_first_load_is_small():
    page = STATIC / "index.html"
    names = re.findall(r'(?:src|href)="/console/([^"]+)"', page.read_text())
    assert len(names) >= 3

    def compressed(paths):
        return sum(len(gzip.compress(path.read_bytes())) for path in paths if path.is_file())

    everything, first = compressed(STATIC.rglob("*")), compressed([page, *(STATIC / name for name in names)])
    print(f"first load: {first / 1000:.0f} of {everything / 1000:.0f} kB gzip")
    assert everything <= MAX_BYTES
    assert first <= MAX_FIRST_BYTES
