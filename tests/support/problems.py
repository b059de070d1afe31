"""Asserts that the API responds with an error."""

import re


async def assert_rejected(tenant, method, path, status, code, **options):
    """Send a request that must fail; returns the problem document."""
    response = await tenant.http.request(method, path, **options)
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    return response.json()


def without_request_id(response):
    """The problem document of a response, without the request id."""
    problem = response.json()
    assert problem.pop("request_id") == response.headers["x-request-id"]
    return problem


def assert_problem(response, status=None, code=None, fields=None):
    """Assert that a response is a complete problem document; returns it.

    `fields` are the names of the invalid fields, in order.
    """
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem = response.json()
    assert problem["status"] == response.status_code
    assert problem["type"] == f"/problems/{problem['code']}"
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", problem["code"])
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem.keys() <= {"type", "title", "status", "detail", "code", "request_id", "errors"}
    if problem["code"] == "invalid_request":
        assert problem["errors"]
    for error in problem.get("errors", ()):
        assert error.keys() == {"field", "message"}
        assert error["message"]
    if status is not None:
        assert response.status_code == status, response.text
    if code is not None:
        assert problem["code"] == code, problem
    if fields is not None:
        assert [error["field"] for error in problem["errors"]] == fields, problem
    return problem
