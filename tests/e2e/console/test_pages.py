"""Each page of the console with its data, in light and dark and on a phone; nothing that axe finds fault with."""

import pytest

from support.console import PHONE, missing_console

REASON = missing_console()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(REASON is not None, reason=REASON or ""),
    pytest.mark.timeout(180),
]


def pages_of(fleet):
    """The path of each page, and texts that it shows."""
    planner, news = f"/clients/{fleet.planner.id}", f"/channels/{fleet.news['channel_id']}"
    return {
        "overview": ("/", ["Online now", "Needs attention", "forbidden_subject", "of 4 clients"]),
        "clients": ("/clients", ["planner", "scraper-eu", "suspended", "pages.>"]),
        "client": (planner, ["Connections (1)", "WebSocket", "pages.>", fleet.planner.record["nkey_public"]]),
        "client-permissions": (f"{planner}/permissions", ["May publish to", "May it …?"]),
        "client-usage": (f"{planner}/usage", ["Messages by day", "The last 30 days"]),
        "client-activity": (f"{planner}/activity", ["Client created"]),
        "live": ("/live", ["pages.done", "per second", "not shown"]),
        "channels": ("/channels", ["news", "alerts", "kept"]),
        "channel": (news, ["Robots build robots, part 5", "planner", "Publish", "#5"]),
        "subjects": ("/channels?kind=subjects", ["Orders", "orders.>", "64 MB"]),
        "subject": (f"/channels/subjects/{fleet.subject['subject_id']}", ["Retention", "orders.>"]),
        "usage": ("/usage", ["Messages", "Busiest", "planner", "At this pace"]),
        "activity": ("/activity", ["Client created", "Channel created", "denied"]),
        "health": ("/health", ["gateway", "metering", "nats"]),
        "settings": ("/settings", [fleet.tenant.id, "Messages a month"]),
        "settings-members": ("/settings/members", [fleet.owner.email, "Invitations"]),
        "settings-keys": ("/settings/keys", ["No signing key"]),
        "settings-you": ("/settings/you", ["Preferences", "Time zone"]),
    }


async def show(console, fleet, path, texts, state="visible"):
    await console.open(path)
    if path == "/live":
        await fleet.publish_until_seen(console)
    for text in texts:
        await console.see(text, state)


async def test_every_page_shows_its_data(console, fleet, stack):
    violations = {}
    await console.page.goto(console.url)
    await console.page.get_by_label("Password").wait_for()
    violations["sign-in"] = await console.axe()
    await console.screenshot("sign-in-light")
    await console.sign_in(fleet.owner.email)
    for name, (path, texts) in pages_of(fleet).items():
        await show(console, fleet, path, texts)
        violations[name] = await console.axe()
        await console.screenshot(f"{name}-light")
    assert {name: found for name, found in violations.items() if found} == {}
    assert console.watch.problems == []
    assert console.watch.foreign(stack.api, stack.api.replace("http", "ws")) == []


@pytest.mark.parametrize(
    ("look", "options"),
    [
        ("dark", {"color_scheme": "dark"}),
        ("phone", {"viewport": PHONE, "has_touch": True, "is_mobile": True}),
    ],
)
async def test_every_page_has_a_dark_and_a_small_form(new_console, fleet, look, options):
    console = await new_console(**options)
    violations, wide = {}, {}
    await console.sign_in(fleet.owner.email)
    for name, (path, texts) in pages_of(fleet).items():
        # A phone leaves some columns out.
        await show(console, fleet, path, texts, "attached")
        violations[name] = await console.axe()
        # A phone's `innerWidth` grows with what does not fit.
        width = await console.page.evaluate("document.documentElement.scrollWidth")
        wide[name] = max(0, width - console.page.viewport_size["width"])
        await console.screenshot(f"{name}-{look}")
    assert {name: found for name, found in violations.items() if found} == {}
    assert {name: pixels for name, pixels in wide.items() if pixels} == {}
    assert console.watch.problems == []


async def test_page_is_read_from_right_to_left(console, fleet):
    await console.sign_in(fleet.owner.email, path="/settings/you")
    await console.page.get_by_label("Numbers, dates and direction as in").select_option("ar")
    await console.page.locator("html[dir=rtl]").wait_for()
    await console.open("/clients")
    await console.see("planner")
    sidebar = await console.page.locator(".sidebar").bounding_box()
    main = await console.page.locator("main").bounding_box()
    assert sidebar["x"] > main["x"]
    await console.screenshot("clients-rtl")
