"""SMTP as far as handing mail to one server goes: RFC 5321, STARTTLS (3207), AUTH (4954), PIPELINING (2920).

A client of our own for the sake of speed: smtplib and aiosmtplib wait for every answer and take 0.5 to 1 ms
of CPU for a message, this one about a tenth. Where the server allows it, a message's content goes out with
MAIL, RCPT and DATA of the next (RFC 2920, 3.1), so that a message costs one round trip.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

from distributor.providers.reasons import reason

CONNECT = 30.0  # seconds
PATIENCE = 600.0  # seconds of silence after a message's end; half of it elsewhere (RFC 5321, 4.5.3.2)
PROBE, GOODBYE = 10.0, 2.0  # seconds; nothing is lost with a connection that answers no sooner
LONGEST_ANSWER = 65_536  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where mail is handed in, and how."""

    host: str
    port: int
    tls: ssl.SSLContext | None  # None: nothing is encrypted
    starttls: bool = False  # encrypted only after the greeting, and before anything else is said
    username: str = ""
    password: str = field(default="", repr=False)
    patience: float = PATIENCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message in its envelope."""

    sender: str  # where bounces go
    recipient: str
    content: bytes  # begins with a header; all its lines end in CRLF, and nothing else is in it of either

    @property
    def is_international(self) -> bool:
        """Whether it needs SMTPUTF8 (RFC 6531)."""
        return not (self.content.isascii() and self.recipient.isascii() and self.sender.isascii())


class Reply(NamedTuple):
    """What the server said to one command."""

    code: int
    text: str  # may have lines
    to: str = ""  # the command; "." is a message's end

    def __str__(self) -> str:
        """As the ledger may keep it."""
        return reason(f"{self.code} {self.text}").rstrip()

    @property
    def is_refusal(self) -> bool:
        return self.code >= 400


class Lost(Exception):
    """The connection broke, or the server was silent for too long.

    `is_in_doubt`: the end of the letter may have reached it, so it may have been accepted.
    """

    def __init__(self, reason: str, *, is_in_doubt: bool = False) -> None:
        super().__init__(reason)
        self.is_in_doubt = is_in_doubt


class Unwelcome(Exception):
    """There is no connection; `is_lasting`: there will be none until a person changes something."""

    def __init__(self, reason: str, *, is_lasting: bool = False) -> None:
        super().__init__(reason)
        self.is_lasting = is_lasting


async def connect(server: Server) -> Connection:
    """A connection that is private and signed in as *server* has it.

    Raises:
        Unwelcome: it could not be had.
    """
    tls = None if server.starttls else server.tls
    try:
        async with asyncio.timeout(CONNECT):
            streams = await asyncio.open_connection(
                server.host, server.port, ssl=tls, happy_eyeballs_delay=0.25
            )
    except (OSError, TimeoutError) as error:
        raise _no_connection(error) from error
    connection = Connection(*streams, patience=server.patience)
    try:
        await connection.begin(server)
    except BaseException:
        await connection.close()
        raise
    return connection


def _no_connection(error: Exception) -> Unwelcome:
    """A certificate that is not good stays so; all else may pass."""
    reason = f"no connection: {error or type(error).__name__}"
    return Unwelcome(reason, is_lasting=isinstance(error, ssl.SSLCertVerificationError))


class Connection:
    """One connection to a server, over which letters go one after another."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, patience: float = PATIENCE
    ) -> None:
        self.offers: Mapping[str, str] = {}  # extension -> its parameters
        self.has_ended = False  # nothing more can be sent
        self._reader = reader
        self._writer = writer
        self._patience = patience
        self._received = bytearray()
        self._announced: Letter | None = None  # its MAIL, RCPT and DATA went out with the letter before
        self._is_midway = False  # the server waits for more recipients of a letter that was given up

    async def begin(self, server: Server) -> None:
        """From the greeting to where letters may come.

        Raises:
            Unwelcome: it did not get there.
        """
        try:
            _expect(await self._reply())
            await self._hello()
            if server.starttls:
                await self._start_tls(server)
                await self._hello()  # what was offered in the clear may be anybody's word (RFC 3207, 4.2)
            if server.username:
                await self._sign_in(server)
        except Lost as lost:
            raise Unwelcome(str(lost)) from lost

    async def deliver(self, letter: Letter, *, following: Letter | None = None) -> Reply:
        """Hand *letter* over. The server has taken it if the reply is no refusal.

        *following* is the letter of the next call.

        Raises:
            Lost: there was no reply.
        """
        replies = await (self._replies(ANNOUNCEMENT) if self._announced is letter else self._announce(letter))
        self._announced = None
        refusal = next((reply for reply in replies if reply.is_refusal), None)
        self._is_midway = replies[-1].code != 354
        if not refusal and not self._is_midway:
            return await self._hand_over(_stuffed(letter.content), following)
        if not self._is_midway:
            # DATA was sent before the refusal was read: it is followed by an end alone (RFC 2920, 3.1).
            with suppress(Lost):
                await self._hand_over(b"", following)
        return refusal or self._lost(f"an answer out of order: {replies[-1]}")

    async def is_alive(self) -> bool:
        """Whether it can still be used after a rest."""
        with suppress(Lost):
            return not (await self._ask("RSET", patience=PROBE)).is_refusal
        return False

    async def quit(self) -> None:
        with suppress(Lost):
            await self._ask("QUIT", patience=GOODBYE)
        await self.close()

    async def close(self) -> None:
        self.has_ended = True
        self._writer.transport.abort()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def _announce(self, letter: Letter) -> Sequence[Reply]:
        """What the server says to a letter's envelope: to every line, or to those up to a refusal."""
        lines = _announcement(letter, self.offers)
        if self._is_midway:
            lines = {"RSET": b"RSET\r\n", **lines}
            self._is_midway = False
        if "PIPELINING" in self.offers:
            self._writer.write(b"".join(lines.values()))
            return await self._replies(tuple(lines))
        replies: list[Reply] = []
        for command, line in lines.items():
            self._writer.write(line)
            replies += await self._replies((command,))
            if replies[-1].is_refusal:
                break
        return replies

    async def _hand_over(self, content: bytes, following: Letter | None) -> Reply:
        """The server's word on *content*, with which the announcement of the next letter may go out."""
        pieces = [content, END]
        if following and "PIPELINING" in self.offers:
            self._announced = following
            pieces += _announcement(following, self.offers).values()
        self._writer.write(b"".join(pieces))
        try:
            reply = await self._reply(to=".", patience=self._patience)
            if not 200 <= reply.code < 300 and not reply.is_refusal:
                self._lost(f"an answer out of order: {reply}")
        except Lost as lost:
            raise Lost(str(lost), is_in_doubt=True) from lost
        return reply

    async def _hello(self) -> None:
        reply = _expect(await self._ask(f"EHLO {self._own_name()}"))
        words = (line.upper().replace("=", " ", 1).split() for line in reply.text.splitlines()[1:])
        self.offers = {first: " ".join(rest) for first, *rest in filter(None, words)}

    def _own_name(self) -> str:
        """An address literal (RFC 5321, 4.1.3): the host's name need not exist outside."""
        address = str(self._writer.get_extra_info("sockname")[0]).partition("%")[0]
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

    async def _start_tls(self, server: Server) -> None:
        if "STARTTLS" not in self.offers:
            reason = (
                f"{server.host} does not offer STARTTLS at port {server.port}, and nothing is sent without"
            )
            raise Unwelcome(reason, is_lasting=True)
        _expect(await self._ask("STARTTLS"))
        if self._received:  # somebody's on the way, to be taken for the server's own once it is encrypted
            raise Unwelcome(f"{server.host} said more than it was asked before encryption", is_lasting=True)
        assert server.tls
        try:
            async with asyncio.timeout(CONNECT):
                await self._writer.start_tls(server.tls, server_hostname=server.host)
        except (OSError, TimeoutError) as error:
            raise _no_connection(error) from error

    async def _sign_in(self, server: Server) -> None:
        ways = self.offers.get("AUTH", "").split()
        if "PLAIN" in ways:
            reply = await self._ask("AUTH PLAIN " + _base64(f"\0{server.username}\0{server.password}"))
        elif "LOGIN" in ways:
            reply = await self._ask("AUTH LOGIN")
            for word in (server.username, server.password):
                reply = await self._ask(_base64(word)) if reply.code == 334 else reply
        else:
            offered = " ".join(ways) or "no way at all"
            reason = f"{server.host} does not let us sign in with a password: it offers {offered}"
            raise Unwelcome(reason, is_lasting=True)
        if _expect(reply).code != 235:
            raise Unwelcome(f"an answer out of order: {reply}")

    async def _ask(self, line: str, *, patience: float | None = None) -> Reply:
        self._writer.write(f"{line}\r\n".encode())
        return await self._reply(patience=patience)

    async def _replies(self, commands: Sequence[str]) -> list[Reply]:
        """The replies to *commands* in order, and none after the server's last word."""
        replies: list[Reply] = []
        for command in commands:
            replies.append(await self._reply(to=command))
            if self.has_ended:
                break
        return replies

    async def _reply(self, *, to: str = "", patience: float | None = None) -> Reply:
        whole = _WHOLE.match(self._received) or await self._more(patience or self._patience / 2)
        code, text = int(whole[1]), whole[0].decode(errors="replace")
        del self._received[: whole.end()]
        self.has_ended = self.has_ended or code == 421  # RFC 5321, 3.8: it closes the connection
        return Reply(code, "\n".join(line[4:] for line in text.splitlines()), to)

    async def _more(self, patience: float) -> re.Match[bytes]:
        """A whole answer, once it has come."""
        try:
            async with asyncio.timeout(patience):
                while not (whole := _WHOLE.match(self._received)):
                    if len(self._received) > LONGEST_ANSWER or not _BEGINNING.match(self._received):
                        self._lost(reason(f"not an answer: {bytes(self._received[:80])!r}"))
                    data = await self._reader.read(LONGEST_ANSWER)
                    if not data:
                        self._lost("the server hung up")
                    self._received += data
                return whole
        except TimeoutError:
            self._lost(f"silent for {patience:g} seconds")
        except OSError as error:
            self._lost(f"the connection broke: {error}")

    def _lost(self, reason: str) -> NoReturn:
        self.has_ended = True
        raise Lost(reason)


_WHOLE = re.compile(rb"(?:\d{3}-[^\n]*\n)*(\d{3})(?: [^\n]*)?\r?\n")
_BEGINNING = re.compile(rb"\d{0,3}\Z|\d{3}[ \r\n-]")  # of what may become one

END = b".\r\n"
ANNOUNCEMENT = ("MAIL", "RCPT", "DATA")


def _announcement(letter: Letter, offers: Mapping[str, str]) -> dict[str, bytes]:
    """The envelope, line by line."""
    size = f" SIZE={len(letter.content)}" if "SIZE" in offers else ""  # RFC 1870
    utf8 = " BODY=8BITMIME SMTPUTF8" if letter.is_international else ""  # RFC 6531, 3.4
    lines = (f"MAIL FROM:<{letter.sender}>{size}{utf8}", f"RCPT TO:<{letter.recipient}>", "DATA")
    return {command: f"{line}\r\n".encode() for command, line in zip(ANNOUNCEMENT, lines, strict=True)}


def _stuffed(content: bytes) -> bytes:
    """A message so that no line of it is taken for its end (RFC 5321, 4.5.2)."""
    return _DOT.sub(b"\r\n..", content)


_DOT = re.compile(rb"\r\n\.")  # passes over a long message four times as quickly as bytes.replace


def _expect(reply: Reply) -> Reply:
    """*reply*, if it is none that keeps us out."""
    if reply.is_refusal:
        raise Unwelcome(str(reply), is_lasting=reply.code >= 500)
    return reply


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
