"""What may be fetched, from where, and for how long."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

import httpcore
import httpx
import pytest

from distributor import config
from distributor.rendering.fetch import Unavailable, client, fetch, is_public, leads_to

PUBLIC = "93.184.215.14"
STRICT = config.Pictures()
HOME = config.Pictures(allow_private=True, timeout_seconds=0.4, max_bytes=100_000)
CERTIFICATES = ssl.create_default_context()
OK = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 5\r\n\r\npixel"


class Wire(httpcore.NetworkBackend):
    """A network that answers every connection with the next answer, and remembers what was asked of it."""

    def __init__(self, *answers: bytes, dead: Sequence[str] = ()) -> None:
        self.answers = list(answers)
        self.dead = dead
        self.connected: list[str] = []
        self.names: list[str | None] = []
        self.sent = b""

    def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore.NetworkStream:
        self.connected.append(host)
        if host in self.dead:
            raise httpcore.ConnectError("no route")
        return WireStream(self, [self.answers.pop(0)])


class WireStream(httpcore.MockStream):
    def __init__(self, wire: Wire, answer: list[bytes]) -> None:
        super().__init__(answer)
        self.wire = wire

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.wire.sent += buffer

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        self.wire.names.append(server_hostname)
        return self


def guarded(limits: config.Pictures, **options: Any) -> httpx.Client:
    return client(limits, verify=CERTIFICATES, **options)


def resolver(**names: Sequence[str]) -> Callable[[str, int], Sequence[str]]:
    def resolve(host: str, port: int) -> Sequence[str]:
        if host.replace(".", "_") not in names:
            raise socket.gaierror("Name or service not known")
        return names[host.replace(".", "_")]

    return resolve


def redirect(target: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("::ffff:93.184.215.14", True),
        ("64:ff9b::5db8:d70e", True),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("2002:c0a8:101::1", False),
        ("fc00::1", False),
        ("fd12:3456::1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("2001:db8::1", False),
    ],
)
def test_only_the_public_internet_is_public(address: str, public: bool) -> None:
    """An address counts as public only if every reading of it lies in the public internet."""
    assert is_public(address) is public


def test_a_name_cannot_change_its_mind_after_the_check() -> None:
    """The connection goes to the very address that was checked; Host and TLS keep the name."""
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    wire = Wire(OK)
    with guarded(STRICT, resolve=lambda host, port: next(answers), network=wire) as http:
        assert fetch(http, "https://rebinding.example/b", STRICT).data == b"pixel"
    assert wire.connected == [PUBLIC]
    assert wire.names == ["rebinding.example"]
    assert b"Host: rebinding.example\r\n" in wire.sent
    assert next(answers) == ["127.0.0.1"]


@pytest.mark.parametrize("addresses", [["10.0.0.7"], [PUBLIC, "127.0.0.1"], ["::ffff:10.0.0.7"], ["fe80::1"]])
def test_a_name_with_a_private_address_is_not_connected_to(addresses: list[str]) -> None:
    """One private address among those of a name is reason enough to refuse it."""
    wire = Wire(OK)
    with (
        guarded(STRICT, resolve=lambda host, port: addresses, network=wire) as http,
        pytest.raises(Unavailable, match="private address"),
    ):
        fetch(http, "http://inside.example/", STRICT)
    assert wire.connected == []


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost/admin",
        "http://[::1]:8080/",
        "http://2130706433/",
        "//inside.example/",
    ],
)
def test_redirects_are_checked_like_the_first_address(target: str) -> None:
    """A public host cannot send us into the operator's network."""
    names = resolver(outside_example=[PUBLIC], localhost=["127.0.0.1"], inside_example=["10.0.0.7"])
    wire = Wire(redirect(target), OK)

    def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"] if host == "2130706433" else names(host, port)

    with (
        guarded(STRICT, resolve=resolve, network=wire) as http,
        pytest.raises(Unavailable, match="private address"),
    ):
        fetch(http, "http://outside.example/banner", STRICT)
    assert wire.connected == [PUBLIC]


def test_private_addresses_may_be_allowed() -> None:
    """An intranet's operator can allow what is refused otherwise."""
    allowed = config.Pictures(allow_private=True)
    with guarded(allowed, resolve=lambda host, port: ["10.0.0.7"], network=Wire(OK)) as http:
        assert fetch(http, "http://inside.example/", allowed).data == b"pixel"


def test_the_next_address_is_tried_when_one_is_dead() -> None:
    """A host with a broken first address is still reached."""
    wire = Wire(OK, dead=["2606:4700::1"])
    with guarded(STRICT, resolve=lambda host, port: ["2606:4700::1", PUBLIC], network=wire) as http:
        assert fetch(http, "http://two.example/", STRICT).media_type == "image/png"
    assert wire.connected == ["2606:4700::1", PUBLIC]


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would connect for us to what we have not checked."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    wire = Wire(OK)
    with guarded(STRICT, resolve=lambda host, port: [PUBLIC], network=wire) as http:
        fetch(http, "http://outside.example/", STRICT)
    assert wire.connected == [PUBLIC]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "banner.jpg",
        "ftp://a.example/b",
        "file:///etc/passwd",
        "data:image/png;base64,AA",
        "http://",
        "http://[::1",
        "http://a b/",
        "http://\ud800/",
        "http://unknown.example/",
        "javascript:alert(1)",
        "http://" + "x" * 300 + ".example/",
    ],
)
def test_what_is_no_web_address_is_refused_in_words(url: str) -> None:
    """Whatever an author wrote in place of an address is refused with a reason, never with a traceback."""
    with guarded(STRICT, resolve=resolver(), network=Wire()) as http, pytest.raises(Unavailable) as refusal:
        fetch(http, url, STRICT)
    assert str(refusal.value)


def test_at_most_five_redirects() -> None:
    """A chain that does not end is left."""
    wire = Wire(*[redirect("/again")] * 10)
    with (
        guarded(STRICT, resolve=lambda host, port: [PUBLIC], network=wire) as http,
        pytest.raises(Unavailable, match="redirects more than 5 times"),
    ):
        fetch(http, "http://loop.example/", STRICT)
    assert len(wire.connected) == 6


class Far(BaseHTTPRequestHandler):
    """A web server with the habits of some."""

    protocol_version = "HTTP/1.1"
    stopped = threading.Event()

    def do_GET(self) -> None:
        try:
            getattr(self, "answer_" + self.path.strip("/").replace("-", "_"))()
        except OSError:
            self.close_connection = True

    def answer_missing(self) -> None:
        self.send_error(404)

    def answer_announced(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(HOME.max_bytes + 1))
        self.end_headers()
        self.wfile.write(b"x" * 100)

    def answer_endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.stopped.is_set():
            self.wfile.write(b"x" * 10_000)

    def answer_dripping_body(self) -> None:
        self.send_response(200)
        self.end_headers()
        self._drip(b"x")

    def answer_dripping_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self._drip(b"x")

    def answer_silence(self) -> None:
        self.stopped.wait(5)

    def answer_cut_off(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5000")
        self.end_headers()
        self.wfile.write(b"x")
        self.close_connection = True

    def answer_bomb(self) -> None:
        body = gzip.compress(bytes(40_000_000))
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_foreign_encoding(self) -> None:
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip, gzip")
        self.send_header("Content-Length", "1")
        self.end_headers()
        self.wfile.write(b"x")

    def answer_nonsense(self) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

    def _drip(self, drop: bytes) -> None:
        while not self.stopped.wait(0.02):
            self.wfile.write(drop)
            self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def far() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Far)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    Far.stopped.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing", "answered 404"),
        ("announced", "is larger than 0.1 MB"),
        ("endless", "is larger than 0.1 MB"),
        ("bomb", "is larger than 0.1 MB"),
        ("dripping-body", "took longer than 0.4 s"),
        ("dripping-headers", "took longer than 0.4 s"),
        ("silence", "took longer than 0.4 s"),
        ("cut-off", "was cut off"),
        ("nonsense", "was cut off or answered nonsense"),
        ("foreign-encoding", "encoding that was not asked for"),
    ],
)
def test_a_far_end_cannot_hold_or_flood_us(far: str, path: str, reason: str) -> None:
    """Whatever a server does, it takes no more than the limits allow, and the reason says what it did."""
    began = monotonic()
    with guarded(HOME) as http, pytest.raises(Unavailable, match=reason):
        fetch(http, f"{far}/{path}", HOME)
    assert monotonic() - began < 2


def test_a_closed_port_cannot_be_reached() -> None:
    """Nobody there is a reason like another."""
    with guarded(HOME) as http, pytest.raises(Unavailable, match="cannot be reached"):
        fetch(http, "http://127.0.0.1:1/", HOME)


def test_a_short_link_leads_to_what_it_redirects_to() -> None:
    """The goal is recognised without being asked for, and the end of another chain is not the goal."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        if request.url.path == "/s":
            return httpx.Response(301, headers={"Location": "https://gazette.example/bridge/"})
        return httpx.Response(200)

    http = httpx.Client(transport=httpx.MockTransport(answer))
    assert leads_to(http, "https://s.example/s", STRICT, lambda url: url == "https://gazette.example/bridge/")
    assert asked == ["https://s.example/s"]
    assert not leads_to(http, "https://s.example/other", STRICT, lambda url: True)
