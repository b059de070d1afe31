"""Rules of permissions: every pattern must stay within the tenant, and streams need all of its subjects."""

from artcafe_common.broker.subjects import FULL_WILDCARD, BadSubject, ForbiddenSubject
from artcafe_common.bus.errors import FieldError
from artcafe_common.contracts.identity.clients import Permissions, StreamAccess
from artcafe_common.contracts.tenancy.clients import InvalidPermission
from artcafe_common.grants import permission_patterns

MAX_PATTERNS = 100


def check(tenant_id: str, permissions: Permissions) -> None:
    """Raises InvalidPermission with every pattern that is malformed or outside the tenant, and a wrong `streams`."""
    check_patterns(tenant_id, publish=permissions.publish, subscribe=permissions.subscribe)
    check_streams(permissions)


def check_patterns(tenant_id: str, *, publish: list[str], subscribe: list[str]) -> None:
    """Raises InvalidPermission with every pattern that is malformed or outside the tenant."""
    errors = (
        *_errors(tenant_id, "permissions.publish", publish),
        *_errors(tenant_id, "permissions.subscribe", subscribe),
    )
    if errors:
        raise InvalidPermission(f"{errors[0].field}: {errors[0].message}", errors=errors)


def check_streams(permissions: Permissions) -> None:
    """Raises InvalidPermission for `manage` without `>` in both lists."""
    everything = FULL_WILDCARD in permissions.publish and FULL_WILDCARD in permissions.subscribe
    if permissions.streams is StreamAccess.MANAGE and not everything:
        error = FieldError(field="permissions.streams", message="`manage` needs `>` in publish and subscribe")
        raise InvalidPermission(f"{error.field}: {error.message}", errors=(error,))


def _errors(tenant_id: str, field: str, patterns: list[str]) -> list[FieldError]:
    if len(patterns) > MAX_PATTERNS:
        return [FieldError(field=field, message=f"at most {MAX_PATTERNS} patterns")]
    errors = []
    for position, pattern in enumerate(patterns):
        try:
            permission_patterns(tenant_id, pattern)
        except (BadSubject, ForbiddenSubject) as error:
            errors.append(FieldError(field=f"{field}[{position}]", message=error.detail))
    return errors
