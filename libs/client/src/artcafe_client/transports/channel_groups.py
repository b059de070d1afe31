"""Which subscriptions of a client receive a frame of the WebSocket.

A socket receives a message once however many of its subscriptions match, so the client finds the subscriptions.
"""

from collections.abc import Iterator

from artcafe_client.names import matches, resolve
from artcafe_client.transports.link import Feed

MAX_CACHED_SUBJECTS = 10_000


class Group:
    """The subscriptions that share one subscription of the socket, which names a subject, a queue group or a channel."""

    __slots__ = ("channel", "channel_id", "feeds", "pattern", "prefixes", "queue")

    def __init__(self, tenant_id: str, feed: Feed) -> None:
        self.queue = feed.queue
        self.feeds: list[Feed] = []
        self.channel = feed.target.text if feed.target.is_channel else None
        self.channel_id = self.channel
        self.pattern = "" if self.channel else resolve(tenant_id, feed.target.text, wildcards=True).bare

    def fields(self) -> dict[str, str]:
        """What names it in a frame."""
        named = {"channel": self.channel} if self.channel else {"subject": self.pattern}
        return {**named, **({"queue": self.queue} if self.queue else {})}


class Groups:
    """The groups of a socket."""

    def __init__(self, tenant_id: str) -> None:
        self._tenant_id = tenant_id
        self._groups: dict[tuple[str, str, str], Group] = {}
        self._cache: dict[str, tuple[Feed, ...]] = {}

    def __iter__(self) -> Iterator[Group]:
        return iter(self._groups.values())

    def join(self, feed: Feed) -> tuple[Group, bool]:
        """The group of a subscription, and whether the socket has to subscribe."""
        group = Group(self._tenant_id, feed)
        key = self._key(group)
        known = self._groups.setdefault(key, group)
        known.feeds.append(feed)
        self._cache.clear()
        return known, known is group

    def leave(self, feed: Feed) -> Group | None:
        """The group, if the socket has to unsubscribe because this was its last subscription."""
        for key, group in self._groups.items():
            if feed in group.feeds:
                group.feeds.remove(feed)
                self._cache.clear()
                if not group.feeds:
                    del self._groups[key]
                    return group
                return None
        return None

    def set_channel_id(self, group: Group, channel_id: str | None) -> None:
        """Note the id of a channel that was named by its name."""
        if channel_id:
            group.channel_id = channel_id
            self._cache.clear()

    def of_channel(self, channel: str) -> list[Feed]:
        """The subscriptions of a channel."""
        return [
            feed for group in self for feed in group.feeds if channel in (group.channel_id, group.channel)
        ]

    def matching(self, subject: str, channel: str | None) -> tuple[Feed, ...]:
        """The subscriptions that receive a message."""
        feeds = self._cache.get(subject)
        if feeds is None:
            if len(self._cache) >= MAX_CACHED_SUBJECTS:
                self._cache.clear()
            feeds = self._cache[subject] = tuple(self._find(subject, channel))
        return feeds

    def _find(self, subject: str, channel: str | None) -> Iterator[Feed]:
        unknown = [g for g in self if channel and g.channel and g.channel_id == g.channel != channel]
        by_id = any(group.channel_id == channel for group in self) if channel else False
        for group in self:
            if group.channel is None:
                hit = matches(group.pattern, subject)
            else:
                # A channel that was subscribed by its name, whose id the gateway has not said.
                hit = group.channel_id == channel or (not by_id and unknown == [group])
            if hit and group.queue is not None and group.channel is None:
                # One message for the group: one of its subscriptions here takes it.
                group.feeds.append(group.feeds.pop(0))
                yield group.feeds[0]
            elif hit:
                yield from group.feeds

    def _key(self, group: Group) -> tuple[str, str, str]:
        return ("channel" if group.channel else "subject", group.channel or group.pattern, group.queue or "")
