"""Everything the API shows of an organization, to compare before and after."""

# These change by themselves while a client is connected.
VOLATILE_FIELDS = {"last_seen"}
RESOURCES = {
    "clients": ("client_id", ("", "/status")),
    "agents": ("agent_id", ("",)),
    "channels": ("channel_id", ("", "/messages", "/storage", "/subscribers")),
    "subjects": ("subject_id", ("",)),
}


async def snapshot(tenant):
    """The response of every GET route, without the log entries of denials."""
    account = f"/accounts/{tenant.id}"
    paths = (account, f"{account}/members", f"{account}/invitations", "/accounts")
    responses = {path: await _read(tenant, path) for path in paths}
    for path in ("/profile/me", "/profile/preferences", "/invitations", "/agents/status/summary"):
        responses[path] = await _read(tenant, path)
    for plural, (key, suffixes) in RESOURCES.items():
        responses[plural] = await _read(tenant, f"/{plural}?limit=200")
        for item in responses[plural][plural]:
            for suffix in suffixes:
                path = f"/{plural}/{item[key]}{suffix}"
                responses[path] = await _read(tenant, path)
    log = await _read(tenant, "/activity/logs?limit=200")
    responses["log"] = [entry for entry in log["logs"] if entry["type"] != "access"]
    return responses


async def _read(tenant, path):
    return _without_volatile_fields(await tenant.call("GET", path, 200))


def _without_volatile_fields(value):
    if isinstance(value, dict):
        return {k: _without_volatile_fields(v) for k, v in value.items() if k not in VOLATILE_FIELDS}
    return [_without_volatile_fields(each) for each in value] if isinstance(value, list) else value
