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


CARD = {
    "name": "Planner",
    "description": "Plans trips.",
    "version": "1.0.0",
    "supportedInterfaces": [
        {"url": "https://planner.example.com/a2a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
    ],
    "capabilities": {"streaming": True, "extensions": [{"uri": "https://example.com/x", "params": {"a": 1}}]},
    "defaultInputModes": ["text/plain"],
    "defaultOutputModes": ["application/json"],
    "skills": [{"id": "plan", "name": "Plan", "description": "Plans a trip.", "tags": ["travel"]}],
    "provider": {"organization": "Example", "url": "https://example.com"},
    "securitySchemes": {"bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}},
    "signatures": [{"protected": "e30", "signature": "c2ln"}],
    "x-own": {"kept": True},
}


def test_agent_card_of_a2a_is_accepted():
    metadata.check_agent_card({"agent_card": CARD})
    metadata.check_agent_card({"other": 1})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (1, ""),
        ({"name": ""}, ".name"),
        ({"version": 1}, ".version"),
        ({"supportedInterfaces": []}, ".supportedInterfaces"),
        ({"supportedInterfaces": [{"url": "x"}]}, ".supportedInterfaces[0]"),
        ({"capabilities": []}, ".capabilities"),
        ({"skills": [{"id": "x"}]}, ".skills[0]"),
        ({"skills": None}, ".skills"),
        ({"signatures": [{}]}, ".signatures[0]"),
    ],
)
def test_other_agent_cards_are_rejected(change, field):
    card = CARD | change if isinstance(change, dict) else change
    with pytest.raises(InvalidRequest) as error:
        metadata.check_agent_card({"agent_card": card})
    assert error.value.errors[0].field == f"metadata.agent_card{field}"


@pytest.mark.parametrize(
    "name", ["name", "description", "version", "supportedInterfaces", "capabilities", "skills"]
)
def test_required_fields_of_an_agent_card(name):
    card = {key: value for key, value in CARD.items() if key != name}
    with pytest.raises(InvalidRequest, match=name):
        metadata.check_agent_card({"agent_card": card})
