"""Any SMTP server that takes mail for others: https://www.rfc-editor.org/rfc/rfc5321

Each reader has a message and an envelope of their own. A call's messages go over one connection, one after
another, so that a connection that breaks leaves at most one of them in doubt.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from time import monotonic

import anyio

from distributor.config import Dkim, Provider, mailbox
from distributor.errors import AccountTrouble, TryLater
from distributor.model import Answer, Batch, Digest, Email
from distributor.providers import dkim, smtp_client
from distributor.providers.email.mime import Message, Sender, ascii_address
from distributor.providers.protocol import EmailLimits, Media
from distributor.providers.smtp_client import Connection, Letter, Lost, Reply, Server, Unwelcome

PORTS = {"starttls": 587, "tls": 465, "none": 587}  # RFC 6409, RFC 8314
LONGEST_CALL = 900.0  # seconds after which no further message of a call is begun
BUSY = 5.0  # seconds for which a server that has too much to do is left alone


class Smtp:
    """No server knows a message again, so a call is never harmless to repeat."""

    def __init__(
        self,
        settings: Provider,
        *,
        tls: ssl.SSLContext | None = None,
        patience: float = smtp_client.PATIENCE,
    ) -> None:
        self._settings = settings
        self._tls = tls
        self._patience = patience
        # Each call has a connection of its own, on which its messages follow one another.
        self.limits = EmailLimits(recipients_per_call=100, in_flight=settings.connections)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Calls]:
        calls = Calls(self._server(), self._settings.dkim, in_flight=self.limits.in_flight)
        try:
            yield calls
        finally:
            await calls.close()

    def _server(self) -> Server:
        settings = self._settings
        is_private = settings.security != "none"
        return Server(
            host=settings.host,
            port=settings.port or PORTS[settings.security],
            tls=self._tls or ssl.create_default_context() if is_private else None,
            starttls=settings.security == "starttls",
            username=settings.username,
            password=settings.password.get_secret_value(),
            patience=self._patience,
        )


class Calls:
    """A server while there are connections to it: one for each call at the time, kept for the next."""

    def __init__(self, server: Server, signing: Dkim | None, *, in_flight: int) -> None:
        self._server = server
        self._signing = signing
        self._places = anyio.CapacityLimiter(in_flight)
        self._resting: list[Connection] = []
        self._messages = lru_cache(maxsize=8)(_message)  # the batches of an edition share one
        self._key = lru_cache(maxsize=1)(dkim.key_of)  # what it raises is not kept: a mended file is read

    async def close(self) -> None:
        """Take leave of the server, even where the worker is cancelled."""
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as group:
                while self._resting:
                    group.start_soon(self._resting.pop().quit)

    async def probe(self) -> None:
        """Greeted, in private and by name and password, as before any mail."""
        self._resting.append(await self._connection())

    async def send(
        self, batch: Batch, digest: Digest, emails: Sequence[Email], *, sender: Sender, media: Media
    ) -> Answer:
        message = self._messages(digest, sender, batch.due_at, media)
        write = self._signed(message.to, sender)
        async with self._places:
            connection = await self._connection()
            try:
                outcome = await _carried(connection, sender, emails, write)
            except BaseException:
                await connection.close()
                raise
            if outcome.end is None:
                self._resting.append(connection)
            else:
                await connection.close()
        return outcome.answer(emails)

    async def _connection(self) -> Connection:
        """One that rests and still lives, or a new one."""
        while self._resting:
            connection = self._resting.pop()
            if await connection.is_alive():
                return connection
            await connection.close()
        try:
            return await smtp_client.connect(self._server)
        except Unwelcome as error:
            raise (AccountTrouble if error.is_lasting else TryLater)(str(error)) from error

    def _signed(self, write: Callable[[Email], bytes], sender: Sender) -> Callable[[Email], bytes]:
        """*write*, with a signature before each message if there is to be one."""
        if not self._signing:
            return write
        key, selector = self._key(self._signing.key_file), self._signing.selector
        domain = self._signing.domain or mailbox(sender.from_)[1].rpartition("@")[2]

        def signed(email: Email) -> bytes:
            message = write(email)
            return dkim.signature(message, domain=domain, selector=selector, key=key) + message

        return signed


def _message(digest: Digest, sender: Sender, date: datetime, media: Media) -> Message:
    return Message(digest, sender, date=date, media=media)


@dataclass(slots=True)
class Outcome:
    """What has become of a call's messages so far, by recipient."""

    accepted: set[int] = field(default_factory=set)
    receipts: dict[int, str] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)
    later: dict[int, str] = field(default_factory=dict)
    unclear: dict[int, str] = field(default_factory=dict)
    end: TryLater | None = None  # why no further message is handed over

    def answer(self, emails: Sequence[Email]) -> Answer:
        """The call's, with what was not handed over as later; it fails if nothing else came of it.

        Raises:
            TryLater: the server took none of them.
        """
        if self.end and not (self.accepted or self.refused or self.unclear):
            raise self.end
        told = self.accepted.union(self.refused, self.later, self.unclear)
        rest = {email.recipient: str(self.end) for email in emails if email.recipient not in told}
        return Answer(
            receipts=self.receipts,
            refused=self.refused,
            later=self.later | rest,
            unclear=self.unclear,
            pause=BUSY if self.end else 0,
        )

    def note(self, email: Email, reply: Reply) -> None:
        """What the server said of one message."""
        if not reply.is_refusal:
            self.accepted.add(email.recipient)
            if found := _QUEUED.search(reply.text):
                self.receipts[email.recipient] = found[found.lastindex or 0]
        elif reply.code >= 500 and not _is_our_trouble(reply):
            self.refused[email.recipient] = str(reply)
        else:
            self.later[email.recipient] = str(reply)
            if reply.code >= 500:
                self.end = AccountTrouble(str(reply))
            elif _is_busy(reply):
                self.end = TryLater(str(reply))

    def lose(self, email: Email, lost: Lost) -> None:
        """No word on one message."""
        if lost.is_in_doubt:
            self.unclear[email.recipient] = f"handed over, but no answer: {lost}"
        else:  # RFC 5321, 4.1.1.4: without the end of the data nothing is delivered
            self.later[email.recipient] = f"not handed over: {lost}"
        self.end = TryLater(f"not handed over: {lost}")


# How servers name what they took: Postfix, Exim, Exchange, Sendmail, then Amazon SES and Gmail.
_QUEUED = re.compile(
    r"queued as <?([^\s<>,;]+)|\bid=([^\s\]]+)|InternalId=(\w+)|(\S+) message accepted"
    r"|\bok:? +(?:\d{10} +)?(?=\S*\d)([\w.+-]{8,})",
    re.IGNORECASE,
)


def _is_our_trouble(reply: Reply) -> bool:
    """Whether a 5yz is about us and not about the recipient or the message.

    Signing in (RFC 4954, 6), the sender's address (RFC 3463: X.1.7, X.1.8), and whatever else MAIL is refused
    for but a size (RFC 1870).
    """
    return (
        reply.code in (530, 534, 535, 538)
        or reply.text.startswith(("5.1.7", "5.1.8"))
        or (reply.to == "MAIL" and reply.code != 552)
    )


def _is_busy(reply: Reply) -> bool:
    """Whether a 4yz would be said to the next message too, and not only to this recipient.

    Amazon SES says 454 for "Maximum sending rate exceeded" and "Daily message quota exceeded":
    https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html (read 2026-11-23).
    """
    return reply.code in (421, 454) or reply.to == "MAIL"


async def _carried(
    connection: Connection, sender: Sender, emails: Sequence[Email], write: Callable[[Email], bytes]
) -> Outcome:
    """Hand one message after another over, until the server has had enough."""
    outcome = Outcome()
    letters = _letters(connection, sender, emails, write, outcome)
    end_at = monotonic() + LONGEST_CALL
    current = next(letters, None)
    while current and not outcome.end:
        email, letter = current
        following = next(letters, None)
        try:
            outcome.note(email, await connection.deliver(letter, following=following and following[1]))
        except Lost as lost:
            outcome.lose(email, lost)
        if not outcome.end and connection.has_ended:
            outcome.end = TryLater("the server closed the connection")
        if not outcome.end and following and monotonic() > end_at:
            outcome.end = TryLater(f"the server took {LONGEST_CALL:.0f} seconds for the messages before")
        current = following
    return outcome


def _letters(
    connection: Connection,
    sender: Sender,
    emails: Sequence[Email],
    write: Callable[[Email], bytes],
    outcome: Outcome,
) -> Iterator[tuple[Email, Letter]]:
    """Each message when its turn comes; those that the server could not take are refused in *outcome*."""
    from_ = mailbox(sender.from_)[1]
    if not from_.isascii() and "SMTPUTF8" not in connection.offers:
        outcome.end = AccountTrouble(f"{from_} cannot send by this server: it does not offer SMTPUTF8")
        return
    for email in emails:
        try:
            letter = Letter(sender=from_, recipient=_address(email.address), content=write(email))
            _check(letter, connection)
        except ValueError as error:
            outcome.refused[email.recipient] = str(error)
        else:
            yield email, letter


def _address(address: str) -> str:
    """An address that stands between angle brackets and says nothing else to the server."""
    if re.search(r"[\x00-\x1f<>\x7f]", address):
        raise ValueError("not an address: it has brackets or control characters")
    return ascii_address(address)


def _check(letter: Letter, connection: Connection) -> None:
    limit = connection.offers.get("SIZE", "")
    if limit.isdigit() and 0 < int(limit) < len(letter.content):  # 0 is no limit (RFC 1870)
        raise ValueError(f"{len(letter.content):,} bytes; the server takes {int(limit):,}")
    if letter.is_international and "SMTPUTF8" not in connection.offers:
        raise ValueError("the address is not ASCII, and the server does not offer SMTPUTF8")
