"""Who calls: the client whose key a call brings."""

from __future__ import annotations

from starlette.requests import Request

from producer.gateway.errors import invalid_key, missing_key
from producer.gateway.keys import ANYBODY, Client, Keys


class Access:
    """Finds the client of a call. Without keys, everybody is the same client without a name."""

    def __init__(self, keys: Keys | None) -> None:
        self._keys = keys

    def client_of(self, request: Request) -> Client:
        """Return who calls, by `X-Api-Key` or `Authorization: Bearer`. Raises CallRefused."""
        if self._keys is None:
            return ANYBODY
        key = request.headers.get("x-api-key", "")
        if not key:
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            key = token.strip() if scheme.lower() == "bearer" else ""
        if not key:
            raise missing_key()
        client = self._keys.find(key)
        if client is None:
            raise invalid_key()
        return client
