"""`POST /clients/{client_id}/permissions/test` says what the gateway and the broker then do."""

import pytest

from support.problems import assert_rejected

PERMISSIONS = {"publish": ["orders.*"], "subscribe": ["orders.>", "jobs"]}
SUBJECTS = [
    "orders.1",
    "orders.1.2",
    "jobs",
    "other",
    "{tid}.orders.1",
    "tenant.{tid}.jobs",
    "a..b",
    "_heartbeat.{tid}.x",
]


async def explain(tenant, client_id, **body):
    return await tenant.call("POST", f"/clients/{client_id}/permissions/test", 200, json=body)


async def test_explanations_agree_with_a_socket(tenant):
    client = await tenant.create_client(permissions=PERMISSIONS)
    socket = await client.connect_websocket()
    for text in SUBJECTS:
        subject = text.format(tid=tenant.id)
        for action, frame, answer in (("publish", {"data": 1}, "published"), ("subscribe", {}, "subscribed")):
            explained = await explain(tenant, client.id, action=action, subject=subject)
            await socket.send(type=action, subject=subject, id=subject, **frame)
            received = await socket.receive_any({answer, "error"}, id=subject)
            assert explained["allowed"] == (received["type"] == answer), explained
            assert explained["why"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "action"),
        ({"action": "delete", "subject": "a"}, "action"),
        ({"action": "publish"}, "subject"),
        ({"action": "publish", "subject": "x" * 1001}, "subject"),
        ({"action": "publish", "subject": "a", "more": 1}, "more"),
    ],
)
async def test_invalid_requests_are_rejected(tenant, body, field):
    client = await tenant.create_client()
    path = f"/clients/{client.id}/permissions/test"
    problem = await assert_rejected(tenant, "POST", path, 400, "invalid_request", json=body)
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_client_of_another_organization_is_not_found(tenant, other_tenant):
    client = await other_tenant.create_client()
    body = {"action": "publish", "subject": "a"}
    path = f"/clients/{client.id}/permissions/test"
    await assert_rejected(tenant, "POST", path, 404, "client_not_found", json=body)
