"""Who may reach a server: this machine alone, or whoever has its token."""

from __future__ import annotations

import ipaddress

from retriever.errors import SpanseekError

SHORTEST_TOKEN = 16


def check_access(host: str, token: str | None) -> None:
    """Whether a server may listen there.

    Args:
        host: The address that it is to listen at.
        token: What whoever asks must know, if anything.

    Raises:
        SpanseekError: It would be open to others without a token, or the token is none.
    """
    if token is None:
        if not is_loopback(host):
            raise SpanseekError(
                f"{host} can be reached from other machines: give a token, in a file with --token-file or as SPANSEEK_TOKEN"
            )
        return
    if len(token) < SHORTEST_TOKEN:
        raise SpanseekError(f"the token is too short to be a secret: at least {SHORTEST_TOKEN} characters")
    if not token.isascii() or any(not sign.isprintable() or sign.isspace() for sign in token):
        raise SpanseekError("the token must be printable ASCII without spaces, or no header can hold it")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
