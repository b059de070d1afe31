"""Rules of metadata: any JSON object up to a size, and of a client's agent card."""

import msgspec

from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_common.contracts.tenancy.agent_cards import AGENT_CARD, AgentCard
from artcafe_common.contracts.tenancy.fields import MAX_METADATA_BYTES, Metadata


def check(metadata: Metadata) -> None:
    """Raises InvalidRequest for metadata that is too large as JSON."""
    if len(msgspec.json.encode(metadata)) > MAX_METADATA_BYTES:
        message = f"metadata must not exceed {MAX_METADATA_BYTES} bytes as JSON"
        raise InvalidRequest(message, errors=(FieldError(field="metadata", message=message),))


def check_agent_card(metadata: Metadata) -> None:
    """Raises InvalidRequest if a client's metadata has an agent card that is none."""
    if AGENT_CARD not in metadata:
        return
    try:
        msgspec.convert(metadata[AGENT_CARD], AgentCard)
    except (msgspec.ValidationError, RecursionError) as error:
        text, _, path = str(error).partition(" - at `$")
        field = f"metadata.{AGENT_CARD}{path.rstrip('`')}"
        raise InvalidRequest(f"{field}: {text}", errors=(FieldError(field=field, message=text),)) from None
