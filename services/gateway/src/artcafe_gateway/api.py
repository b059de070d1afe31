"""The ASGI application: routes, error handlers and middleware."""

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException

from artcafe_common.bus.errors import CommandError
from artcafe_gateway.gateway import Gateway
from artcafe_gateway.http.auth import provide_tenant_caller, provide_tenant_user, provide_user
from artcafe_gateway.http.conditional import ConditionalRequests, add_etag
from artcafe_gateway.http.content_encoding import check_content_encoding
from artcafe_gateway.http.cors import cors_config
from artcafe_gateway.http.health_report import HealthLookup
from artcafe_gateway.http.idempotency import IdempotencyMiddleware
from artcafe_gateway.http.idempotency_store import IdempotencyStore
from artcafe_gateway.http.problems import command_error, http_error, internal_error
from artcafe_gateway.http.request_log import RequestLog
from artcafe_gateway.openapi.page import DocumentsController
from artcafe_gateway.routes.accounts import AccountsController
from artcafe_gateway.routes.activity import ActivityController
from artcafe_gateway.routes.agents import AgentsController
from artcafe_gateway.routes.auth import AuthController
from artcafe_gateway.routes.channel_storage import ChannelStorageController
from artcafe_gateway.routes.channels import ChannelsController
from artcafe_gateway.routes.client_connections import ClientConnectionsController
from artcafe_gateway.routes.clients import ClientsController
from artcafe_gateway.routes.connections import ConnectionsController
from artcafe_gateway.routes.console import ConsoleController
from artcafe_gateway.routes.health import HealthController
from artcafe_gateway.routes.invitations import AccountInvitationsController, InvitationsController
from artcafe_gateway.routes.plans import PlansController
from artcafe_gateway.routes.problems import ProblemsController
from artcafe_gateway.routes.profile import ProfileController
from artcafe_gateway.routes.roster import RosterController
from artcafe_gateway.routes.sockets import agent_socket, client_socket, dashboard_socket
from artcafe_gateway.routes.status import StatusController
from artcafe_gateway.routes.subjects import SubjectsController
from artcafe_gateway.routes.usage import UsageController

MAX_REQUEST_BYTES = 2 * 1024 * 1024
CONTROLLERS = [
    AuthController,
    AccountsController,
    AccountInvitationsController,
    InvitationsController,
    ClientsController,
    ClientConnectionsController,
    AgentsController,
    ChannelsController,
    ChannelStorageController,
    SubjectsController,
    UsageController,
    PlansController,
    ConnectionsController,
    RosterController,
    ActivityController,
    StatusController,
    ProfileController,
    HealthController,
]


def create_api(
    gateway: Gateway, idempotency_store: IdempotencyStore, *, cors_origins: frozenset[str] = frozenset()
) -> Litestar:
    """Build the application of one gateway process."""
    health = HealthLookup(gateway)
    return Litestar(
        route_handlers=[
            Router(path="/api/v1", route_handlers=list(CONTROLLERS)),
            # Where supervisors and load balancers ask by default.
            Router(path="/", route_handlers=[HealthController], include_in_schema=False),
            ConsoleController,
            DocumentsController,
            ProblemsController,
            client_socket,
            agent_socket,
            dashboard_socket,
        ],
        dependencies={
            "gateway": Provide(lambda: gateway, sync_to_thread=False),
            "health": Provide(lambda: health, sync_to_thread=False),
            "user": Provide(provide_user),
            "tenant_user": Provide(provide_tenant_user),
            "tenant_caller": Provide(provide_tenant_caller),
        },
        middleware=[
            RequestLog(gateway),
            ConditionalRequests(),
            IdempotencyMiddleware(gateway, idempotency_store),
        ],
        before_request=check_content_encoding,
        cors_config=cors_config(cors_origins),
        after_request=add_etag,
        exception_handlers={
            CommandError: command_error,
            HTTPException: http_error,
            Exception: internal_error,
        },
        openapi_config=None,
        request_max_body_size=MAX_REQUEST_BYTES,
        logging_config=None,
    )
