"""The SMTP side: RFC 5321 without TLS, with PIPELINING (RFC 2920), 8BITMIME, SIZE and SMTPUTF8."""

from __future__ import annotations

import asyncio
import re

from tests.simulator.faults import Struck
from tests.simulator.keys import KEY, UUID
from tests.simulator.server import Simulator

NAME = "smtp"
EXTENSIONS = ("simulator.test", "PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")
MESSAGE_ID = re.compile(rb"^message-id:([^\n]*(?:\n[ \t][^\n]*)*)", re.IGNORECASE | re.MULTILINE)
END = b"\r\n.\r\n"


class Session(asyncio.Protocol):
    """One connection: commands, and messages between them."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._is_message = False
        self._is_busy = False  # the answer to a message is on its way
        self._searched = 0
        self._recipients: list[str] = []
        self._said = bytearray()  # goes out when there is nothing more to read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._struck("connect"):
            self._say("421 4.3.2 simulator.test closing connection")
            self._simulator.ledger.answered(NAME, "421")
            self._close()
        else:
            self._say("220 simulator.test ESMTP")
            self._flush()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._go_on()

    def _go_on(self) -> None:
        self._read()
        self._flush()

    def _read(self) -> None:
        while not self._is_busy and not self._transport.is_closing():
            end = self._end()
            if end < 0:
                return
            content = bytes(memoryview(self._buffer)[:end])
            if self._is_message:
                del self._buffer[: end + len(END)]
                self._message(content)
            else:
                del self._buffer[: end + 2]
                self._command(content.decode("utf-8", "replace"))

    def _end(self) -> int:
        """Where the line or message at the front ends; -1: not here yet."""
        if not self._is_message:
            return self._buffer.find(b"\r\n")
        end = self._buffer.find(END, max(0, self._searched - len(END)))
        self._searched = len(self._buffer)
        return end

    def _command(self, line: str) -> None:
        verb = line[:4].upper()
        if verb in ("EHLO", "HELO"):
            lines = EXTENSIONS if verb == "EHLO" else EXTENSIONS[:1]
            self._say(*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}")
        elif verb == "MAIL":
            self._simulator.ledger.called(NAME)
            self._recipients = []
            self._say("250 2.1.0 Ok")
        elif verb == "RCPT":
            self._recipient(line.partition("<")[2].partition(">")[0])
        elif verb == "DATA":
            self._data()
        elif verb == "RSET":
            self._recipients = []
            self._say("250 2.0.0 Ok")
        elif verb == "NOOP":
            self._say("250 2.0.0 Ok")
        elif verb == "QUIT":
            self._say("221 2.0.0 Bye")
            self._close()
        else:
            self._say("502 5.5.2 Command not recognized")

    def _recipient(self, address: str) -> None:
        struck = self._struck("rcpt", address)
        if struck == "smtp_450":
            self._answered("450 4.2.0 Mailbox busy")
        elif struck == "smtp_550":
            self._answered("550 5.1.1 No such user")
        else:
            self._recipients.append(address)
            self._say("250 2.1.5 Ok")

    def _data(self) -> None:
        if self._struck("data"):
            self._hang_up()
        elif not self._recipients:
            self._answered("554 5.5.1 No valid recipients")
        else:
            self._say("354 End data with <CR><LF>.<CR><LF>")
            self._buffer[:0] = b"\r\n"  # so that the end of an empty message is found too
            self._is_message, self._searched = True, 0

    def _message(self, content: bytes) -> None:
        self._is_message = False
        struck = self._struck("dot")
        delay = self._simulator.latency + self._simulator.faults.strike(NAME, "call").delay
        self._is_busy = True
        if struck == "smtp_451_after_dot":
            self._later(delay, "451 4.3.0 Try again later")
            return
        key = self._accept(content)
        if key is None:
            self._later(delay, "554 5.6.0 The simulator finds no delivery key in Message-ID")
        elif struck == "smtp_hang_up_after_dot":
            self._loop.call_later(delay, self._hang_up)
        else:
            self._later(delay, f"250 2.0.0 Ok: queued as sim-{key}")

    def _accept(self, content: bytes) -> str | None:
        head = content[2:].partition(b"\r\n\r\n")[0]
        named = MESSAGE_ID.search(head)
        key = KEY.search(named[1].decode("latin-1")) if named else None
        if key is None:
            self._simulator.unreadable.append(f"smtp: no delivery key: {head[:200]!r}")
            return None
        request = UUID.search(head.decode("latin-1"))
        to = self._recipients
        self._simulator.ledger.accept(NAME, [key[0]] * len(to), to, request[0] if request else "-")
        return key[0]

    def _later(self, delay: float, line: str) -> None:
        if delay:
            self._loop.call_later(delay, self._finish_and_go_on, line)
        else:
            self._finish(line)

    def _finish_and_go_on(self, line: str) -> None:
        self._finish(line)
        self._go_on()

    def _finish(self, line: str) -> None:
        """Answer a message, and read what came meanwhile."""
        self._recipients = []
        self._is_busy = False
        self._answered(line)

    def _answered(self, line: str) -> None:
        self._simulator.ledger.answered(NAME, line[:3])
        self._say(line)

    def _say(self, *lines: str) -> None:
        self._said += "".join(f"{line}\r\n" for line in lines).encode()

    def _flush(self) -> None:
        if self._said and not self._transport.is_closing():
            self._transport.write(bytes(self._said))
            self._said.clear()

    def _close(self) -> None:
        self._flush()
        self._transport.close()

    def _hang_up(self) -> None:
        self._flush()
        self._simulator.ledger.answered(NAME, "hung up")
        self._transport.abort()

    def _struck(self, moment: str, to: str = "") -> str:
        struck: Struck = self._simulator.faults.strike(NAME, moment, to=to)
        return struck.end.effect if struck.end else ""
