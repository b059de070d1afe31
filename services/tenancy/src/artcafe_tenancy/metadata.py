"""Rules of metadata: any JSON object up to a size."""

import msgspec

from artcafe_common.bus.errors import FieldError, InvalidRequest
from artcafe_common.contracts.tenancy.fields import MAX_METADATA_BYTES, Metadata


def check(metadata: Metadata) -> None:
    """Raises InvalidRequest for metadata that is too large as JSON."""
    if len(msgspec.json.encode(metadata)) > MAX_METADATA_BYTES:
        message = f"metadata must not exceed {MAX_METADATA_BYTES} bytes as JSON"
        raise InvalidRequest(message, errors=(FieldError(field="metadata", message=message),))
