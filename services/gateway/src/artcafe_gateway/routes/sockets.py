"""The WebSocket routes."""

from typing import Any

from litestar import WebSocket
from litestar.di import NamedDependency
from litestar.handlers import websocket
from litestar.params import FromPath

from artcafe_gateway.gateway import Gateway
from artcafe_gateway.sessions import agent, connect, dashboard
from artcafe_gateway.wire.socket import break_reference_cycle


@websocket(["/ws/client/{client_id:str}", "/api/v1/ws/client/{client_id:str}"])
async def client_socket(
    socket: WebSocket[Any, Any, Any], client_id: FromPath[str], gateway: NamedDependency[Gateway]
) -> None:
    """Serve a client's WebSocket."""
    try:
        await connect.serve(socket, client_id[:256], gateway)
    finally:
        break_reference_cycle(socket)


@websocket(["/ws/agent/{agent_id:str}", "/api/v1/ws/agent/{agent_id:str}"])
async def agent_socket(
    socket: WebSocket[Any, Any, Any], agent_id: FromPath[str], gateway: NamedDependency[Gateway]
) -> None:
    """Serve an agent's WebSocket."""
    try:
        await agent.serve(socket, agent_id[:256], gateway)
    finally:
        break_reference_cycle(socket)


@websocket(["/ws/dashboard", "/api/v1/ws/dashboard"])
async def dashboard_socket(socket: WebSocket[Any, Any, Any], gateway: NamedDependency[Gateway]) -> None:
    """Serve a dashboard's WebSocket."""
    try:
        await dashboard.serve(socket, gateway)
    finally:
        break_reference_cycle(socket)
