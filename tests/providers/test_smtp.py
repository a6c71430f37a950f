"""SMTP: what is said to a server, what its answers mean, and what is in doubt when it falls silent."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from time import monotonic
from typing import Any

import anyio
import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from distributor.config import Provider
from distributor.errors import AccountTrouble, SendError, TryLater
from distributor.model import Answer, Digest, Email
from distributor.providers.email.smtp import Calls, Smtp
from distributor.providers.smtp_client import Letter, connect
from distributor.providers.smtp_client import Server as Address
from tests.providers.contract import BATCH, DIGEST, EMAILS, PICTURED, SENDER, email

pytestmark = pytest.mark.anyio

HANG_UP, SILENCE = "(hang up)", "(silence)"
OFFERS = ("PIPELINING", "SIZE 10000000", "8BITMIME", "SMTPUTF8")


@dataclass
class Server:
    """A server that says the usual, but for *answers*: to a line that begins so, this.

    A message's end is the line ". " with its recipient.
    """

    answers: Mapping[str, str] = field(default_factory=dict)
    offers: Sequence[str] = OFFERS
    tls: ssl.SSLContext | None = None
    port: int = 0
    connections: int = 0
    at_once: int = 0
    most_at_once: int = 0
    lines: list[str] = field(default_factory=list)  # what was said to it, without messages
    in_the_clear: list[str] = field(default_factory=list)
    taken: list[tuple[str, bytes]] = field(default_factory=list)  # recipient and message, as it travelled

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self._converse(reader, writer)
        except OSError:
            pass
        finally:
            self.at_once -= 1
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipient, is_private = "", False
        said = self._answer("(connected)", "220 here")
        while said != HANG_UP:
            if said == SILENCE:
                await reader.read()  # until the client has had enough
                return
            writer.write(f"{said}\r\n".encode())
            if said.startswith("354"):
                content = await self._message(reader)
                if not content.endswith(b".\r\n"):
                    return
                if content == b".\r\n":
                    said = "554 5.5.1 no valid recipients"
                    continue
                said = self._answer(f". {recipient}", f"250 2.0.0 Ok: queued as Q{len(self.taken)}")
                if said.startswith("250"):
                    self.taken.append((recipient, content))
                continue
            if said.startswith("220 go ahead"):
                assert self.tls
                await writer.start_tls(self.tls)
                is_private = True
            line = (await reader.readline()).decode().rstrip("\r\n")
            if not line:
                return
            self.lines.append(line)
            if not is_private:
                self.in_the_clear.append(line)
            if line.startswith("RCPT"):
                recipient = line.partition("<")[2].partition(">")[0]
            said = self._answer(line, self._usual(line))

    async def _message(self, reader: asyncio.StreamReader) -> bytes:
        lines = [await reader.readline()]
        while lines[-1] not in (b".\r\n", b""):
            lines.append(await reader.readline())
        return b"".join(lines)

    def _answer(self, line: str, usual: str) -> str:
        return next((said for begin, said in self.answers.items() if line.startswith(begin)), usual)

    def _usual(self, line: str) -> str:
        usual = {
            "EHLO": "\r\n".join([*(f"250-{offer}" for offer in ("here", *self.offers)), "250 HELP"]),
            "STARTTLS": "220 go ahead",
            "DATA": "354 go on",
            "QUIT": "221 bye",
            "AUTH": "235 2.7.0 welcome",
        }
        return usual.get(line.split()[0], "250 2.1.0 Ok")


@asynccontextmanager
async def listening(server: Server, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


def settings(port: int, **more: Any) -> Provider:
    return Provider.model_validate(
        {"type": "smtp", "host": "127.0.0.1", "port": port, "security": "none"} | more
    )


async def hand_over(
    calls: Calls, emails: Sequence[Email] = tuple(EMAILS), *, digest: Digest = DIGEST
) -> Answer:
    return await calls.send(BATCH, digest, emails, sender=SENDER, media=media)


def media(picture: object) -> bytes:
    return b"\x89PNG\r\n"


async def send(
    server: Server,
    emails: Sequence[Email] = tuple(EMAILS),
    *,
    digest: Digest = DIGEST,
    trusting: ssl.SSLContext | None = None,
    patience: float = 20,
    **more: Any,
) -> Answer:
    provider = Smtp(settings(server.port, **more), tls=trusting, patience=patience)
    async with provider.connected() as calls:
        return await hand_over(calls, emails, digest=digest)


def words(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


@pytest.fixture(params=["pipelining", "line by line"])
def offers(request: pytest.FixtureRequest) -> Sequence[str]:
    """What a server offers that takes several lines at once, and one that does not."""
    return OFFERS if request.param == "pipelining" else OFFERS[1:]


# --- what is said ---


async def test_each_reader_gets_their_own_message(offers: Sequence[str]):
    """Three readers are three envelopes and three messages, each with its reader's own headers and slots."""
    async with listening(Server(offers=offers)) as server:
        answer = await send(server)
    assert answer == Answer(receipts={1: "Q0", 2: "Q1", 3: "Q2"})
    assert [recipient for recipient, _ in server.taken] == [email.address for email in EMAILS]
    assert {line.split(" SIZE")[0] for line in server.lines if line.startswith("MAIL")} == {
        "MAIL FROM:<news@news.example>"
    }
    for (_, content), one in zip(server.taken, EMAILS, strict=True):
        message = message_from_bytes(content.removesuffix(b".\r\n"), policy=policy.default)
        assert one.address in message["To"]
        assert message["Message-ID"] == f"<{one.key}@news.example>"
        assert message["List-Unsubscribe"] == f"<{one.slots['unsubscribe_url']}>"
        assert f"Hello {one.name}," in words(message)


async def test_a_message_costs_one_round_trip():
    """With PIPELINING the next envelope comes with the message before, and DATA is always last."""
    groups: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for said in ("220 here", "250-here\r\n250 PIPELINING", *["250 Ok\r\n" * 2 + "354 go on"]):
            writer.write(f"{said}\r\n".encode())
            groups.append(await reader.read(100_000))
        for _ in EMAILS[1:]:
            writer.write(b"250 taken\r\n250 Ok\r\n250 Ok\r\n354 go on\r\n")
            groups.append(await reader.read(100_000))
        writer.write(b"250 taken\r\n")
        groups.append(await reader.read(100_000))
        writer.write(b"221 bye\r\n")
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listener:
        await send(Server(port=listener.sockets[0].getsockname()[1]))
    ends = [group.rsplit(b"\r\n.\r\n")[-1].splitlines()[:1] for group in groups]
    assert ends[1] == ends[2] == ends[3] == [b"MAIL FROM:<news@news.example>"]
    assert [group.splitlines()[-1] for group in groups[1:]] == [b"DATA"] * 3 + [b".", b"QUIT"]


async def test_a_dot_ends_nothing():
    """A line of the message that begins with a dot travels with one more (RFC 5321, 4.5.2)."""
    content = b"Subject: x\r\n\r\n.\r\n..two\r\nMAIL FROM:<evil@example.org>\r\n.\r\n"
    async with listening(Server()) as server:
        connection = await connect(Address(host="127.0.0.1", port=server.port, tls=None))
        await connection.deliver(Letter(sender="a@b.example", recipient="c@d.example", content=content))
        await connection.quit()
    [(_, travelled)] = server.taken
    assert travelled == (b"Subject: x\r\n\r\n..\r\n...two\r\nMAIL FROM:<evil@example.org>\r\n..\r\n.\r\n")


async def test_a_message_arrives_as_it_was_written():
    """Unstuffed it is the message, pictures and all; whatever a name has in it, lines end in CRLF."""
    dotted = replace(
        PICTURED, text="Hello @@name@@\n.\n..\n@@unsubscribe_url@@", html=PICTURED.html + "\n.\n"
    )
    async with listening(Server()) as server:
        await send(server, [email(1, name="Ada\n.\r.\nMAIL FROM:<evil@example.org>")], digest=dotted)
    [(_, travelled)] = server.taken
    content = travelled.removesuffix(b".\r\n")
    assert content.count(b"\n") == content.count(b"\r") == content.count(b"\r\n")
    message = message_from_bytes(content.replace(b"\r\n..", b"\r\n."), policy=policy.default)
    assert words(message).splitlines()[-3:-1] == [".", ".."]
    [picture] = [part for part in message.walk() if part.get_content_maintype() == "image"]
    assert picture.get_content() == media(None)


async def test_addresses_beyond_ascii_need_a_server_that_takes_them():
    """Such a reader is refused where SMTPUTF8 is not offered; a domain alone is written in ASCII."""
    foreign = [
        replace(email(1), address="jürgen@example.org"),
        replace(email(2), address="post@bücher.example"),
    ]
    async with listening(Server()) as server:
        assert set((await send(server, foreign)).receipts) == {1, 2}
        assert "RCPT TO:<jürgen@example.org>" in server.lines
        assert "RCPT TO:<post@xn--bcher-kva.example>" in server.lines
        assert [line.endswith("BODY=8BITMIME SMTPUTF8") for line in server.lines if "MAIL" in line] == [
            True,
            False,
        ]
    async with listening(Server(offers=OFFERS[:2])) as server:
        answer = await send(server, foreign)
    assert answer.refused == {1: "the address is not ASCII, and the server does not offer SMTPUTF8"}
    assert set(answer.receipts) == {2}


async def test_an_address_says_nothing_to_the_server():
    """An address with a line break is refused here, whatever it would have asked for."""
    evil = replace(email(1), address="a@b.example>\r\nRCPT TO:<c@d.example")
    async with listening(Server()) as server:
        answer = await send(server, [evil, email(2)])
    assert list(answer.refused) == [1]
    assert [recipient for recipient, _ in server.taken] == ["reader2@example.org"]


async def test_what_is_too_large_is_not_tried():
    """A message above the SIZE that the server offers is refused; 0 is no limit."""
    async with listening(Server(offers=["SIZE 1000"])) as server:
        answer = await send(server)
        assert set(answer.refused) == {1, 2, 3}
        assert "the server takes 1,000" in answer.refused[1]
        assert server.taken == []
    async with listening(Server(offers=["SIZE 0"])) as server:
        assert set((await send(server)).receipts) == {1, 2, 3}


# --- what answers mean ---


@pytest.mark.parametrize("data", ["354 go on", "503 5.5.1 no recipients"])
@pytest.mark.parametrize(
    ("line", "said", "outcome"),
    [
        ("RCPT TO:<reader2@", "550 5.1.1 no such user", "refused"),
        ("RCPT TO:<reader2@", "553 5.1.3 no such domain", "refused"),
        ("RCPT TO:<reader2@", "450 4.2.0 greylisted", "later"),
        ("RCPT TO:<reader2@", "452-4.2.2 over\r\n452 4.2.2 quota", "later"),
        (". reader2@", "554 5.7.1 looks like spam", "refused"),
        (". reader2@", "552 5.3.4 too large", "refused"),
        (". reader2@", "451 4.3.0 try again", "later"),
    ],
)
async def test_one_readers_answer_is_theirs_alone(
    offers: Sequence[str], line: str, said: str, outcome: str, data: str
):
    """5yz to a recipient or message is final, 4yz means later, and the next message goes on regardless."""

    class Strict(Server):
        """After a refused RCPT it says *data* to DATA, and 503 to MAIL within a transaction."""

        recipients, is_open = 0, False

        def _answer(self, line: str, usual: str) -> str:
            said = super()._answer(line, usual)
            command = line.split()[0]
            if command == "MAIL":
                said = "503 5.5.1 nested MAIL" if self.is_open else said
                self.recipients, self.is_open = 0, True
            elif command == "RCPT":
                self.recipients += said.startswith("250")
            elif command == "DATA" and not self.recipients:
                said = data
            if command == "RSET" or said.startswith("354"):
                self.is_open = False
            return said

    async with listening(Strict({line: said}, offers)) as server:
        answer = await send(server)
    assert list(getattr(answer, outcome)) == [2]
    assert getattr(answer, outcome)[2] == " ".join(
        said.replace("452-", "").replace("\r\n452", "").split()
    ) or (said.startswith("452-") and "over" in answer.later[2])
    assert set(answer.receipts) == {1, 3}
    assert not answer.unclear
    assert server.connections == 1


@pytest.mark.parametrize(
    ("said", "receipt"),
    [
        ("250 2.0.0 Ok: queued as 4XyZ1a2b3c", "4XyZ1a2b3c"),  # Postfix
        ("250 OK id=1rAbCd-00000001abc-2DeF", "1rAbCd-00000001abc-2DeF"),  # Exim
        ("250 2.0.0 3ANKe1xq012345 Message accepted for delivery", "3ANKe1xq012345"),  # Sendmail
        ("250 Ok 0100018c5f2a3b4c-6d7e8f90-1a2b-000000", "0100018c5f2a3b4c-6d7e8f90-1a2b-000000"),  # SES
        ("250 2.0.0 OK  1700000000 af79cd13be357.12 - gsmtp", "af79cd13be357.12"),  # Gmail
        ("250 2.6.0 <7-1@news.example> [InternalId=123456, Hostname=h] Queued mail", "123456"),  # Exchange
        ("250 Message accepted, thank you", None),
        ("250 Ok", None),
    ],
)
async def test_the_servers_own_name_for_a_message_is_kept(said: str, receipt: str | None):
    """The queue id is the receipt, where the answer has one."""
    async with listening(Server({".": said})) as server:
        assert (await send(server, [email(1)])) == Answer(receipts={1: receipt} if receipt else {})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("MAIL", "451 4.7.1 too many messages"),
        ("MAIL", "421 4.3.2 shutting down"),
        (". reader2@", "454 Throttling failure: Maximum sending rate exceeded"),
        (". reader2@", "421 4.7.0 too many messages"),
        ("RCPT TO:<reader2@", "421 4.7.0 too many recipients"),
    ],
)
async def test_a_busy_server_is_left_alone(offers: Sequence[str], line: str, said: str):
    """What is said to all means later for all: for the call if it accepted nothing, else for the rest."""
    async with listening(Server({line: said}, offers)) as server:
        if line == "MAIL":
            with pytest.raises(TryLater, match=said.split()[-1]) as raised:
                await send(server)
            assert type(raised.value) is TryLater
            return
        answer = await send(server)
    assert set(answer.receipts) == {1}
    assert answer.later == {2: said, 3: said}
    assert answer.pause > 0
    assert not answer.unclear


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("(connected)", "554 5.7.1 your address is blocked"),
        ("MAIL", "530 5.7.0 authentication required"),
        ("MAIL", "553 5.7.1 sender not owned by user"),
        ("RCPT", "550 5.1.8 sender address rejected: domain not found"),
        (".", "535 5.7.8 session expired"),
    ],
)
async def test_what_is_wrong_with_us_refuses_no_reader(line: str, said: str):
    """The sender, the account or the address we come from is mended by a person, and the readers wait."""
    async with listening(Server({line: said})) as server:
        with pytest.raises(AccountTrouble, match=said):
            await send(server)


async def test_a_size_is_the_messages_own_fault():
    """552 to MAIL refuses the message (RFC 1870), and nobody has to mend the account."""
    async with listening(Server({"MAIL": "552 5.3.4 too large"})) as server:
        assert set((await send(server)).refused) == {1, 2, 3}


# --- what is in doubt ---


@pytest.mark.parametrize("fault", [HANG_UP, SILENCE, "what?", "354 go on"])
async def test_a_lost_answer_leaves_one_message_in_doubt(offers: Sequence[str], fault: str):
    """Silence or nonsense after a message's end is unclear for it alone; what was not sent yet is later."""
    async with listening(Server({". reader2@": fault}, offers)) as server:
        answer = await send(server, patience=1.5 if fault == SILENCE else 20)
    assert set(answer.receipts) == {1}
    assert list(answer.unclear) == [2]
    assert list(answer.later) == [3]
    assert answer.refused == {}


async def test_a_message_cut_on_its_way_is_in_doubt(offers: Sequence[str]):
    """A server that is gone in the middle of a message may have read all of it: only it could say."""

    class Cut(Server):
        async def _message(self, reader: asyncio.StreamReader) -> bytes:
            if self.taken:
                await reader.read(10)
                raise OSError("cut")
            return await super()._message(reader)

    async with listening(Cut(offers=offers)) as server:
        answer = await send(server)
    assert (set(answer.receipts), list(answer.unclear), list(answer.later)) == ({1}, [2], [3])


@pytest.mark.parametrize("line", ["RCPT TO:<reader2@", "DATA"])
@pytest.mark.parametrize("fault", [HANG_UP, SILENCE, "HTTP/1.1 400 Bad Request", "250 what?"])
async def test_before_its_end_no_message_is_in_doubt(offers: Sequence[str], line: str, fault: str):
    """A connection that is lost before a message's end was sent has certainly not delivered it."""
    if line != "DATA" and fault.startswith("250"):
        return  # that is a usual answer
    async with listening(Server({line: fault}, offers)) as server:
        patience = 1.5 if fault == SILENCE else 20
        if line == "DATA":
            with pytest.raises(TryLater, match="not handed over"):
                await send(server, patience=patience)
            return
        answer = await send(server, patience=patience)
    assert set(answer.receipts) == {1}
    assert list(answer.later) == [2, 3]
    assert not answer.unclear


async def test_nobody_at_home_means_later():
    """A port where nobody listens, and a greeting of 4yz or none, are tried again later."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(TryLater, match="no connection"):
            await send(Server(port=unused.getsockname()[1]))
    for said in ("421 4.3.2 too many connections", HANG_UP):
        async with listening(Server({"(connected)": said})) as server:
            with pytest.raises(TryLater) as raised:
                await send(server)
            assert type(raised.value) is TryLater


async def test_a_cancelled_call_leaves_no_connection_behind():
    """Where a call was cut off by our own side, its connection is closed and not used again."""
    async with listening(Server({". reader2@": SILENCE})) as server:
        async with Smtp(settings(server.port)).connected() as calls:
            with anyio.move_on_after(10) as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(hand_over, calls)
                    while not any("reader2" in line for line in server.lines):
                        await anyio.lowlevel.checkpoint()
                    group.cancel_scope.cancel()
            assert not scope.cancelled_caught
            assert set((await hand_over(calls, [email(4)])).receipts) == {4}
        assert server.connections == 2


# --- connections ---


async def test_a_connection_is_kept_for_the_next_call():
    """Calls one after another share a connection, which is taken leave of in the end."""
    async with listening(Server()) as server:
        async with Smtp(settings(server.port)).connected() as calls:
            for number in range(5):
                assert set((await hand_over(calls, [email(number)])).receipts) == {number}
        assert server.connections == 1
        assert server.lines[-1] == "QUIT"


async def test_a_connection_that_died_at_rest_is_replaced():
    """One that the server closed between two calls fails no message."""
    for said in (HANG_UP, "421 4.4.2 timeout"):
        async with listening(Server({"RSET": said})) as server:
            async with Smtp(settings(server.port)).connected() as calls:
                for number in (1, 2):
                    assert set((await hand_over(calls, [email(number)])).receipts) == {number}
            assert server.connections == 2


async def test_calls_share_as_many_connections_as_are_allowed():
    """Twenty calls at once never have more connections than the limits say, and all of them arrive."""
    async with listening(Server()) as server:
        few = settings(server.port).model_copy(update={"connections": 5})
        async with Smtp(few).connected() as calls, anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(hand_over, calls, [email(number), email(100 + number)])
        assert len(server.taken) == 40
        assert 1 < server.most_at_once <= 5


# --- privacy ---


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's certificate for 127.0.0.1, and a client's trust in it."""
    folder = tmp_path_factory.mktemp("certificates")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.news.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(private + public)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "server.pem")
    return server, ssl.create_default_context(cadata=public.decode())


Certificates = tuple[ssl.SSLContext, ssl.SSLContext]
SECRET: dict[str, Any] = {"username": "ada", "password": "pass word"}


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_nothing_is_said_in_the_clear(certificates: Certificates, security: str):
    """Name, password and messages come after encryption; before it there is only the wish for it."""
    server_side, trusting = certificates
    server = Server(offers=(*OFFERS, "STARTTLS", "AUTH PLAIN LOGIN"), tls=server_side)
    async with listening(server, tls=server_side if security == "tls" else None):
        answer = await send(server, trusting=trusting, security=security, **SECRET)
    assert set(answer.receipts) == {1, 2, 3}
    if security == "starttls":
        assert server.in_the_clear == ["EHLO [127.0.0.1]", "STARTTLS"]
    assert "AUTH PLAIN AGFkYQBwYXNzIHdvcmQ=" in server.lines


async def test_a_server_without_starttls_gets_nothing():
    """Where encryption is wanted and not offered, neither mail nor password is said, and a person is told."""
    async with listening(Server(offers=(*OFFERS, "AUTH PLAIN"))) as server:
        with pytest.raises(AccountTrouble, match="does not offer STARTTLS"):
            await send(server, security="starttls", **SECRET)
    assert server.lines == ["EHLO [127.0.0.1]"]


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_is_checked(certificates: Certificates, security: str):
    """A server whose certificate nobody vouches for gets nothing."""
    server = Server(offers=(*OFFERS, "STARTTLS", "AUTH PLAIN"), tls=certificates[0])
    async with listening(server, tls=certificates[0] if security == "tls" else None):
        with pytest.raises(AccountTrouble, match="certificate verify failed"):
            await send(server, security=security, **SECRET)
    assert not [line for line in server.lines if line.startswith(("AUTH", "MAIL"))]


async def test_words_slipped_in_before_encryption_are_not_believed(certificates: Certificates):
    """What somebody on the way adds to the answer to STARTTLS is not taken for the server's own."""
    server = Server({"STARTTLS": "220 go ahead\r\n250 and welcome"}, (*OFFERS, "STARTTLS"), certificates[0])
    async with listening(server):
        with pytest.raises(SendError):
            await send(server, trusting=certificates[1], security="starttls")
    assert server.taken == []


# --- signing in ---


async def test_both_ways_of_signing_in_are_known():
    """PLAIN where it is offered, in today's or yesterday's spelling, else LOGIN."""
    answers = {"AUTH LOGIN": "334 VXNlcm5hbWU6", "YWRh": "334 UGFzc3dvcmQ6", "cGFzcyB3b3Jk": "235 welcome"}
    for offer, lines in {
        "AUTH LOGIN PLAIN": ["AUTH PLAIN AGFkYQBwYXNzIHdvcmQ="],
        "AUTH=PLAIN": ["AUTH PLAIN AGFkYQBwYXNzIHdvcmQ="],
        "AUTH LOGIN": ["AUTH LOGIN", "YWRh", "cGFzcyB3b3Jk"],
    }.items():
        async with listening(Server(answers, offers=(*OFFERS, offer))) as server:
            await send(server, **SECRET)
        assert server.lines[1 : 1 + len(lines)] == lines


@pytest.mark.parametrize(
    ("offer", "said", "error"),
    [
        ("AUTH PLAIN", "535 5.7.8 wrong password", AccountTrouble),
        ("AUTH PLAIN", "534 5.7.9 application password required", AccountTrouble),
        ("AUTH PLAIN", "454 4.7.0 temporary failure", TryLater),
        ("AUTH LOGIN", "504 5.5.4 unknown", AccountTrouble),
        ("AUTH XOAUTH2", "", AccountTrouble),
        ("HELP", "", AccountTrouble),
    ],
)
async def test_who_is_not_let_in_waits(offer: str, said: str, error: type[SendError]):
    """A wrong password waits for a person, a server that cannot check it now for later; neither tells it."""
    async with listening(Server({"AUTH": said}, offers=(*OFFERS, offer))) as server:
        with pytest.raises(error) as raised:
            await send(server, **SECRET)
    assert type(raised.value) is error
    assert "pass word" not in str(raised.value)
    assert server.taken == []


# --- servers that others wrote ---


async def test_a_real_server_takes_it_all(certificates: Certificates):
    """aiosmtpd, with STARTTLS and a password, takes every message as it was written."""
    server_side, trusting = certificates
    taken: list[Any] = []

    class Handler:
        async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
            taken.append(envelope)
            return "250 Message accepted for delivery"

    def sign_in(server: Any, session: Any, envelope: Any, mechanism: str, words: Any) -> AuthResult:
        is_known = (words.login, words.password) == (b"ada", b"pass word")
        return AuthResult(success=is_known, handled=is_known)

    def protocol() -> SMTP:
        return SMTP(
            Handler(),
            tls_context=server_side,
            require_starttls=True,
            authenticator=sign_in,
            auth_required=True,
            enable_SMTPUTF8=True,
            hostname="mail.news.example",
            loop=asyncio.get_running_loop(),
        )

    listener = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with listener:
        server = Server(port=listener.sockets[0].getsockname()[1])
        foreign = replace(email(4), address="jürgen@example.org")
        answer = await send(server, [*EMAILS, foreign], trusting=trusting, security="starttls", **SECRET)
        with pytest.raises(AccountTrouble, match="535"):
            await send(server, trusting=trusting, security="starttls", username="ada", password="other")
    assert answer == Answer()
    assert [envelope.rcpt_tos for envelope in taken] == [[one.address] for one in [*EMAILS, foreign]]
    assert {envelope.mail_from for envelope in taken} == {"news@news.example"}
    message = message_from_bytes(taken[0].content, policy=policy.default)
    assert message["Message-ID"] == f"<{EMAILS[0].key}@news.example>"


@contextmanager
def sink(*options: str) -> Iterator[Server]:
    """Postfix's smtp-sink on a free port."""
    program = shutil.which("smtp-sink", path="/usr/sbin:/usr/bin")
    if not program:
        pytest.skip("smtp-sink (Debian's postfix) is not installed: mail was handed to no server of Postfix")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    as_nobody = ("-u", "nobody") if os.geteuid() == 0 else ()
    command = [program, *as_nobody, *options, f"127.0.0.1:{port}", "50"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    end_at = monotonic() + 10
    try:
        while not answers(port) and monotonic() < end_at:
            assert process.poll() is None, process.communicate()
        yield Server(port=port)
    finally:
        process.terminate()
        process.communicate(timeout=10)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def outcomes(answer: Answer) -> tuple[list[int], list[int], list[int]]:
    return list(answer.refused), list(answer.later), list(answer.unclear)


@pytest.mark.parametrize("pipelining", [(), ("-p",)], ids=["pipelining", "line by line"])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), ([], [], [])),
        (("-r", "RCPT"), ([], [1, 2, 3], [])),
        (("-f", "RCPT"), ([1, 2, 3], [], [])),
        (("-r", "."), ([], [1, 2, 3], [])),
        (("-f", "."), ([1, 2, 3], [], [])),
        (("-q", "."), ([], [2, 3], [1])),
        (("-q", "DATA"), TryLater),
        (("-q", "RCPT"), TryLater),
        (("-r", "MAIL"), TryLater),
        (("-f", "MAIL"), AccountTrouble),
        (("-q", "CONNECT"), TryLater),
    ],
    ids=lambda value: (
        " ".join(value) if isinstance(value, tuple) and all(isinstance(v, str) for v in value) else None
    ),
)
async def test_postfixs_faults_mean_what_they_mean(
    options: Sequence[str], expected: Any, pipelining: Sequence[str]
):
    """450, 500 and hanging up, at every step, by Postfix's own sink: only a lost last answer is in doubt."""
    with sink(*options, *pipelining) as server:
        if isinstance(expected, type):
            with pytest.raises(SendError) as raised:
                await send(server)
            assert type(raised.value) is expected
        else:
            assert outcomes(await send(server)) == expected
