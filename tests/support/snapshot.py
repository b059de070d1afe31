"""All that an organization can see of itself, to be compared with what it sees later."""

# What passes of itself while somebody is connected.
PASSING = {"last_seen"}
PLACES = {
    "clients": ("client_id", ("", "/status")),
    "agents": ("agent_id", ("",)),
    "channels": ("channel_id", ("", "/messages", "/subscribers")),
    "subjects": ("subject_id", ("",)),
}


async def snapshot(tenant):
    """What the owner is shown by every route that reads, save for the log of refusals."""
    account = f"/accounts/{tenant.id}"
    seen = {path: await _read(tenant, path) for path in (account, f"{account}/members", "/accounts")}
    for path in ("/profile/me", "/profile/preferences", "/agents/status/summary"):
        seen[path] = await _read(tenant, path)
    for plural, (key, ends) in PLACES.items():
        seen[plural] = await _read(tenant, f"/{plural}?limit=200")
        for item in seen[plural][plural]:
            for end in ends:
                path = f"/{plural}/{item[key]}{end}"
                seen[path] = await _read(tenant, path)
    log = await _read(tenant, "/activity/logs?limit=200")
    seen["log"] = [entry for entry in log["logs"] if entry["type"] != "access"]
    return seen


async def _read(tenant, path):
    return _steady(await tenant.call("GET", path, 200))


def _steady(value):
    if isinstance(value, dict):
        return {key: _steady(each) for key, each in value.items() if key not in PASSING}
    return [_steady(each) for each in value] if isinstance(value, list) else value
