"""The commands that publish nearly all messages: those of one client on one subject, without headers of their own."""

from artcafe_gateway.delivery.signatures import MessageSigner, SubjectSigner


class PublishCommand:
    """What the commands of one client on one subject have in common; `key` is the client's and channel's id for counting."""

    __slots__ = ("_head", "_signer", "header_size", "key")

    def __init__(self, signer: MessageSigner, subject: str, *, client_id: str, channel_id: str) -> None:
        self._signer = SubjectSigner(signer, client_id, subject)
        self.header_size = self._signer.block_size
        self._head = b"HPUB %b %d " % (subject.encode(), self.header_size)
        self.key = (client_id, channel_id)

    def render(self, payload: bytes) -> bytes:
        """The command that publishes a message."""
        signer = self._signer
        return b"%b%d\r\n%b%b%b\r\n" % (
            self._head,
            self.header_size + len(payload),
            signer.start,
            signer.sign_end(payload),
            payload,
        )
