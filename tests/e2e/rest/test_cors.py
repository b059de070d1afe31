"""Pages on this machine may call the API of the development stack, and others may not."""

import pytest

PREFLIGHT = {
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "authorization,if-match",
}
ALLOW_ORIGIN = "Access-Control-Allow-Origin"


@pytest.mark.parametrize("origin", ["http://localhost:5173", "http://127.0.0.1:3000", "http://[::1]:80"])
async def test_page_of_this_machine_may_call_the_api(tenant, origin):
    allowed = await tenant.http.request("OPTIONS", "/clients", headers={"Origin": origin, **PREFLIGHT})
    assert allowed.status_code == 204
    assert allowed.headers[ALLOW_ORIGIN] == origin
    assert "if-match" in allowed.headers["Access-Control-Allow-Headers"]
    for path, status in (("/clients", 200), ("/clients/unknown", 404)):
        response = await tenant.http.get(path, headers={"Origin": origin})
        assert (response.status_code, response.headers[ALLOW_ORIGIN]) == (status, origin)
        assert "ETag" in response.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize(
    "origin",
    ["https://example.org", "http://localhost.example.org", "http://127.0.0.1.example.org:80", "null"],
)
async def test_page_of_another_host_may_not(tenant, origin):
    refused = await tenant.http.request("OPTIONS", "/clients", headers={"Origin": origin, **PREFLIGHT})
    assert ALLOW_ORIGIN not in refused.headers
    response = await tenant.http.get("/clients", headers={"Origin": origin})
    assert ALLOW_ORIGIN not in response.headers
