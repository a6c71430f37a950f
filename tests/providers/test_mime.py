"""Mails as the standard library's parser, and every server on the way, reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distributor.model import Digest, Email, Picture
from distributor.providers.email.mime import Message, Sender
from distributor.slots import MARKS, split

DATE = datetime(2026, 6, 1, 7, tzinfo=UTC)
PICTURE = Picture(hash="ab" * 32, media_type="image/jpeg", width=2, height=1, size=4, alt="Gulls")
SENDER = Sender(
    from_="The Morning <news@news.example>", reply_to=None, list_name="The Morning", list_label="morning"
)
DIGEST = Digest(
    subject="The bridge is open – 橋 🌉",
    preheader="After eleven years",
    html=(
        "<!doctype html>\n<html lang='en'><body style=\"margin:0\"><p>Hello {name}, "
        + "the bridge is open. " * 20
        + '</p>\n.\n<a href="{unsubscribe_url}">Leave</a> <a href="{view_url}">View</a> \t\n</body></html>'
    ).format(**MARKS),
    text="Hello {name},\n\n.\nFrom here on: {unsubscribe_url}\ntrailing \n 橋は開いた 🌉\n".format(**MARKS),
)
ADA = Email(
    key="7-41-ab12cd34",
    recipient=41,
    address="ada@example.org",
    name="Ada Lovelace",
    slots={
        "name": "Ada <3 & \"friends\" 'of' =41",
        "unsubscribe_url": "https://mail.news.example/unsubscribe/" + "x" * 90,
        "preferences_url": "https://mail.news.example/preferences/x?a=1&b=2",
        "view_url": "https://mail.news.example/archive/7",
        "confirm_url": "https://mail.news.example/confirm/" + "y" * 90,
    },
)


def media(picture: Picture) -> bytes:
    return b"\xff\xd8\xff\xd9"


def written(digest: Digest = DIGEST, sender: Sender = SENDER, email: Email = ADA) -> bytes:
    return Message(digest, sender, date=DATE, media=media).to(email)


def parsed(data: bytes) -> EmailMessage:
    return message_from_bytes(data, policy=policy.default)


def body(message: EmailMessage, kind: str) -> str:
    """The decoded text of one part, with simple line ends and without the last."""
    part = message.get_body((kind,))
    assert part is not None
    assert part.get_content_charset() == "utf-8"
    return str(part.get_content()).replace("\r\n", "\n").removesuffix("\n")


def recipient(data: bytes) -> tuple[str, str]:
    """Display name and address of the one recipient, joining encoded words as RFC 2047 does."""
    raw = message_from_bytes(data)["To"]
    name, address = parseaddr(raw)
    return str(make_header(decode_header(name))), address


def filled(content: str, slots: Mapping[str, str], *, escape: bool) -> str:
    text = split(content).fill(slots, escape=escape)
    # Two ways to write the same two characters of HTML.
    return text.replace("&#34;", "&quot;").replace("&#39;", "&#x27;")


def assert_wellformed(data: bytes) -> EmailMessage:
    """What RFC 5322 asks of any message: CRLF, short lines, each header once, and nothing to complain of."""
    assert data.replace(b"\r\n", b"").count(b"\r") == 0
    assert data.replace(b"\r\n", b"").count(b"\n") == 0
    assert max(map(len, data.split(b"\r\n"))) <= 998
    message = parsed(data)
    names = [name.lower() for name in message]
    assert sorted(names) == sorted(set(names))
    assert {"from", "to", "date", "message-id", "subject", "mime-version"} <= set(names)
    for part in message.walk():
        assert part.defects == []
        for name, value in part.items():
            assert not getattr(value, "defects", ()), (name, value.defects)
    return message


def test_a_mail_has_the_filled_text_and_html():
    """Both parts are, byte for byte, what the slots filled in make of the digest."""
    message = assert_wellformed(written())
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert body(message, "plain") == filled(DIGEST.text, ADA.slots, escape=False)
    assert body(message, "html") == filled(DIGEST.html, ADA.slots, escape=True)


def test_its_lines_are_short():
    """Encoded lines keep to 76 characters, wherever a slot falls, and headers to 78 but for addresses."""
    head, _, rest = written().partition(b"\r\n\r\n")
    assert max(map(len, rest.split(b"\r\n"))) <= 76
    assert max(len(line) for line in head.split(b"\r\n") if b"://" not in line) <= 78


def test_its_headers_say_who_and_what():
    """The headers that servers, filters and one-click buttons look for, each in its form."""
    message = assert_wellformed(written(sender=replace(SENDER, reply_to="Editors <desk@news.example>")))
    assert message["From"] == "The Morning <news@news.example>"
    assert message["Reply-To"] == "Editors <desk@news.example>"
    assert message["To"] == "Ada Lovelace <ada@example.org>"
    assert message["Subject"] == DIGEST.subject
    assert message["Date"].datetime == DATE
    assert message["Message-ID"] == "<7-41-ab12cd34@news.example>"
    assert message["List-Id"] == "The Morning <morning.news.example>"
    assert message["List-Unsubscribe"] == f"<{ADA.slots['unsubscribe_url']}>"  # RFC 8058
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["Content-Language"] == "en"
    assert "Sender" not in message


def test_an_inline_picture_travels_with_the_html():
    """A picture that the HTML names by its content id is a related part under that id."""
    digest = replace(DIGEST, html=f'<img src="cid:{PICTURE.hash}" alt="Gulls">', pictures=(PICTURE,))
    message = assert_wellformed(written(digest))
    related = message.get_body(("related",))
    assert related is not None
    html, picture = cast(EmailMessage, related).iter_parts()
    assert html.get_content_type() == "text/html"
    assert f"cid:{PICTURE.hash}" in body(message, "html")
    assert picture["Content-ID"] == f"<{PICTURE.hash}>"
    assert picture.get_content_type() == "image/jpeg"
    assert picture.get_content_disposition() == "inline"
    assert picture.get_filename() == PICTURE.name
    assert picture.get_content() == media(PICTURE)


def test_repeating_it_repeats_every_byte():
    """A message made again, say after a crash, is the same file; another reader's or digest's is not."""
    digest = replace(DIGEST, pictures=(PICTURE,))
    assert written(digest) == written(digest)
    assert written(digest) != written(digest, email=replace(ADA, name="Bea"))
    boundary = parsed(written(digest)).get_boundary()
    assert boundary != parsed(written(replace(digest, subject="Another"))).get_boundary()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", ""),
        ("   ", ""),
        ("Ada", "Ada"),
        ("Lovelace, Ada", "Lovelace, Ada"),
        ('Ada "the \\ first" (or so)', 'Ada "the \\ first" (or so)'),
        ("evil@example.com", "evil@example.com"),
        ("x <evil@example.com>", "x <evil@example.com>"),
        ("Ada\r\nBcc: evil@example.com", "Ada Bcc: evil@example.com"),
        ("Ada\x00\u2028\x85B", "Ada B"),
        ("=?utf-8?q?Bob?=", "=?utf-8?q?Bob?="),
        ("林黛玉 🌸", "林黛玉 🌸"),
        ("ضحى עדה", "ضحى עדה"),
        ("A" * 300, "A" * 300),
        ("長い名前" * 60, "長い名前" * 60),
        (':;@,.<>[]()\\"', ':;@,.<>[]()\\"'),
    ],
)
def test_any_name_is_only_a_name(name: str, shown: str):
    """Whatever readers call themselves, the mail goes to one address under that name."""
    data = written(email=replace(ADA, name=name))
    assert len(assert_wellformed(data)["To"].addresses) == 1
    assert recipient(data) == (shown, ADA.address)
    assert parsed(data)["Bcc"] is None


@pytest.mark.parametrize(
    ("address", "written_as"),
    [
        ("o'neil+news@example.org", b"To: Ada Lovelace <o'neil+news@example.org>"),
        ("ada@bücher.example", b"To: Ada Lovelace <ada@xn--bcher-kva.example>"),  # RFC 5890
        ("用户@例子.广告", "To: Ada Lovelace <用户@例子.广告>".encode()),  # RFC 6532
        ("x" * 64 + "@" + "y" * 60 + ".example", b"<" + b"x" * 64 + b"@" + b"y" * 60 + b".example>"),
    ],
)
def test_addresses_of_all_scripts(address: str, written_as: bytes):
    """Domains are written in ASCII, and UTF-8 where the local part needs it."""
    data = written(email=replace(ADA, address=address))
    head = data.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ")
    assert written_as in head


def test_a_sender_of_any_script():
    """A newsletter's title and domain may be in any script; its list id stays ASCII."""
    sender = Sender(
        from_="日本新聞: 朝刊 <news@bücher.example>",
        reply_to=None,
        list_name="日本新聞, 朝刊",
        list_label="朝刊",
    )
    message = assert_wellformed(written(sender=sender))
    [origin] = message["From"].addresses
    assert (origin.display_name, origin.addr_spec) == ("日本新聞: 朝刊", "news@xn--bcher-kva.example")
    assert message["Message-ID"].endswith("@xn--bcher-kva.example>")
    phrase, _, identity = message["List-Id"].rpartition(" ")
    assert phrase == "日本新聞, 朝刊"
    assert re.fullmatch(r"<[a-z0-9-]+\.xn--bcher-kva\.example>", identity)


def test_every_newsletter_has_its_own_list_id():
    """Names that differ only in what a domain name cannot hold are still told apart, the same every time."""
    labels = ("morning", "Die Zeitung", "die-zeitung", "die_zeitung", "朝刊", "夕刊", "ملخص")
    ids = [parsed(written(sender=replace(SENDER, list_label=label)))["List-Id"] for label in labels]
    assert len(set(ids)) == len(labels)
    assert ids[0].endswith("<morning.news.example>")
    assert ids == [parsed(written(sender=replace(SENDER, list_label=label)))["List-Id"] for label in labels]


@pytest.mark.parametrize(
    ("language", "header"), [("pt-BR", "pt-BR"), ("", None), ("en\r\nBcc: x@y.example", None), ("日本", None)]
)
def test_a_language_is_one_or_is_left_out(language: str, header: str | None):
    """An article's language comes from outside, and is no way into the headers."""
    assert assert_wellformed(written(replace(DIGEST, language=language)))["Content-Language"] == header


def test_no_article_can_act_as_the_frame():
    """Text that looks like a boundary, a header or a mark of ours is only text."""
    frame = written().decode()
    marks = re.findall(r"[0-9a-f]{32}", frame)
    assert marks
    hostile = "\n".join(["PLACE-OF-TEXT", *marks, *(f"--=_{mark}" for mark in marks), "Bcc: x@y.example", ""])
    digest = replace(DIGEST, subject=" ".join(marks), text=hostile, html=hostile)
    message = assert_wellformed(written(digest))
    assert message["Subject"] == " ".join(marks)
    assert body(message, "plain") == hostile
    assert body(message, "html") == hostile


words = st.text(max_size=40) | st.text('a =?_@<>,;:"\\\r\n\t\x00\x85\u2028.漢🌊é', max_size=200)
contents = st.lists(
    st.sampled_from([*MARKS.values(), "\n", "\r\n", " \n", "=", ".", "\x00", "a" * 200]) | words
)


def clean(text: str) -> str:
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text).split())


@settings(deadline=None, max_examples=150)
@given(name=words, subject=words, title=words, slot=words, text=contents.map("".join))
def test_nothing_breaks_the_form_of_a_mail(name: str, subject: str, title: str, slot: str, text: str):
    """Whatever names, titles and articles say, headers stay ours and both parts come out as they went in."""
    slots = {**ADA.slots, "name": slot}
    email = replace(ADA, name=name, slots=slots)
    digest = replace(DIGEST, subject=subject, text=text, html=text)
    data = written(digest, replace(SENDER, list_name=title), email)
    message = assert_wellformed(data)
    assert set(message.keys()) == set(parsed(written()).keys())
    assert message["Subject"] == clean(subject)
    assert recipient(data) == (clean(name), ADA.address)
    assert str(message["List-Id"]) == f"{_quoted(clean(title))} <morning.news.example>".lstrip()
    for kind, is_escaped in (("plain", False), ("html", True)):
        want = filled(text, slots, escape=is_escaped).replace("\r\n", "\n").replace("\r", "\n")
        part = cast(EmailMessage, message.get_body((kind,)))
        got = str(part.get_content()).replace("\r\n", "\n")
        assert got == want + "\n"


def _quoted(title: str) -> str:
    """A title as the List-Id header shows it, which no parser takes apart."""
    needs = (
        title.isascii()
        and len(title) <= 64
        and "=?" not in title
        and re.search(r"[^\w !#-'*+/=?^`{|}~-]", title)
    )
    return '"' + title.replace("\\", "\\\\").replace('"', '\\"') + '"' if needs else title
