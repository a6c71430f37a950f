"""What a rendition has wrong, found before it is sent: values in, findings out, no network.

An error is what readers would certainly suffer from, a warning what a person should look at. The renderer
keeps to most of these rules by itself; a publisher's own templates and an author's own HTML need not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from io import BytesIO
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from PIL import Image

from distributor.errors import NotFound
from distributor.model import Digest, Picture, Post
from distributor.rendering import limits, qr
from distributor.rendering import text as counting
from distributor.rendering.fetch import is_public
from distributor.slots import split

# Gmail clips a mail whose HTML is over some 102 kB, and its unsubscribe link with it. No page of Google's
# says so; senders' measurements do (read 2026-08-20). From 90 kB on, a provider that rewrites links for
# counting clicks may take it there.
CLIPPED_BYTES = 102_000
LARGE_BYTES = 90_000

LONG_SUBJECT = 90  # characters; what is shipped never writes more, and most programs show 40 to 70
PREHEADER = range(30, 151)  # characters; shorter wastes the room, longer is not shown
LEAST_TEXT = 0.25  # of the HTML's letters; filters take a text that says much less for a disguise

Severity = Literal["error", "warning"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with a rendition, for a person."""

    rule: str  # "size", "alt", "text", "unsubscribe", "subject", "preheader", "link", "mark", "picture", …
    severity: Severity
    where: str  # "subject", "HTML", "text", …
    message: str  # continues the sentence that `where` begins

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


def held_back(findings: Iterable[Finding]) -> str | None:
    """Why a person has to look before anything is sent; None where nothing is an error."""
    errors = dict.fromkeys(str(finding) for finding in findings if finding.severity == "error")
    return f"lint found: {'; '.join(errors)}" if errors else None


def tally(findings: Iterable[Finding]) -> str:
    """How many there are, as "1 error, 2 warnings", or "nothing"."""
    counts = Counter(finding.severity for finding in findings)
    told = (f"{counts[kind]} {kind}{'' if counts[kind] == 1 else 's'}" for kind in SEVERITIES if counts[kind])
    return ", ".join(told) or "nothing"


def lint_digest(
    digest: Digest,
    *,
    public_url: str,
    is_outbox: bool = False,
) -> list[Finding]:
    """What is wrong with *digest*, errors first.

    *public_url* is where readers' links lead; *is_outbox*: its mails stay in a folder of this machine.
    """
    values = _as_if_for_a_reader(public_url)
    html = split(digest.html).fill(values)
    text = split(digest.text).fill(values, escape=False)
    page = _Page(html)
    found = [
        *_size(html),
        *_subject(digest.subject),
        *_preheader(digest.preheader),
        *_alts(page),
        *_cids(page, digest),
        *_text(text, page),
        *_unsubscribe(values["unsubscribe_url"], page, text),
        *_marks({"subject": digest.subject, "HTML": html, "text": text}),
        *_addresses(page, text, public_url, is_outbox=is_outbox),
    ]
    return _errors_first(found)


def lint_post(
    post: Post,
    *,
    link: Literal["url", "qr", "none"] = "none",
    codes: Sequence[str] | None = None,
    address: str | None = None,
    network: limits.Network | None = None,
) -> list[Finding]:
    """What is wrong with *post*, errors first.

    *link* is what its channel wants. *codes* are what the QR codes in its pictures say, where it is to have
    one; *address* is the article's, where that is known; *network* is what the account's own server takes.
    """
    network = network or limits.network(post.network)
    found = [
        *_post_text(post, network),
        *_post_alts(post, network),
        *_post_pictures(post),
        *_post_link(post, network, link),
        *_marks({"text": post.text}),
        *(_code(post, codes, address) if codes is not None else ()),
    ]
    return _errors_first(found)


def addresses_of(rendition: Digest | Post) -> list[str]:
    """Every web address that readers can follow from it, each once; their own links are not among them."""
    if isinstance(rendition, Post):
        found = [rendition.link or "", *sorted(counting.links(rendition.text))]
    else:
        found = _Page(rendition.html).links
    known = (address.partition("#")[0] for address in found if _is_web(address))
    return list(dict.fromkeys(known))


def codes_in(pictures: Iterable[Picture], read: Callable[[Picture], bytes]) -> list[str]:
    """What the QR codes in *pictures* say; *read* gives a picture's bytes, or raises NotFound."""
    found: list[str] = []
    for picture in pictures:
        with suppress(NotFound):
            found += qr.read(Image.open(BytesIO(read(picture))))
    return found


def dead_links(rendition: Digest | Post, wrong: Mapping[str, str]) -> list[Finding]:
    """The addresses of *rendition* that are in *wrong*, which says of each why it does not answer."""
    return [
        _warning("answer", "link", f"{_short(address)} {wrong[address]}")
        for address in addresses_of(rendition)
        if address in wrong
    ]


def _errors_first(found: Iterable[Finding]) -> list[Finding]:
    return sorted(dict.fromkeys(found), key=lambda finding: finding.severity)


def _error(rule: str, where: str, message: str) -> Finding:
    return Finding(rule=rule, severity="error", where=where, message=message)


def _warning(rule: str, where: str, message: str) -> Finding:
    return Finding(rule=rule, severity="warning", where=where, message=message)


# --- digests ---


def _as_if_for_a_reader(public_url: str) -> dict[str, str]:
    """Values for the slots, as long as real ones."""
    token = "x" * 38  # what `subscribers.tokens` makes
    return {
        "name": "Maximiliane Musterfrau",
        "unsubscribe_url": f"{public_url}/unsubscribe/{token}",
        "preferences_url": f"{public_url}/preferences/{token}",
        "view_url": f"{public_url}/archive/1000000",
    }


class _Page(HTMLParser):
    """What lint looks at in a mail's HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.letters = 0  # that readers see
        self._unseen = 0  # open elements whose text is not shown
        self.feed(html.replace("<![", "<["))  # Outlook's marks, at some of which the parser gives up
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag in ("a", "area") and "href" in attributes:
            self.links.append((attributes["href"] or "").strip())
        elif tag == "img":
            self.images.append(attributes)
        elif tag in ("style", "title"):
            self._unseen += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "title"):
            self._unseen -= 1

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.letters += _letters(data)


def _letters(text: str) -> int:
    return sum(map(str.isalnum, text))


def _size(html: str) -> Iterator[Finding]:
    size = len(html.encode())
    kilobytes = f"is {size / 1000:.0f} kB long"
    if size > CLIPPED_BYTES:
        yield _error("size", "HTML", f"{kilobytes}; Gmail clips what is over {CLIPPED_BYTES // 1000} kB")
    elif size > LARGE_BYTES:
        yield _warning(
            "size", "HTML", f"{kilobytes}; Gmail clips not far above, at {CLIPPED_BYTES // 1000} kB"
        )


def _subject(subject: str) -> Iterator[Finding]:
    said = " ".join(subject.split())
    if not said:
        yield _error("subject", "subject", "is empty")
    if len(said) > LONG_SUBJECT:
        yield _warning("subject", "subject", f"has {len(said)} characters; few programs show more than 70")
    cased = [letter for letter in said if letter.lower() != letter.upper()]
    if len(cased) > 10 and all(map(str.isupper, cased)):
        yield _warning("subject", "subject", "is all capitals, which looks like spam")
    if "!!" in said or said.count("!") > 2:
        yield _warning("subject", "subject", "has many exclamation marks, which looks like spam")


def _preheader(preheader: str) -> Iterator[Finding]:
    length = len(" ".join(preheader.split()))
    if length not in PREHEADER:
        least, most = PREHEADER[0], PREHEADER[-1]
        yield _warning("preheader", "preheader", f"has {length} characters; {least} to {most} are shown well")


def _alts(page: _Page) -> Iterator[Finding]:
    """Without `alt`, a screen reader spells the file's name; `alt=""` says that there is nothing to say."""
    if missing := [image for image in page.images if image.get("alt", "") is None or "alt" not in image]:
        shown = _some(image.get("src") or "(no address)" for image in missing)
        yield _error("alt", "HTML", f"{_pictures(len(missing))} no alternative text: {shown}")


def _cids(page: _Page, digest: Digest) -> Iterator[Finding]:
    within = {f"cid:{picture.hash}" for picture in digest.pictures}
    named = {image.get("src") or "" for image in page.images}
    if missing := sorted(src for src in named if src.startswith("cid:") and src not in within):
        yield _error("picture", "HTML", f"shows what is not in the mail: {_some(missing)}")


def _text(text: str, page: _Page) -> Iterator[Finding]:
    said = _letters(re.sub(r"https?://\S+", "", text))
    if not said:
        yield _error("text", "text", "is empty")
    elif said < LEAST_TEXT * page.letters:
        yield _warning("text", "text", f"has {said:,} letters where the HTML has {page.letters:,}")


def _unsubscribe(address: str, page: _Page, text: str) -> Iterator[Finding]:
    """Google's and Yahoo's rules for senders want the link in the mail itself, besides its header."""
    if address not in page.links:
        yield _error("unsubscribe", "HTML", "has no link to unsubscribe (slots.unsubscribe_url)")
    if address not in text:
        yield _error("unsubscribe", "text", "has no link to unsubscribe (slots.unsubscribe_url)")


def _addresses(page: _Page, text: str, public_url: str, *, is_outbox: bool) -> Iterator[Finding]:
    loaded = [src for image in page.images if not (src := image.get("src") or "").startswith("cid:")]
    if broken := [link for link in (*page.links, *loaded) if not _leads_somewhere(link)]:
        yield _error("link", "HTML", f"has addresses that lead nowhere from a mail: {_some(broken)}")
    web = filter(_is_web, (*page.links, *loaded, *counting.links(text)))
    nearby: dict[str, str] = {}  # host -> one of its addresses
    for address in web:
        if _reach(address) != "everybody" and not (is_outbox and f"{address}/".startswith(f"{public_url}/")):
            nearby.setdefault(urlsplit(address).hostname or "", address)
    for host, address in nearby.items():
        ours = f"{address}/".startswith(f"{public_url}/")
        remedy = "set [web] public_url" if ours else f"in {_short(address)}"
        if _reach(address) == "machine" and not is_outbox:
            yield _error("link", "link", f"{host} is every reader's own machine; {remedy}")
        else:
            yield _warning("link", "link", f"{host} is not in the public internet; {remedy}")


def _leads_somewhere(address: str) -> bool:
    """A web address, a mail address, a telephone number, or a place in the mail itself."""
    return _is_web(address) or bool(re.match(r"(?i)mailto:.|tel:.|#.", address))


def _is_web(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


NEARBY = (".local", ".internal", ".lan", ".home.arpa")  # RFC 6762, RFC 8375; ICANN keeps .internal free


def _reach(address: str) -> Literal["machine", "network", "everybody"]:
    """Who can follow a web address: this machine alone, its network, or everybody."""
    host = (urlsplit(address).hostname or "").rstrip(".")
    try:
        ip = ip_address(host)
    except ValueError:  # a name
        if host == "localhost" or host.endswith(".localhost"):
            return "machine"
        return "network" if "." not in host or host.endswith(NEARBY) else "everybody"
    if ip.is_loopback or ip.is_unspecified:
        return "machine"
    return "everybody" if is_public(host) else "network"


# --- posts ---


def _post_text(post: Post, network: limits.Network) -> Iterator[Finding]:
    if not post.text.strip() and not post.payload:
        yield _error("text", "text", "is empty")
    for size in counting.sizes(post.text, post.network, with_picture=bool(post.pictures)):
        if size.count > size.limit:
            yield _error("size", "text", f"is too long for {network.name}: {size}")
    most, count = network.links_at_most, len(counting.links(post.text))
    if most is not None and count > most:
        yield _error("size", "text", f"has {count} addresses, and {network.name} takes {most}")


def _post_alts(post: Post, network: limits.Network) -> Iterator[Finding]:
    if network.alt is None:
        return
    for picture in post.pictures:
        count = counting.count(picture.alt, network.alt.counted)
        if not picture.alt.strip():
            yield _error("alt", "picture", f"{picture.name} has no alternative text")
        elif count > network.alt.at_most:
            too_long = f"the alternative text is too long for {network.name}"
            yield _error("alt", "picture", f"{too_long}: {count} of {network.alt.at_most}")


def _post_pictures(post: Post) -> Iterator[Finding]:
    """What was drawn in place of a banner that the article names; a QR code is right when it is drawn."""
    for picture in post.pictures:
        if (picture.note or "").startswith("drawn: the banner"):
            yield _warning("picture", "picture", f"was {picture.note}")


def _post_link(post: Post, network: limits.Network, wanted: str) -> Iterator[Finding]:
    if wanted != "url" or network.links == "none":
        return
    if not post.link:
        yield _warning("link", "text", "carries no link to the article")
    elif not _is_web(post.link):
        yield _error("link", "link", f"{_short(post.link)} leads nowhere from a post")
    elif _reach(post.link) != "everybody":
        yield _warning("link", "link", f"{_short(post.link)} is not in the public internet")


def _code(post: Post, codes: Sequence[str], address: str | None) -> Iterator[Finding]:
    """Of several codes one is enough: a banner may show a poster that has its own."""
    if not codes:
        found = _warning if post.link else _error  # without a link it is all that leads to the article
        yield found("qr", "picture", "has no QR code that can be read")
    elif address and not any(qr.leads_to_page(said, address) for said in codes):
        yield _warning("qr", "picture", f"has a QR code that leads to {_some(codes)}, not to the article")


# --- both ---

_JINJA = re.compile(r"\{\{.{0,40}|\{%.{0,40}")


def _marks(parts: Mapping[str, str]) -> Iterator[Finding]:
    """What should have been filled in. Braces may be an article's own, a mark cannot (`slots.neutral`)."""
    for where, content in parts.items():
        if marks := re.findall(r"@@\w{1,40}@@", content):
            yield _error("mark", where, f"has a slot that nothing fills: {_some(marks)}")
        if braces := _JINJA.findall(re.sub(r"(?s)<style\b.*?</style>", "", content)):
            yield _warning("mark", where, f"has what looks like a template's mark: {_some(braces)}")


def _pictures(count: int) -> str:
    return "a picture has" if count == 1 else f"{count} pictures have"


def _some(names: Iterable[str]) -> str:
    """The first of *names*, and how many more there are."""
    known = list(dict.fromkeys(names))
    more = f" and {len(known) - 3} more" if len(known) > 3 else ""
    return ", ".join(_short(name) or "(empty)" for name in known[:3]) + more


def _short(name: str) -> str:
    plain = " ".join(name.split())
    return plain if len(plain) <= 80 else f"{plain[:79]}…"
