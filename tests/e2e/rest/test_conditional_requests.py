"""`ETag`, `If-Match` and `If-None-Match`."""

import asyncio

import pytest

from support.api_examples import UNKNOWN_ID

RESOURCES = {
    "accounts": {"name": "Other"},
    "agents": {"description": "Other"},
    "channels": {"description": "Other"},
    "clients": {"metadata": {"n": 1}},
    "profile": {"name": "Ada"},
    "preferences": {"theme": "dark"},
    "subjects": {"description": "Other"},
}


async def create(tenant, kind):
    """The path of a new resource."""
    if kind == "accounts":
        return f"/accounts/{tenant.id}"
    if kind in ("profile", "preferences"):
        return {"profile": "/profile/me", "preferences": "/profile/preferences"}[kind]
    body = {"name": "one"} | ({"pattern": "one.>"} if kind == "subjects" else {})
    created = await tenant.call("POST", f"/{kind}", 201, json=body)
    singular = kind.removesuffix("s")
    return f"/{kind}/{created.get(singular, created)[f'{singular}_id']}"


@pytest.mark.parametrize("kind", RESOURCES)
async def test_change_of_an_outdated_version_is_refused(tenant, kind):
    path = await create(tenant, kind)
    first = (await tenant.http.get(path)).headers["etag"]
    changed = await tenant.http.put(path, json=RESOURCES[kind], headers={"If-Match": first})
    assert changed.status_code == 200, changed.text
    second = changed.headers["etag"]
    assert second != first
    for method, body in (("PUT", RESOURCES[kind]), ("DELETE", None)):
        if method == "DELETE" and kind in ("accounts", "profile", "preferences"):
            continue
        for tag in (first, f"W/{second}", '"other"', "nonsense", ""):
            refused = await tenant.http.request(method, path, json=body, headers={"If-Match": tag})
            assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed"), tag
        # A missing resource is missing, whatever its version should be.
        if kind in ("agents", "channels", "clients", "subjects"):
            missing = f"{path.rpartition('/')[0]}/{UNKNOWN_ID}"
            answer = await tenant.http.request(method, missing, json=body, headers={"If-Match": first})
            assert answer.status_code == 404
    for tag in (f'"other", {second}', "*"):
        answer = await tenant.http.put(path, json=RESOURCES[kind], headers={"If-Match": tag})
        assert answer.status_code == 200, answer.text
    if kind not in ("accounts", "profile", "preferences"):
        latest = answer.headers["etag"]
        gone = await tenant.http.delete(path, headers={"If-Match": latest})
        assert gone.status_code == 200
        assert "etag" not in gone.headers


async def test_known_response_is_not_sent_again(tenant):
    path = await create(tenant, "channels")
    full = await tenant.http.get(path)
    etag = full.headers["etag"]
    for tags in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        known = await tenant.http.get(path, headers={"If-None-Match": tags})
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag), tags
        assert known.headers["x-request-id"]
        assert not {"content-type", "content-length"} & known.headers.keys()
    for tags in ('"other"', "", etag.strip('"')):
        assert (await tenant.http.get(path, headers={"If-None-Match": tags})).content == full.content
    await tenant.call("PUT", path, 200, json={"description": "Other"})
    assert (await tenant.http.get(path, headers={"If-None-Match": etag})).status_code == 200
    missing = await tenant.http.get(f"/channels/{UNKNOWN_ID}", headers={"If-None-Match": "*"})
    assert missing.status_code == 404


async def test_presence_changes_the_etag_and_fails_no_change(tenant):
    client = await tenant.create_client()
    path = f"/clients/{client.id}"
    offline = (await tenant.http.get(path)).headers["etag"]
    await client.connect_websocket()
    async with asyncio.timeout(5):
        while (await tenant.call("GET", path, 200))["status"] != "online":
            await asyncio.sleep(0.05)
    assert (await tenant.http.get(path, headers={"If-None-Match": offline})).status_code == 200
    await tenant.call("PUT", path, 200, json={"metadata": {"n": 1}}, headers={"If-Match": offline})


async def test_body_cannot_set_the_version(tenant):
    refused = await tenant.call("PUT", f"/accounts/{tenant.id}", 400, json={"if_match": []})
    assert refused["errors"] == [{"field": "if_match", "message": "Unknown field"}]
