"""Metadata is limited in size."""

import pytest

from artcafe_common.bus.errors import InvalidRequest
from artcafe_common.clock import new_id
from artcafe_common.contracts.tenancy.fields import MAX_METADATA_BYTES
from artcafe_tenancy import metadata

TENANT = new_id()
OTHER = new_id()


def test_metadata_size_limit():
    metadata.check({"x": "a" * (MAX_METADATA_BYTES - len('{"x":""}'))})
    with pytest.raises(InvalidRequest) as error:
        metadata.check({"x": "a" * (MAX_METADATA_BYTES - len('{"x":""}') + 1)})
    assert error.value.errors[0].field == "metadata"
