"""Who may ask: this machine's own pages and programs, and whoever has the token.

A page of another site may not read what we answer, but it can make a browser ask, and by having its own name point
here (DNS rebinding) it could read, too. So the Host must be an address or a name of ours, what browsers say of where
a request comes from must be ourselves, and whatever is off this machine needs a token.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
INERT_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"
"""For what isn't ours: nothing in it runs, and it has no origin."""

HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
OPEN = frozenset({"/", "/healthz", "/api/session", "/reference", "/openapi.json", "/favicon.ico"})
"""Paths that tell nothing of the documents, and so need no token; what is below /static/ likewise."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request isn't answered."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Gate:
    """Who is let in.

    Attributes:
        token: What must be known; `None`: nothing, for this machine alone.
        names: Names that the server is called by, besides addresses and `localhost`.
    """

    token: str | None = None
    names: frozenset[str] = field(default_factory=frozenset)

    @property
    def session(self) -> str:
        """What a browser's cookie holds instead of the token."""
        return hmac.new((self.token or "").encode(), b"spanseek session", hashlib.sha256).hexdigest()

    def refuse(self, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Whether to answer a request: `None`, or why not.

        Args:
            path: Decoded.
            headers: By lower-case names.
        """
        host = headers.get("host", "")
        if not self._is_ours(_name(host)):
            return Refusal(
                403, "this server isn't known by that name: use its address, or start it with --allow-host"
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return Refusal(403, "pages of other sites may not ask here")
        site = headers.get("sec-fetch-site", "none")
        if site not in ("none", "same-origin") and not (
            path == "/" and headers.get("sec-fetch-mode") == "navigate"
        ):
            return Refusal(403, "pages of other sites may not ask here")
        if self.token is None or path in OPEN or path.startswith("/static/"):
            return None
        if self.knows_token(headers) or self._has_session(headers):
            return None
        return Refusal(401, "a token is needed: send it as 'Authorization: Bearer TOKEN'")

    def knows_token(self, headers: Mapping[str, str]) -> bool:
        """Whether the token comes along."""
        kind, _, given = headers.get("authorization", "").partition(" ")
        return self.token is not None and kind.lower() == "bearer" and _same(given.strip(), self.token)

    def cookie_name(self, host: str) -> str:
        """Cookies are shared by all ports of a machine: each server has a name of its own."""
        return f"spanseek_{host.rpartition(':')[2] if host.rpartition(':')[2].isdigit() else '80'}"

    def _has_session(self, headers: Mapping[str, str]) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie_name(headers.get("host", "")))
        except CookieError:
            return False
        return cookie is not None and _same(cookie.value, self.session)

    def _is_ours(self, name: str) -> bool:
        if name == "localhost" or name in self.names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True  # no name, so nobody can have made it point elsewhere


def decoded(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """An ASGI request's headers by name; one that comes twice is as if both stood in one, and matches nothing."""
    found: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _name(host: str) -> str:
    """A Host header without its port, in lower case; IPv6 without brackets."""
    host = host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return name if name and port.isdigit() else host


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())
