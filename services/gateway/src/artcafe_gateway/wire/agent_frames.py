"""The frames of the published SDK's agents that differ from those of clients."""

from datetime import datetime
from typing import Any, cast

from msgspec import UNSET, Raw, UnsetType, field

from artcafe_gateway.wire.frames import (
    ClientFrame,
    FrameId,
    Last,
    MessageId,
    Publish,
    ServerFrame,
    Since,
    Subscribe,
    Unsubscribe,
)
from artcafe_gateway.wire.parsing import BadFrame

MAX_SUBJECTS = 1000


class AgentSubjects(ClientFrame, frozen=True, kw_only=True):
    """The fields of `AgentSubscribe` and `AgentUnsubscribe`."""

    subject: str | None = None
    subjects: list[str] | None = None
    channel: str | None = None
    topic: str | None = None
    id: FrameId | None = None
    since: Since | None = None
    last: Last | None = None
    queue: str | None = None

    def _subscriptions(self) -> list[Subscribe]:
        names = [self.subject, self.channel, self.topic, self.subjects]
        if sum(name is not None for name in names) != 1 or self.subjects == []:
            raise BadFrame("give one of subject, subjects, channel and topic")
        if self.subjects is not None:
            if len(self.subjects) > MAX_SUBJECTS:
                raise BadFrame(f"give at most {MAX_SUBJECTS} subjects at once")
            return [
                Subscribe(subject=subject, id=self.id, since=self.since, last=self.last, queue=self.queue)
                for subject in self.subjects
            ]
        return [
            Subscribe(
                subject=_either(self.subject, self.topic),
                channel=self.channel,
                id=self.id,
                since=self.since,
                last=self.last,
                queue=self.queue,
            )
        ]


class AgentSubscribe(AgentSubjects, frozen=True, kw_only=True, tag="subscribe"):
    """Subscribes to one `subject`, `channel` or `topic`, or to several `subjects`."""

    def normalize(self) -> list[Subscribe]:
        """One `Subscribe` for each name; BadFrame unless exactly one field names them."""
        return self._subscriptions()


class AgentUnsubscribe(AgentSubjects, frozen=True, kw_only=True, tag="unsubscribe"):
    """Ends one or several subscriptions."""

    def normalize(self) -> list[Unsubscribe]:
        """One `Unsubscribe` for each name; BadFrame unless exactly one field names them."""
        return [
            Unsubscribe(subject=each.subject, channel=each.channel, id=each.id, queue=each.queue)
            for each in self._subscriptions()
        ]


class AgentPublish(ClientFrame, frozen=True, kw_only=True, tag="publish"):
    """Publishes a message; the payload is `data` or `message`."""

    data: Raw | UnsetType = UNSET
    message: Raw | UnsetType = UNSET
    subject: str | None = None
    channel: str | None = None
    topic: str | None = None
    id: FrameId | None = None
    headers: dict[str, str] | None = None
    message_id: MessageId | None = None

    def normalize(self) -> Publish:
        """The `Publish` of a client; BadFrame unless either `data` or `message` is given."""
        if (self.data is UNSET) == (self.message is UNSET):
            raise BadFrame("give either data or message")
        return Publish(
            data=cast("Raw", self.message if self.data is UNSET else self.data),
            subject=_either(self.subject, self.topic),
            channel=self.channel,
            id=self.id,
            headers=self.headers,
            message_id=self.message_id,
        )


class AgentMessage(ServerFrame, frozen=True, kw_only=True, tag="message"):
    """A message for an agent that subscribed with `subjects`: the payload is `message`."""

    sent_to = ("agent",)
    subject: str
    message: Any
    timestamp: datetime
    channel: str | None = None
    queue: str | None = None
    reply: str | None = None
    from_: str | None = field(name="from", default=None)
    headers: dict[str, str] | None = None
    seq: int | None = None


def _either(subject: str | None, topic: str | None) -> str | None:
    if subject is not None and topic is not None:
        raise BadFrame("give either a subject or a topic")
    return topic if subject is None else subject
