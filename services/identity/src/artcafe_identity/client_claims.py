"""NATS JWT claims of a client's user."""

from artcafe_common.broker.claims import UserClaims
from artcafe_common.contracts.identity.clients import Permissions
from artcafe_common.grants import client_grants


def client_user_claims(
    *, tenant_id: str, client_id: str, account: str, permissions: Permissions
) -> UserClaims:
    """Claims of a client's NATS user: exactly what `grants` gives it, and no permission to respond elsewhere."""
    grants = client_grants(tenant_id, client_id, permissions)
    return UserClaims(issuer_account=account, pub=grants.publish, sub=grants.subscribe)
