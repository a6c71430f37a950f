"""DKIM: signatures as another's verifier sees them, and keys that cannot sign."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dkim as verifier
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from distributor.errors import AccountTrouble
from distributor.model import Digest
from distributor.providers.dkim import key_of, signature
from distributor.providers.email.mime import Message, Sender
from tests.providers.contract import DIGEST, PICTURED, SENDER, email
from tests.providers.test_smtp import Server, listening, send

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
REQUIRED = {  # RFC 8058 wants its two signed, receivers' guidelines the others
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "list-id",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "mime-version",
    "content-type",
}


def in_dns(name: bytes, **_: Any) -> bytes | None:
    """The public key, as the domain's DNS has it."""
    public = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    words = b"".join(public.splitlines()[1:-1])
    return b"v=DKIM1; k=rsa; p=" + words if name == b"june._domainkey.news.example." else None


def is_good(mail: bytes) -> bool:
    return bool(verifier.verify(mail, dnsfunc=in_dns))


def signed(message: bytes) -> bytes:
    return signature(message, domain="news.example", selector="june", key=KEY) + message


def written(digest: Digest = DIGEST, sender: Sender = SENDER) -> bytes:
    message = Message(digest, sender, date=datetime(2026, 6, 1, 7, tzinfo=UTC), media=lambda picture: b"PNG")
    return message.to(email(1))


@pytest.mark.parametrize(
    "message",
    [
        written(),
        written(PICTURED),
        written(replace(DIGEST, subject="A subject that goes on and on " * 12)),
        written(sender=replace(SENDER, reply_to="Zoë <zoe@news.example>")),
    ],
    ids=["plain", "pictures", "folded", "reply-to"],
)
def test_anybody_can_verify_a_signature(message: bytes):
    """dkimpy finds it good, whatever the mail has in it, and it covers what receivers ask for."""
    mail = signed(message)
    assert is_good(mail)
    [named] = re.findall(r"\bh=([^;]+);", mail.partition(b"\r\n\r\n")[0].decode())
    assert set(re.split(r"\s*:\s*", named)) >= REQUIRED
    assert max(map(len, mail.partition(b"\r\n\r\n")[0].split(b"\r\n"))) <= 120


@pytest.mark.parametrize(
    "change",
    [
        lambda mail: mail.replace(b"Hello", b"Hullo", 1),
        lambda mail: mail + b"more\r\n",
        lambda mail: re.sub(rb"\r\nSubject: ", rb"\r\nSubject: Re ", mail, count=1),
        lambda mail: mail.replace(b"/unsubscribe/token1>", b"/unsubscribe/token2>", 1),
        lambda mail: mail.replace(b"List-Unsubscribe-Post: ", b"List-Unsubscribe-Past: ", 1),
        lambda mail: b"From: Evil <evil@example.org>\r\n" + mail,
        lambda mail: b"Subject: Another\r\n" + mail,
        lambda mail: mail.replace(b"d=news.example", b"d=evil.example", 1),
    ],
)
def test_a_changed_mail_is_found_out(change: Callable[[bytes], bytes]):
    """A change to the body or to a header, and a header that is added, break the signature."""
    mail = signed(written())
    changed = change(mail)
    assert changed != mail
    assert not is_good(changed)


@pytest.mark.parametrize(
    "change",
    [
        lambda mail: mail.replace(b"Subject: ", b"SUBJECT:  ", 1),
        lambda mail: mail + b"\r\n\r\n",
        lambda mail: b"Received: from somewhere\r\n" + mail,
    ],
)
def test_what_happens_on_the_way_is_borne(change: Callable[[bytes], bytes]):
    """Spaces, empty lines at the end and marks of servers on the way leave it good."""
    assert is_good(change(signed(written())))


LINES = st.lists(st.text(alphabet="ab \t.=", max_size=6), max_size=6)


@settings(max_examples=60, deadline=None)
@given(LINES)
def test_any_spacing_is_canonical(lines: list[str]):
    """Runs of spaces, tabs, empty lines and no lines at all are read as dkimpy reads them."""
    body = "".join(f"{line}\r\n" for line in lines)
    assert is_good(signed(b"From: a@news.example\r\nSubject:  x \t y\r\n z\r\n\r\n" + body.encode()))


# --- keys ---


def pem(key: Any, *, password: bytes | None = None) -> bytes:
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    data: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    return data


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is no private key in PEM"),
        (b"-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n", "is no private key in PEM"),
        (KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1), "PEM"),
        (pem(KEY, password=b"secret"), "is locked with a password"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "is no RSA key"),
    ],
    ids=["missing", "empty", "nonsense", "public", "locked", "another kind"],
)
def test_a_key_that_cannot_sign_is_named(tmp_path: Path, content: bytes | None, reason: str):
    """The file, what is wrong with it and what to do are told to a person, for whom the account waits."""
    file = tmp_path / "dkim.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(AccountTrouble, match=reason) as raised:
        key_of(file)
    assert str(raised.value).startswith(f"{file}: ")
    assert "dkim.key_file" in str(raised.value)


@pytest.mark.anyio
async def test_mails_are_signed_where_a_key_is_configured(tmp_path: Path):
    """Each reader's message arrives with a signature of its own; without a key nothing is handed over."""
    file = tmp_path / "dkim.pem"
    dkim = {"selector": "june", "key_file": file}
    async with listening(Server()) as server:
        with pytest.raises(AccountTrouble, match="No such file"):
            await send(server, dkim=dkim)
        assert server.connections == 0
        file.write_bytes(pem(KEY))
        await send(server, dkim=dkim)
        await send(server, dkim=dkim | {"domain": "other.example"})
    mails = [content.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.") for _, content in server.taken]
    assert [is_good(mail) for mail in mails] == [True] * 3 + [False] * 3
    assert b"d=other.example;" in mails[3]
