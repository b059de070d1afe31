"""Reads the metrics of a running stack."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from artcafe_common.dev.stack import LOOPBACK

METRICS_SERVICES = ("identity", "tenancy", "presence", "metering")


async def read_text(stack, service):
    """The exposition of one service."""
    port = stack.ports.api if service == "gateway" else getattr(stack.ports, f"{service}_metrics")
    path = "/api/v1/metrics" if service == "gateway" else "/metrics"
    async with httpx.AsyncClient(timeout=10) as http:
        response = await http.get(f"http://{LOOPBACK}:{port}{path}")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return response.text


async def read_metrics(stack, service):
    """The samples of one service: value by name and labels."""
    return parse(await read_text(stack, service))


def parse(text):
    """Value by name and labels, which are a frozenset of pairs."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples, name, /, **labels):
    """The sum of a metric's samples with these labels."""
    return sum(
        value
        for (each, has), value in samples.items()
        if each == name and labels.items() <= dict(has).items()
    )


def declared_names(text):
    """The names of all metrics in an exposition, also of those without samples."""
    return {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
