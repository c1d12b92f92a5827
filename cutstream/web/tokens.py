"""Bearer tokens."""

from __future__ import annotations

import hmac

from pydantic import SecretStr


def is_authorized(authorization: str, token: SecretStr | None) -> bool:
    """Tell whether the header `Authorization` brings this token. Without a token everybody is authorized.

    `authorization` is the header's value, decoded as Latin-1. The time it takes does not depend on the value.
    """
    if token is None:
        return True
    scheme, _, brought = authorization.partition(" ")
    right = hmac.compare_digest(brought.strip().encode("latin-1"), token.get_secret_value().encode())
    return right and scheme.lower() == "bearer"
