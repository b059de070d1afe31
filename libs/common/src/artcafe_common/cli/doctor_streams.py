"""The doctor's checks of the broker's servers, streams and storage, from metering's report."""

from artcafe_common.cli.doctor_results import CheckResult, fail, ok, warn
from artcafe_common.contracts.broker import BrokerReport, BrokerServer, StreamState

MAX_PENDING = 1_000
STORAGE_WARN, STORAGE_FAIL, RESERVED_WARN = 0.75, 0.9, 0.9
GIB = 1024**3
CHOSEN_BY_HAND = (
    "wait a minute after a change of ARTCAFE_STREAM_REPLICAS; a number that was set by hand stays"
)
START_SERVERS = "start the missing nats-servers, and wait until they have caught up"


def check_servers(report: BrokerReport) -> list[CheckResult]:
    """Compare the servers that answer with the size of their cluster."""
    size = max((server.cluster_size for server in report.servers), default=1)
    names = ", ".join(server.name for server in report.servers)
    if len(report.servers) < size:
        return [
            fail("servers", f"{len(report.servers)} of {size} nats-servers answer: {names}", START_SERVERS)
        ]
    if size > 1 and not any(server.meta_leader for server in report.servers):
        return [fail("servers", "the cluster has no leader for its metadata", START_SERVERS)]
    return [ok("servers", names)]


def check_streams(report: BrokerReport) -> list[CheckResult]:
    """Leader, replicas and consumers of each stream."""
    results = [result for stream in report.streams for result in _check_stream(stream)]
    results += _check_replicas(report)
    tenants = report.tenant_streams
    examples = f", for example {', '.join(tenants.examples)}" if tenants.examples else ""
    if tenants.without_leader:
        detail = (
            f"{tenants.without_leader} of {tenants.total} streams of organizations have no leader{examples}"
        )
        return [*results, fail("streams", detail, START_SERVERS)]
    if tenants.missing_replica:
        detail = (
            f"{tenants.missing_replica} of {tenants.total} streams of organizations miss a replica{examples}"
        )
        return [*results, warn("streams", detail, START_SERVERS)]
    return [*results, ok("streams", f"{tenants.total} streams of organizations")]


def check_storage(report: BrokerReport) -> list[CheckResult]:
    """What is stored and reserved on each server, against its limit."""
    return [_check_storage(server) for server in report.servers]


def _check_replicas(report: BrokerReport) -> list[CheckResult]:
    """Streams with another number of replicas than the installation's; an operator may have chosen it."""
    if not report.stream_replicas:
        return []
    wanted, tenants = report.stream_replicas, report.tenant_streams
    results = [
        warn("streams", f"{each.name} has {each.replicas} replicas instead of {wanted}", CHOSEN_BY_HAND)
        for each in report.streams
        if each.replicas != wanted
    ]
    if tenants.other_replicas:
        detail = f"{tenants.other_replicas} of {tenants.total} streams of organizations have other than {wanted} replicas"
        examples = f", for example {', '.join(tenants.other_examples)}"
        results.append(warn("streams", detail + examples, CHOSEN_BY_HAND))
    return results


def _check_stream(stream: StreamState) -> list[CheckResult]:
    name = f"{stream.name}, {stream.messages} messages"
    if not stream.has_leader:
        return [fail("streams", f"{stream.name} has no leader", START_SERVERS)]
    results = []
    if stream.replicas_current < stream.replicas:
        detail = f"{stream.name}: {stream.replicas_current} of {stream.replicas} replicas are up to date"
        results.append(warn("streams", detail, START_SERVERS))
    for consumer in stream.consumers:
        if consumer.pending > MAX_PENDING:
            service = consumer.name.partition("-")[0]
            detail = f"{consumer.name} has {consumer.pending} messages of {stream.name} to read"
            results.append(
                warn("streams", detail, f"look into the log of {service}, or start another instance")
            )
    return results or [ok("streams", f"{name}, {stream.replicas_current} of {stream.replicas} replicas")]


def _check_storage(server: BrokerServer) -> CheckResult:
    limit = server.storage_limit_bytes
    if not limit:
        return fail(
            "storage", f"{server.name}: JetStream is disabled", "enable JetStream in nats-server.conf"
        )
    used, reserved = server.storage_bytes / limit, server.storage_reserved_bytes / limit
    detail = f"{server.name}: {used:.0%} of {limit / GIB:.1f} GiB used, {reserved:.0%} reserved"
    remedy = "enlarge the disk and max_file_store of nats-server (docs/operate/capacity.md)"
    if used > STORAGE_FAIL:
        return fail("storage", detail, remedy)
    if used > STORAGE_WARN or reserved > RESERVED_WARN:
        return warn("storage", detail, remedy)
    return ok("storage", detail)
