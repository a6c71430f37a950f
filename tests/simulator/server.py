"""The HTTP side: as much of HTTP/1.1 as our clients speak, faults, and the control plane below `/_`."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass, replace
from http import HTTPStatus
from time import monotonic
from typing import Any

import orjson

from tests.simulator.calls import Call, Reply, Request, page, reply
from tests.simulator.faults import NOTHING, Faults, Rule, Struck
from tests.simulator.ledger import Ledger
from tests.simulator.networks import NETWORKS, Network, new_networks
from tests.simulator.vendors import VENDORS, Vendor, said

PIECES = 10  # of an answer that drips
HEADS_UP_TO = 65536  # bytes
INSTEAD = {"busy", "error", "gateway", "quota", "unauthorized", "unknown"}  # nothing is accepted


class Simulator:
    """All vendors at once, on one port."""

    def __init__(self, ledger: Ledger, *, latency: float = 0.0) -> None:
        self.ledger = ledger
        self.faults = Faults()
        self.latency = latency
        self.unreadable: list[str] = []  # requests that no vendor could read, and why
        self.networks = new_networks()
        self._known: dict[str, _Known | None] = {  # by idempotency key; of what came before a restart: None
            f"{one.vendor} {one.request}": None for one in ledger.by_request()
        }

    def answer(self, vendor: Vendor, request: Request, struck: Struck) -> Reply:
        """What the vendor says; what it accepts is in the ledger by then."""
        if not re.search(vendor.sends, request.path):
            return vendor.other(request, self.ledger) or reply(404, {"message": "no such place"})
        try:
            call = vendor.read(request)
            _check(vendor, call)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            self.unreadable.append(f"{vendor.name}: {type(error).__name__}: {error}")
            return reply(400, {"message": f"the simulator cannot read this: {error!r}"})
        end = struck.end
        if end and end.effect in INSTEAD:
            return _with_retry_after(said(vendor, end.effect), end)
        bad = set(end.means(call.addresses)) if end and end.effect == "bad_address" else set()
        refused = {place for rule in struck.refusals for place in rule.means(call.addresses)}
        if (bad and vendor.as_a_whole) or (refused and not vendor.one_by_one):
            return vendor.bad_address(call, min(bad | refused))
        refused |= bad
        answer = self._accept(vendor, request, call, refused, self.latency + struck.delay)
        if end and end.effect == "gateway_after":
            return page(502)
        return page(200) if end and end.effect == "html" else answer

    def _accept(
        self, vendor: Vendor, request: Request, call: Call, refused: Collection[int], takes: float
    ) -> Reply:
        if call.idempotency:
            key, now = f"{vendor.name} {call.idempotency}", monotonic()
            own = _Known(hash(request.body), refused, now + takes)
            if key in self._known:
                before = self._known[key] or replace(own, refused=self.ledger.missing(call.keys), until=0)
                if before.digest != own.digest:
                    return vendor.other_body()
                return vendor.repeated(call, before.refused, is_under_way=now < before.until)
            self._known[key] = own
        taken = [place for place in range(len(call.keys)) if place not in refused] if refused else None
        self.ledger.accept(
            vendor.name,
            [call.keys[place] for place in taken] if taken is not None else call.keys,
            [call.addresses[place] for place in taken] if taken is not None else call.addresses,
            call.request,
        )
        return vendor.accepted(call, refused)

    def answer_of(self, network: Network, request: Request, struck: Struck) -> Reply:
        """What a network says; what it takes can be seen there by then."""
        end = struck.end
        if end and end.effect in INSTEAD:
            return _with_retry_after(_said(network, end.effect), end)
        try:
            answer = network.answer(request)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            self.unreadable.append(f"{network.name}: {type(error).__name__}: {error}")
            return reply(400, {"message": f"the simulator cannot read this: {error!r}"})
        if end and end.effect == "gateway_after":
            return page(502)
        return page(200) if end and end.effect == "html" else answer

    def control(self, request: Request) -> Reply:
        """Answers below `/_`: faults, state, accepted keys, reset."""
        match request.method, request.path:
            case "POST", "/_faults":
                try:
                    self.faults.add(orjson.loads(request.body))
                except (TypeError, ValueError) as error:
                    return reply(400, {"message": str(error)})
            case "DELETE", "/_faults":
                self.faults.clear()
            case "POST", "/_reset":
                self.ledger.reset(truncate=True)
                self.faults.clear()
                self.unreadable.clear()
                self._known.clear()
                self.networks = new_networks()
            case "GET", "/_accepted":
                return reply(200, self.ledger.keys)
            case "GET", "/_state":
                pass
            case _:
                return reply(404, {"message": "no such place"})
        return reply(200, self.state())

    def state(self) -> dict[str, Any]:
        networks = {name: network.state() for name, network in self.networks.items()}
        faults = self.faults.state()
        return {**self.ledger.state(), "faults": faults, "unreadable": self.unreadable, "networks": networks}


@dataclass(frozen=True, slots=True)
class _Known:
    """A call that was accepted under an idempotency key."""

    digest: int  # of its body; as good as another within one process, and the fastest
    refused: Collection[int]
    until: float  # by the monotonic clock: when its answer leaves


def _said(network: Network, effect: str) -> Reply:
    """Instead of taking anything."""
    if effect in network.words:
        return network.words[effect]
    return reply(500, {"message": "a fault"}) if effect == "error" else page(502)


def _check(vendor: Vendor, call: Call) -> None:
    if not 1 <= len(call.keys) <= vendor.most:
        raise ValueError(f"{len(call.keys)} messages; a call takes from 1 to {vendor.most}")
    if "" in call.keys:
        raise ValueError(f"no delivery key in message {call.keys.index('')}")


def _with_retry_after(answer: Reply, rule: Rule) -> Reply:
    if rule.retry_after is None:
        return answer
    headers = {**answer.headers, "Retry-After": f"{rule.retry_after:g}"}
    return Reply(status=answer.status, body=answer.body, type=answer.type, headers=headers)


class Connection(asyncio.BufferedProtocol):
    """One client's connection: one request after the other, each with a Content-Length.

    A body is received where it is to lie: requests have megabytes, and to copy them takes as long as to read.
    """

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._loop = asyncio.get_running_loop()
        self._arriving = bytearray(HEADS_UP_TO)  # for what is no body
        self._buffer = bytearray()  # of heads, and whatever comes while an answer is on its way
        self._head: _Head | None = None
        self._body = bytearray()
        self._come = 0  # bytes of the body
        self._is_busy = False  # an answer is on its way

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._arriving) if self._is_whole else memoryview(self._body)[self._come :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._is_whole:
            self._buffer += memoryview(self._arriving)[:nbytes]
        else:
            self._come += nbytes
        self._go_on()

    @property
    def _is_whole(self) -> bool:
        """Whether nothing is missing of a body."""
        return self._head is None or self._come == len(self._body)

    def connection_lost(self, error: Exception | None) -> None:
        if self._head and self._head.name:
            self._simulator.ledger.answered(self._head.name, "cut off")  # the body never came

    def _go_on(self) -> None:
        if self._is_busy or self._transport.is_closing():
            return
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > HEADS_UP_TO:
                    self._transport.abort()
                return
            self._head = _Head(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
            self._body = bytearray(self._head.length)
            self._come = min(len(self._buffer), len(self._body))
            self._body[: self._come] = self._buffer[: self._come]
            del self._buffer[: self._come]
            self._begin(self._head)
            if self._transport.is_closing():
                return
        if self._is_whole:
            head, self._head = self._head, None
            body, self._body = bytes(self._body), bytearray()
            self._is_busy = True
            self._finish(head, body)

    def _begin(self, head: _Head) -> None:
        """Count the call and decide its fate, before its body is read."""
        if not head.name:
            return
        sends = head.sends
        if sends:
            self._simulator.ledger.called(head.name)
        head.struck = self._simulator.faults.strike(head.name, "call", path=head.path, sends=sends)
        if head.struck.end and head.struck.end.effect == "reset":
            self._simulator.ledger.answered(head.name, "reset")
            self._head = None
            self._reset()

    def _finish(self, head: _Head, body: bytes) -> None:
        request = head.request(body)
        if head.vendor is not None:
            answer = self._simulator.answer(head.vendor, request, head.struck)
        elif head.name:
            network = self._simulator.networks[head.name]
            answer = self._simulator.answer_of(network, request, head.struck)
        else:
            self._write(head, self._simulator.control(request))
            return
        end = head.struck.end.effect if head.struck.end else ""
        told = end if end in ("reset_after", "half") else str(answer.status)
        self._simulator.ledger.answered(head.name, told)
        delay = self._simulator.latency + head.struck.delay
        if end == "reset_after":
            self._later(delay, self._reset)
        else:
            self._later(delay, self._write, head, answer)

    def _later(self, delay: float, what: Any, *arguments: Any) -> None:
        if delay:
            self._loop.call_later(delay, what, *arguments)
        else:
            what(*arguments)

    def _write(self, head: _Head, answer: Reply) -> None:
        data = _bytes(answer)
        end = head.struck.end
        if end and end.effect == "half":
            self._transport.write(data[: len(data) - max(1, len(answer.body) // 2)])
            self._transport.close()
        elif end and end.effect == "drip":
            size = -(-len(data) // PIECES)
            pieces = [data[at : at + size] for at in range(0, len(data), size)]
            for number, piece in enumerate(pieces, start=1):
                self._loop.call_later(end.seconds * number / len(pieces), self._transport.write, piece)
            self._loop.call_later(end.seconds, self._done, head)
        else:
            self._transport.write(data)
            self._done(head)

    def _done(self, head: _Head) -> None:
        self._is_busy = False
        if head.headers.get("connection", "").lower() == "close":
            self._transport.close()
        elif self._buffer:
            self._go_on()

    def _reset(self) -> None:
        """Close with RST instead of FIN: nothing linger for (socket(7), SO_LINGER)."""
        if self._transport.is_closing():  # the client was quicker
            return
        own = self._transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


class _Head:
    """A request's first line and headers, to which vendor it goes, and what befalls it."""

    def __init__(self, data: bytes) -> None:
        first, *lines = data.decode("latin-1").split("\r\n")
        self.method, target, _ = first.split(" ", 2)
        named = (line.partition(":") for line in lines)
        self.headers = {name.lower(): value.strip() for name, _, value in named}
        self.length = int(self.headers.get("content-length", 0))
        path, _, self.query = target.partition("?")
        _, name, *rest = path.split("/", 2)
        self.vendor = VENDORS.get(name)
        self.name = name if name in VENDORS or name in NETWORKS else ""
        self.path = "/" + "".join(rest) if self.name else path
        self.struck = NOTHING

    @property
    def sends(self) -> bool:
        """Whether a mail or post goes out by it."""
        if self.vendor:
            return bool(re.search(self.vendor.sends, self.path))
        return bool(re.search(NETWORKS[self.name].creates, f"{self.method} {self.path}"))

    def request(self, body: bytes) -> Request:
        return Request(method=self.method, path=self.path, query=self.query, headers=self.headers, body=body)


def _bytes(answer: Reply) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown')}",
        f"Content-Type: {answer.type}",
        f"Content-Length: {len(answer.body)}",
        *(f"{name}: {value}" for name, value in answer.headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body


_REASONS = {status.value: status.phrase for status in HTTPStatus}
