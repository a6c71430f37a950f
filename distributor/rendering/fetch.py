"""Fetch a picture from an address that a stranger may have written.

Only http and https; time, bytes and redirects are limited; and nothing leads into the operator's own network:
what a host's name resolves to is checked and then connected to, so a name cannot change its mind in between.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import httpcore
import httpx

from distributor import __version__, config

MAX_REDIRECTS = 5
HEADERS = {
    "User-Agent": f"distributor/{__version__}",
    "Accept": "image/jpeg, image/png, image/*;q=0.8, */*;q=0.5",
    "Accept-Encoding": "identity",  # pictures are compressed already, and bombs like to be unpacked
}
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address

Resolve = Callable[[str, int], Sequence[str]]


class Unavailable(Exception):
    """Nothing was had; the text continues a sentence: "answered 404", "took longer than 15 s"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What an address answered in the end."""

    data: bytes
    media_type: str  # what the server calls it: often wrong, sometimes empty


def addresses_of(host: str, port: int) -> Sequence[str]:
    """Every address *host* resolves to, in the system's order. Raises OSError when there is none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def client(
    limits: config.Pictures,
    *,
    resolve: Resolve = addresses_of,
    network: httpcore.NetworkBackend | None = None,
    verify: ssl.SSLContext | bool = True,
) -> httpx.Client:
    """An HTTP client whose every connection keeps to *limits*; threads may share it.

    Proxies of the environment are not used: nobody could check where they take a request.
    """
    return guarded(
        allow_private=limits.allow_private, headers=HEADERS, resolve=resolve, network=network, verify=verify
    )


def guarded(
    *,
    allow_private: bool,
    headers: Mapping[str, str],
    resolve: Resolve = addresses_of,
    network: httpcore.NetworkBackend | None = None,
    verify: ssl.SSLContext | bool = True,
) -> httpx.Client:
    """A client that connects to public addresses only; each request's connect timeout bounds all of it.

    To any other address it raises Unavailable.
    """
    guard = _Guard(allow_private, resolve, network or httpcore.SyncBackend())
    return httpx.Client(transport=_Transport(guard, verify), headers=headers, trust_env=False)


def fetch(http: httpx.Client, url: str, limits: config.Pictures) -> Fetched:
    """The bytes at *url*, after at most five redirects.

    The system's resolver may add its own patience to the time limit.
    Raises: Unavailable, saying why, for everything that can go wrong outside.
    """
    deadline = monotonic() + limits.timeout_seconds
    with _failures_named(limits), closing(_hops(http, url, limits, deadline)) as hops:
        for answer in hops:
            if answer.next_request is None:
                return Fetched(data=_body(answer, limits, deadline), media_type=_media_type(answer))
    raise Unavailable(f"redirects more than {MAX_REDIRECTS} times")


def leads_to(http: httpx.Client, url: str, limits: config.Pictures, is_goal: Callable[[str], bool]) -> bool:
    """Whether *url* redirects to an address that *is_goal*, which itself is not asked for.

    Raises: Unavailable when that cannot be found out.
    """
    deadline = monotonic() + limits.timeout_seconds
    with _failures_named(limits), closing(_hops(http, url, limits, deadline)) as hops:
        return any(answer.next_request and is_goal(str(answer.next_request.url)) for answer in hops)


def status(http: httpx.Client, url: str, limits: config.Pictures) -> int:
    """What *url* answers, after at most five redirects; nothing of it is read.

    Raises: Unavailable when it does not answer.
    """
    deadline = monotonic() + limits.timeout_seconds
    code = 0
    for method in ("HEAD", "GET"):
        with _failures_named(limits), closing(_hops(http, url, limits, deadline, method)) as hops:
            for answer in hops:
                code = answer.status_code
        if code not in NO_HEAD:
            return code
    return code


NO_HEAD = (400, 403, 405, 501)  # what servers answer that want to be asked otherwise


def is_public(address: str) -> bool:
    """Whether *address* (an IP address) lies in the public internet, by IANA's special-purpose registries."""
    ip = ipaddress.ip_address(address)
    if ip.is_multicast or ip.is_unspecified:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global
    inner = _embedded(ip)
    if inner:
        return all(is_public(str(each)) for each in inner)
    return ip.is_global and not ip.is_reserved and not ip.is_site_local


def _embedded(ip: ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that a translator would take *ip* for."""
    if ip in NAT64:
        return [ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)]
    return [each for each in (ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())) if each]


def _hops(
    http: httpx.Client, url: str, limits: config.Pictures, deadline: float, method: str = "GET"
) -> Generator[httpx.Response, None, None]:
    """The open answer of *url* and of each address it redirects to; none is read."""
    request = http.build_request(method, url)
    for _ in range(MAX_REDIRECTS + 1):
        _check(request.url, limits)
        request.extensions["timeout"] = httpx.Timeout(max(deadline - monotonic(), 0.001)).as_dict()
        with closing(http.send(request, stream=True, follow_redirects=False)) as answer:
            yield answer
        if answer.next_request is None:
            return
        request = answer.next_request


def _check(url: httpx.URL, limits: config.Pictures) -> None:
    """Refuse what needs no look-up to be refused, whatever transport the client has."""
    if url.scheme not in ("http", "https") or not url.host:
        raise Unavailable("is not at a web address")
    try:
        public = is_public(url.host)
    except ValueError:
        return  # a name: the guard sees what it resolves to
    if not (public or limits.allow_private):
        raise Unavailable("is at a private address")


def _body(answer: httpx.Response, limits: config.Pictures, deadline: float) -> bytes:
    if answer.status_code != httpx.codes.OK:
        raise Unavailable(f"answered {answer.status_code}")
    if answer.headers.get("content-encoding", "identity") not in ("identity", "gzip", "deflate"):
        raise Unavailable("came in an encoding that was not asked for")
    data = bytearray()
    for chunk in answer.iter_bytes():
        data += chunk
        if len(data) > limits.max_bytes or _announced(answer) > limits.max_bytes:
            raise Unavailable(f"is larger than {limits.max_bytes / 1_000_000:g} MB")
        if monotonic() > deadline:
            raise Unavailable(_too_long(limits))
    return bytes(data)


def _announced(answer: httpx.Response) -> int:
    length = answer.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


def _media_type(answer: httpx.Response) -> str:
    found = re.match(r"[\w.+-]{1,40}/[\w.+-]{1,60}", answer.headers.get("content-type", ""))
    return found[0].lower() if found else ""


@contextmanager
def _failures_named(limits: config.Pictures) -> Iterator[None]:
    """Say in words what httpx and the sockets raise."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise Unavailable(_too_long(limits)) from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
        raise Unavailable("is not at a web address") from error
    except httpx.RemoteProtocolError as error:
        raise Unavailable("was cut off or answered nonsense") from error
    except (httpx.HTTPError, OSError, ValueError) as error:
        raise Unavailable(f"cannot be reached ({str(error)[:100] or type(error).__name__})") from error


def _too_long(limits: config.Pictures) -> str:
    return f"took longer than {limits.timeout_seconds:g} s"


class _Transport(httpx.HTTPTransport):
    """httpx's own transport, over a network that is guarded.

    httpx takes no network backend, its connection pool does: hence the private name. No connection is kept
    for a second request, because each has the deadline of the first (`_Timed`).
    """

    def __init__(self, guard: _Guard, verify: ssl.SSLContext | bool) -> None:
        certificates = httpx.create_ssl_context(verify=verify)
        super().__init__(verify=certificates)
        self._pool = httpcore.ConnectionPool(
            ssl_context=certificates,
            max_keepalive_connections=0,
            network_backend=guard,
        )


class _Guard(httpcore.NetworkBackend):
    """Resolves, checks, and connects to what was checked; the host's name stays in Host and TLS."""

    def __init__(self, allow_private: bool, resolve: Resolve, network: httpcore.NetworkBackend) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        self._network = network

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        deadline = monotonic() + (timeout or 0)
        addresses = self._resolve(host, port)
        if not self._allow_private and not all(map(is_public, addresses)):
            raise Unavailable("is at a private address")
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                stream = self._network.connect_tcp(
                    address, port, _left(deadline), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Timed(stream, deadline)
        raise failure


class _Timed(httpcore.NetworkStream):
    """A connection that ends at its deadline, however busily the far end dribbles."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline))
        return _Timed(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float) -> float:
    """Seconds until *deadline*. Raises httpcore.ReadTimeout when there are none."""
    left = deadline - monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time is up")
    return left
