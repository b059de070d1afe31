"""The pages that the `type` of a problem document points to."""


async def test_problem_type_has_a_page(http):
    problem = (await http.get("/api/v1/clients")).json()
    page = await http.get(f"/problems/{problem['code']}", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert problem["code"] in page.text
    assert problem["title"] in page.text


async def test_problem_type_is_described_in_json(http):
    response = await http.get("/problems/client_not_found", headers={"Accept": "application/json"})
    assert response.headers["content-type"] == "application/json"
    assert response.headers["vary"] == "Accept"
    described = response.json()
    assert described.keys() == {"type", "code", "status", "title", "cause", "remedy"}
    assert (described["type"], described["code"], described["status"]) == (
        "/problems/client_not_found",
        "client_not_found",
        404,
    )
    assert described["cause"]


async def test_all_problem_types_are_listed(http):
    types = (await http.get("/problems", headers={"Accept": "application/json"})).json()["problems"]
    codes = [each["code"] for each in types]
    assert codes == sorted(set(codes))
    assert {"internal_error", "invalid_request", "client_not_found", "quota_exceeded"} <= set(codes)
    assert (await http.get("/problems")).json()["problems"] == types
    page = await http.get("/problems", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    for each in types:
        assert f'href="{each["type"]}"' in page.text


async def test_unknown_problem_type_is_not_found(http):
    for path in ("/problems/nothing", "/problems/CommandError", "/problems/client_not_found/more"):
        response = await http.get(path)
        assert response.status_code == 404
        assert response.json()["code"] == "not_found"
