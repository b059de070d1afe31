"""Rules of permissions: every pattern must stay within the tenant."""

from artcafe_common.broker.subjects import BadSubject, ForbiddenSubject, permission_patterns
from artcafe_common.bus.errors import FieldError
from artcafe_common.contracts.identity.clients import Permissions
from artcafe_common.contracts.tenancy.clients import InvalidPermission

MAX_PATTERNS = 100


def check(tenant_id: str, permissions: Permissions) -> None:
    """Raises InvalidPermission with every pattern that is malformed or outside the tenant."""
    errors = (
        *_errors(tenant_id, "permissions.publish", permissions.publish),
        *_errors(tenant_id, "permissions.subscribe", permissions.subscribe),
    )
    if errors:
        raise InvalidPermission(f"{errors[0].field}: {errors[0].message}", errors=errors)


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
