"""Whether a request comes from the page itself, as its headers tell."""

from __future__ import annotations

import re
from email.message import Message
from http import HTTPStatus
from ipaddress import ip_address

from pyhash.explore.replies import RefusedError

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+))(?::([0-9]{1,5}))?")


def check_host(headers: Message, host: str, port: int) -> None:
    """Raise unless the browser asked for this server by its address.

    A page of another site can let its own name point to 127.0.0.1 (DNS rebinding). The browser then takes this server
    for that site, but names the site in the header Host. So names other than localhost and `host` are refused; IP
    addresses are no names. Where `host` is one of this machine alone, only such addresses are taken.

    Raises
    ------
    RefusedError
        If Host is missing, given twice, malformed, or names another server or port.
    """
    given = headers.get_all("Host") or []
    match = _HOST.fullmatch(given[0]) if len(given) == 1 else None
    if match:
        name, number = (match[1] or match[2]).lower(), int(match[3] or 80)
        if number == port and (name in ("localhost", host.lower()) or _is_address(name, host)):
            return
    raise RefusedError(HTTPStatus.MISDIRECTED_REQUEST, f"Host must be {host}:{port}, the address of this server")


def check_fetch_site(headers: Message) -> None:
    """Raise if a page of another site asks for data."""
    if headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        raise RefusedError(HTTPStatus.FORBIDDEN, "only the page of this server may ask for its data")


def check_origin(headers: Message) -> None:
    """Raise unless the header Origin, which browsers send with every POST, is this server; Host must be checked."""
    if (headers.get_all("Origin") or []) != [f"http://{headers['Host']}"]:
        raise RefusedError(HTTPStatus.FORBIDDEN, f"Origin must be http://{headers['Host']}, the page of this server")


def is_of_this_machine(host: str) -> bool:
    """Return whether other machines cannot reach the address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_address(name: str, host: str) -> bool:
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or not is_of_this_machine(host)
