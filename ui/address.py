"""The sockets of the page: on an address of this machine, or one sentence why that is not possible."""

import errno
import ipaddress
import socket

FIRST, LAST = 7860, 7959  # ports that are tried where none is named
BACKLOG = 2048  # connections that wait to be accepted
Address = tuple[socket.AddressFamily, str]


def addresses(host: str) -> list[Address]:
    """The numeric addresses of a host name or address. Raises ValueError."""
    try:
        answers = socket.getaddrinfo(bare(host), None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise ValueError(f"--host {host} can't be resolved to an address; --host 127.0.0.1 is this machine") from None
    return list(dict.fromkeys((family, str(where[0])) for family, _, _, _, where in answers))


def bare(host: str) -> str:
    """An IPv6 address without the brackets that it has in a link."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") else host


def is_loopback(name: str) -> bool:
    """Whether a host name or a number is a loopback address. This makes no DNS request."""
    name = bare(name).lower()
    try:
        number = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    mapped = getattr(number, "ipv4_mapped", None)
    return (mapped or number).is_loopback


def listen(host: str, port: int | None) -> list[socket.socket]:
    """Listening sockets, one for each address of the host, all on one port: the given one (0: any free one), else the
    first free one from 7860. Raises ValueError with one sentence.
    """
    numbers = addresses(host)
    for candidate in [port] if port is not None else range(FIRST, LAST + 1):
        try:
            return _bound(numbers, candidate)
        except OSError as e:
            if e.errno != errno.EADDRINUSE or port is not None:
                raise ValueError(_reason(e, host, candidate)) from None
    raise ValueError(f"every port from {FIRST} to {LAST} is taken: choose another with --port")


def link(host: str, sockets: list[socket.socket]) -> str:
    """The address to open in a browser on this machine."""
    name = {"0.0.0.0": "localhost", "::": "localhost"}.get(bare(host), bare(host))
    port = sockets[0].getsockname()[1]
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/"


def _bound(numbers: list[Address], port: int) -> list[socket.socket]:
    """Sockets bound to the addresses that this machine has. At least one is needed: localhost may lack IPv6."""
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, number in numbers:
        try:
            made = _socket(family, number, port)
        except OSError as e:
            if e.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                _close(sockets)
                raise
            missing = e
        else:
            sockets.append(made)
            port = made.getsockname()[1]  # for port 0 all use the port that the first one got
    if not sockets:
        assert missing is not None
        raise missing
    return sockets


def _socket(family: socket.AddressFamily, number: str, port: int) -> socket.socket:
    # By the protocol's number asyncio knows that it is TCP and sends small parts at once. Without it, the body of an
    # answer waits 40 ms for the browser to confirm the headers.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, number != "::")
        made.bind((number, port))
        made.listen(BACKLOG)  # now, as two programs can bind one port, and early callers then wait for the server
    except OSError:
        made.close()
        raise
    return made


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def _reason(e: OSError, host: str, port: int) -> str:
    if e.errno == errno.EADDRINUSE:
        return f"port {port} is taken: choose another with --port"
    if e.errno == errno.EACCES:
        return f"port {port} is for administrators: choose one from 1024 to 65535 with --port"
    if e.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return f"--host {host}: this machine has no such address; --host 127.0.0.1 is for itself alone"
    return f"--host {host}, port {port}: {e.strerror}"
