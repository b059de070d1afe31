"""A client's presence: what it says about itself, and who else is there."""

from collections.abc import Callable, Sequence
from typing import Any

from artcafe_client.receive_queue import Source
from artcafe_client.subscription import Subscription
from artcafe_client.transports.link import Link, Report, Target

ROSTER_TIMEOUT_S = 10.0
PATTERN = "presence.*"


class PresenceReporter:
    """What a client has said about itself, and says again on each new connection and with each heartbeat."""

    def __init__(self) -> None:
        self.report = Report()

    async def resume(self, link: Link) -> None:
        """Report on a new connection."""
        if self.report != Report() or link.transport == "nats":
            await link.report(self.report, heartbeat=False)

    async def beat(self, link: Link) -> None:
        """Send a heartbeat."""
        await link.report(self.report, heartbeat=True)


class Presence:
    """Reports a client's status and capabilities, with each heartbeat and on each new connection."""

    def __init__(
        self,
        reporter: PresenceReporter,
        require_link: Callable[[], Link],
        subscribe: Callable[[Source], Subscription],
    ) -> None:
        self._reporter = reporter
        self._require_link = require_link
        self._subscribe = subscribe

    async def update(
        self,
        *,
        status: "str | None" = None,
        capabilities: "Sequence[str] | None" = None,
        metadata: "dict[str, Any] | None" = None,
        metrics: "dict[str, Any] | None" = None,
    ) -> None:
        """Report what changed; what is left out stays as it was. It is reported again on each new connection.

        `status` is one of `online`, `idle`, `busy`, `away`, `ready`, `healthy`, `degraded`, `unhealthy` and others that the
        guide's page on concepts lists; any other is ignored.
        """
        before = self._reporter.report
        self._reporter.report = Report(
            status=before.status if status is None else status,
            capabilities=before.capabilities if capabilities is None else list(capabilities),
            metadata=before.metadata if metadata is None else metadata,
            metrics=before.metrics if metrics is None else metrics,
        )
        link = self._require_link()
        await link.report(self._reporter.report, heartbeat=False)
        if metrics is not None:
            await self._reporter.beat(link)

    async def roster(self) -> list[dict[str, Any]]:
        """Who is in the organization: `client_id`, `name`, `status`, `last_seen`, `capabilities`, `metadata` of each."""
        return await self._require_link().roster(ROSTER_TIMEOUT_S)

    def watch(self) -> Subscription:
        """The clients that go online or offline, as messages with `client_id`, `status`, `health` and `last_seen`."""
        return self._subscribe(Source(target=Target(PATTERN)))
