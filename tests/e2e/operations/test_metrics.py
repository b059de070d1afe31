"""`/metrics` of every service: complete, true, and without any organization's name."""

import re

import httpx

from docs.generate.metrics import every_metric
from support.metrics import METRICS_SERVICES, declared_names, read_metrics, read_text, total
from support.observability import every_expression, metric_names
from support.waiting import eventually


async def test_every_declared_metric_is_exposed(stack):
    found = {
        service: declared_names(await read_text(stack, service)) for service in ("gateway", *METRICS_SERVICES)
    }
    names = set().union(*found.values())
    assert {each.name for each in every_metric()} <= names
    for service, exposed in found.items():
        assert {"artcafe_build_info", "artcafe_nats_connected", "process_resident_memory_bytes"} <= exposed, (
            service
        )


async def test_requests_commands_and_store_calls_are_counted(stack, tenant):
    before = {service: await read_metrics(stack, service) for service in ("gateway", "tenancy")}
    assert (await tenant.http.get("/channels/unknown")).status_code == 404
    await tenant.call("POST", "/channels", 201, json={"name": "counted"})
    after = {service: await read_metrics(stack, service) for service in ("gateway", "tenancy")}

    def increase(service, name, **labels):
        return total(after[service], name, **labels) - total(before[service], name, **labels)

    route = "/api/v1/channels"
    assert increase("gateway", "artcafe_http_requests_total", route=route, method="POST", status="201") == 1
    assert increase("gateway", "artcafe_http_request_seconds_count", route=route) == 1
    assert increase("gateway", "artcafe_calls_total", command="CreateChannel", code="ok") == 1
    assert increase("tenancy", "artcafe_commands_total", command="CreateChannel", code="ok") == 1
    assert increase("tenancy", "artcafe_commands_total", command="GetChannel", code="channel_not_found") == 1
    assert increase("tenancy", "artcafe_command_seconds_sum", command="CreateChannel") > 0
    assert increase("tenancy", "artcafe_store_calls_total", store="dynamodb", result="ok") >= 1


async def test_sockets_messages_and_heartbeats_are_counted(stack, tenant):
    client = await tenant.create_client()
    before = await read_metrics(stack, "gateway")
    socket = await client.connect_websocket()
    await socket.subscribe(subject="counted")
    await socket.send_and_receive("publish", "published", subject="counted", data="x" * 1000, id=1)
    await socket.receive("message")
    await socket.send_and_receive("heartbeat", "heartbeat_ack")

    async def counted():
        after = await read_metrics(stack, "gateway")
        names = (
            "artcafe_websockets",
            "artcafe_websockets_opened_total",
            "artcafe_messages_published_total",
            "artcafe_messages_delivered_total",
            "artcafe_heartbeats_total",
        )
        return all(total(after, name) > total(before, name) for name in names) and (
            total(after, "artcafe_message_bytes_published_total")
            - total(before, "artcafe_message_bytes_published_total")
            >= 1000
        )

    await eventually(counted)


async def test_state_of_the_broker_is_known(stack):
    async def read():
        samples = await read_metrics(stack, "metering")
        consumers = {
            dict(labels)["consumer"] for name, labels in samples if name == "artcafe_consumer_pending"
        }
        return (
            samples
            if consumers >= {"metering", "presence", "tenancy", "tenancy-streams", "identity"}
            else None
        )

    # It is read every 15 s.
    samples = await eventually(read, within=25)
    assert total(samples, "artcafe_stream_has_leader", stream="EVENTS") == 1
    assert total(samples, "artcafe_stream_replicas_current", stream="EVENTS") == 1
    assert total(samples, "artcafe_broker_connections") >= 5
    assert total(samples, "artcafe_broker_messages_in_total") > 0
    limit = total(samples, "artcafe_jetstream_storage_limit_bytes")
    assert 0 < total(samples, "artcafe_jetstream_storage_reserved_bytes") <= limit
    assert total(samples, "artcafe_tenant_streams", state="without_leader") == 0


async def test_no_metric_names_an_organization_or_what_a_peer_chooses(stack, tenant):
    client = await tenant.create_client(name="secret-name")
    await client.connect_websocket()
    async with httpx.AsyncClient(base_url=stack.api) as http:
        assert (await http.request("BREW", f"/api/v1/{tenant.id}")).status_code in (400, 404, 405)
        assert (await http.get(f"/{tenant.id}/unknown")).status_code == 404
    for service in ("gateway", *METRICS_SERVICES):
        text = await read_text(stack, service)
        for word in (tenant.id, client.id, "secret-name", "BREW"):
            assert word not in text, (service, word)
        # Neither a ULID nor a key in any label.
        values = re.findall(r'="([^"]*)"', text)
        assert not [each for each in values if re.fullmatch(r"[0-9A-Z]{26}|[AU][A-Z2-7]{55}", each)], service


async def test_every_metric_in_rules_and_dashboards_exists(stack):
    exposed = set()
    for service in ("gateway", *METRICS_SERVICES):
        exposed |= declared_names(await read_text(stack, service))
    for expression in every_expression():
        assert metric_names(expression) <= exposed, expression
