"""Agent cards of A2A 1.0, by which agents describe themselves (https://a2a-protocol.org, `AgentCard`).

Their JSON has camelCase, unlike everything else here. Unknown fields are allowed, and kept.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from artcafe_common.bus.errors import CommandError

# The key of a client's metadata.
AGENT_CARD = "agent_card"
Text = Annotated[str, Meta(min_length=1)]
Texts = Annotated[list[Text], Meta(min_length=1)]


class AgentCardNotFound(CommandError):
    """The client has no agent card: `agent_card` in its metadata."""

    status = 404
    code = "agent_card_not_found"
    title = "The client has no agent card"
    remedy = 'Set the card with `PUT /api/v1/clients/{client_id}` and `{"metadata": {"agent_card": {…}}}`.'


class AgentInterface(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An address of an agent, and the protocol that it speaks there."""

    url: Text
    protocol_binding: Text
    protocol_version: Text
    tenant: str | UnsetType = UNSET


class AgentProvider(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who provides an agent."""

    url: Text
    organization: Text


class AgentExtension(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An extension of the protocol that an agent supports."""

    uri: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    required: bool | UnsetType = UNSET
    params: dict[str, Any] | UnsetType = UNSET


class AgentCapabilities(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The optional parts of the protocol that an agent supports."""

    streaming: bool | UnsetType = UNSET
    push_notifications: bool | UnsetType = UNSET
    extensions: list[AgentExtension] | UnsetType = UNSET
    extended_agent_card: bool | UnsetType = UNSET


class AgentSkill(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an agent can do."""

    id: Text
    name: Text
    description: Text
    tags: list[str]
    examples: list[str] | UnsetType = UNSET
    input_modes: list[str] | UnsetType = UNSET
    output_modes: list[str] | UnsetType = UNSET
    security_requirements: list[dict[str, Any]] | UnsetType = UNSET


class AgentCardSignature(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A JSON Web Signature of a card."""

    protected: Text
    signature: Text
    header: dict[str, Any] | UnsetType = UNSET


class AgentCard(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The card of an agent; the first of `supportedInterfaces` is preferred."""

    name: Text
    description: Text
    supported_interfaces: Annotated[list[AgentInterface], Meta(min_length=1)]
    version: Text
    capabilities: AgentCapabilities
    default_input_modes: Texts
    default_output_modes: Texts
    skills: list[AgentSkill]
    provider: AgentProvider | UnsetType = UNSET
    documentation_url: str | UnsetType = UNSET
    icon_url: str | UnsetType = UNSET
    security_schemes: dict[str, dict[str, Any]] | UnsetType = UNSET
    security_requirements: list[dict[str, Any]] | UnsetType = UNSET
    signatures: list[AgentCardSignature] | UnsetType = UNSET
