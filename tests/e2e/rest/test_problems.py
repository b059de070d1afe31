"""The pages that the `type` of a problem document points to."""

import httpx
import pytest


@pytest.fixture
async def http(stack):
    async with httpx.AsyncClient(base_url=stack.api, timeout=20) as client:
        yield client


async def test_the_type_of_an_error_is_a_page(http):
    problem = (await http.get("/api/v1/clients")).json()
    page = await http.get(f"/problems/{problem['code']}", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert problem["code"] in page.text
    assert problem["title"] in page.text


async def test_an_error_code_is_described_in_json(http):
    answer = await http.get("/problems/client_not_found", headers={"Accept": "application/json"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["vary"] == "Accept"
    found = answer.json()
    assert found.keys() == {"type", "code", "status", "title", "cause", "remedy"}
    assert (found["type"], found["code"], found["status"]) == (
        "/problems/client_not_found",
        "client_not_found",
        404,
    )
    assert found["cause"]


async def test_all_error_codes_are_listed(http):
    types = (await http.get("/problems", headers={"Accept": "application/json"})).json()["problems"]
    codes = [each["code"] for each in types]
    assert codes == sorted(set(codes))
    assert {"internal_error", "invalid_request", "client_not_found", "quota_exceeded"} <= set(codes)
    page = await http.get("/problems")
    for each in types:
        assert f'href="{each["type"]}"' in page.text


async def test_an_unknown_error_code_is_not_found(http):
    for path in ("/problems/nothing", "/problems/CommandError", "/problems/client_not_found/more"):
        answer = await http.get(path)
        assert answer.status_code == 404
        assert answer.json()["code"] == "not_found"
