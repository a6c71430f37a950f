"""A folder to look at before anything is sent: digests in their frames, posts as their networks show them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import regex
from markupsafe import Markup

from distributor.model import Digest, Picture, Post
from distributor.rendering import limits, payloads, text
from distributor.rendering.digest import MAX_BYTES
from distributor.rendering.environment import environment, render
from distributor.rendering.filters import direction
from distributor.rendering.lint import Finding, tally
from distributor.slots import split

SAMPLE: Mapping[str, str] = {  # what the readers' slots show
    "name": "Robin Reader",
    "unsubscribe_url": "https://example.org/unsubscribe/sample",
    "preferences_url": "https://example.org/preferences/sample",
    "view_url": "https://example.org/archive/sample",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewDigest:
    """An edition as one cohort gets it."""

    newsletter: str  # its title
    cohort: str  # who they are: "daily · harbour, culture"
    digest: Digest
    readers: int | None = None
    pictures: tuple[Picture, ...] = ()  # those that the HTML links to at their own addresses
    notes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] | None = None  # of lint; None: nobody looked
    remarks: tuple[str, ...] = ()  # what lint says besides


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewPost:
    """A post on one channel."""

    channel: str
    account: str  # the name that readers see
    post: Post
    findings: tuple[Finding, ...] | None = None
    network: limits.Network | None = None  # what the account's own server takes


def write_preview(
    folder: Path,
    *,
    title: str,
    digests: Sequence[PreviewDigest],
    posts: Sequence[PreviewPost],
    media: Path,
    remarks: Sequence[str] = (),
) -> Path:
    """Write *folder* as a page that opens from the disk without a network, and give its `index.html`.

    *media* is the folder of the pictures; those that are shown are copied. What the folder has already under
    the same names is replaced, anything else stays. *remarks* are what lint says of all of it.
    """
    (folder / "digests").mkdir(parents=True, exist_ok=True)
    (folder / "media").mkdir(exist_ok=True)
    shelf = _Shelf(media=media, folder=folder / "media")
    page = render(
        environment(None, "preview"),
        "index.html.j2",
        title=title,
        digests=[_digest(place, shown, folder, shelf) for place, shown in enumerate(digests, 1)],
        articles=_by_article([_post(shown, shelf) for shown in posts]),
        posts=len(posts),
        tally=_tally([*digests, *posts]),
        remarks=remarks,
    )
    index = folder / "index.html"
    _write(index, page)
    return index


def _tally(shown: Sequence[PreviewDigest | PreviewPost]) -> str:
    """How much lint found in all of them, each kind once; empty where nobody looked."""
    looked_at = [each.findings for each in shown if each.findings is not None]
    return tally({finding for findings in looked_at for finding in findings}) if looked_at else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shelf:
    """The pictures that the page shows, beside it."""

    media: Path
    folder: Path

    def place(self, name: str) -> str | None:
        """Where the page finds the picture *name*; None where there is none."""
        source, copy = self.media / name, self.folder / name
        if not source.is_file():
            return None
        if not copy.is_file() or copy.stat().st_size != source.stat().st_size:
            shutil.copyfile(source, copy)
        return f"media/{name}"

    def named(self, hash_: str) -> str | None:
        """The same for a picture of which only the hash is known."""
        found = sorted(self.media.glob(f"{hash_}.*"))
        return self.place(found[0].name) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meter:
    """A size and how much of its limit it takes."""

    says: str
    percent: int
    fits: bool


def _digest(place: int, shown: PreviewDigest, folder: Path, shelf: _Shelf) -> dict[str, object]:
    digest = shown.digest
    name = f"{place:02d}-{_slug(shown.newsletter)}"
    _write(folder / "digests" / f"{name}.html", _offline(shown, shelf))
    _write(folder / "digests" / f"{name}.txt", split(digest.text).fill(SAMPLE, escape=False))
    size = len(split(digest.html).fill(SAMPLE).encode())
    kilobytes = f"HTML {size / 1000:.1f} of {MAX_BYTES / 1000:.0f} kB"
    return {
        "newsletter": shown.newsletter,
        "at_once": place <= 3,  # further frames load when they come into view
        "initial": _initial(shown.newsletter),
        "cohort": shown.cohort,
        "readers": shown.readers,
        "subject": split(digest.subject).fill(SAMPLE, escape=False),
        "preheader": split(digest.preheader).fill(SAMPLE, escape=False),
        "html": f"digests/{name}.html",
        "text": f"digests/{name}.txt",
        "meter": _meter(kilobytes, size, MAX_BYTES),
        "roles": Counter(carried.role for carried in digest.articles),
        "articles": digest.articles,
        "notes": (*shown.notes, *_notes((*shown.pictures, *digest.pictures))),
        "findings": shown.findings,
        "remarks": shown.remarks,
    }


_HASHED = regex.compile(r"""(?:cid:|https?://[^\s"'<>()]*/)([0-9a-f]{64})(?:\.\w+)?""")


def _offline(shown: PreviewDigest, shelf: _Shelf) -> str:
    """The digest's HTML with the readers' slots filled and its pictures beside it; links open elsewhere."""
    html = split(shown.digest.html).fill(SAMPLE)
    for picture in (*shown.pictures, *shown.digest.pictures):
        if picture.url and (placed := shelf.place(picture.name)):
            html = html.replace(f'src="{escape(picture.url)}"', f'src="../{placed}"')

    def local(match: regex.Match[str]) -> str:
        placed = shelf.named(match[1])
        return f"../{placed}" if placed else match[0]

    html = _HASHED.sub(local, html)
    return str(regex.sub(r"(<head\b[^>]*>)", r'\1<base target="_blank">', html, count=1))


def _post(shown: PreviewPost, shelf: _Shelf) -> dict[str, object]:
    post = shown.post
    network = shown.network or limits.network(post.network)
    carded = _is_carded(post)
    pictures = [_picture(picture, network, shelf) for picture in post.pictures]
    sizes = text.sizes(post.text, network, with_picture=bool(post.pictures))
    return {
        "key": post.articles[0].key if post.articles else post.title,
        "title": post.title,
        "summary": post.summary,
        "channel": shown.channel,
        "account": shown.account,
        "initial": _initial(shown.account),
        "network": post.network,
        "network_name": network.name,
        "language": post.language,
        "direction": direction(post.language),
        "says": "" if _is_said_by_card(post) else linked(post),
        "more": [linked(replace(post, text=part)) for part in post.more_text],
        "link": post.link,
        "host": payloads.host(post.link) if post.link else "",
        "carded": carded,
        "pictures": [] if carded else pictures,
        "thumbnails": pictures if carded else [],
        "meters": [_meter(str(size), size.count, size.limit) for size in sizes],
        "alts": pictures,
        "notes": (*post.notes, *_notes(post.pictures)),
        "findings": shown.findings,
        "remarks": (),
        "payload": json.dumps(post.payload, ensure_ascii=False, indent=2),
    }


def _is_carded(post: Post) -> bool:
    """Whether readers see a link card: ours if the payload has one, theirs if no picture goes before."""
    embed = post.payload.get("embed", {})
    ours = "embeds" in post.payload or "article" in post.payload.get("content", ()) or "external" in embed
    return bool(post.link) and (ours or not post.pictures)


def _is_said_by_card(post: Post) -> bool:
    return "embeds" in post.payload and "content" not in post.payload


def _picture(picture: Picture, network: limits.Network, shelf: _Shelf) -> dict[str, object]:
    limit = network.alt
    size = limit and text.Size(
        count=text.count(picture.alt, limit.counted), limit=limit.at_most, counted=limit.counted
    )
    return {
        "src": shelf.place(picture.name),
        "width": picture.width,
        "height": picture.height,
        "alt": picture.alt,
        "size": str(size) if size else f"{network.name} takes no alternative text",
    }


def linked(post: Post) -> Markup:
    """The post's text as HTML, with what its network makes clickable."""
    network = limits.network(post.network)
    pieces, position = [], 0
    for start, end, address in sorted(_clickable(post, network)):
        words = post.text[start:end]
        pieces.append(escape(post.text[position:start]))
        if address:
            pieces.append(
                f'<a href="{escape(address)}" rel="noopener noreferrer" target="_blank">{escape(words)}</a>'
            )
        else:
            pieces.append(f'<span class="tag">{escape(words)}</span>')
        position = end
    return Markup("".join([*pieces, escape(post.text[position:])]))  # noqa: S704 - every piece is escaped above


def _clickable(post: Post, network: limits.Network) -> Iterator[tuple[int, int, str]]:
    """Ranges of the text, each with the address it leads to; none for hashtags and mentions."""
    if network.links == "facets":
        for start, end, kind, target in payloads.marks(post.text, post.link):
            yield start, end, target if kind == "link" else ""
        return
    for span in text.spans(post.text):
        if span.kind == "link" and network.links == "text":
            yield span.start, span.end, span.text
        elif span.kind == "mention" or (span.kind == "hashtag" and network.hashtags):
            yield span.start, span.end, ""


def _by_article(posts: Iterable[dict[str, object]]) -> list[tuple[str, list[dict[str, object]]]]:
    """Posts of one article together, in the order in which articles come first."""
    order: dict[object, list[dict[str, object]]] = {}
    for post in posts:
        order.setdefault(post["key"], []).append(post)
    return [(str(group[0]["title"]), group) for group in order.values()]


def _notes(pictures: Iterable[Picture]) -> Iterator[str]:
    return (
        f"Picture “{text.clean(picture.alt)[:60]}”: {picture.note}" for picture in pictures if picture.note
    )


def _meter(says: str, count: int, limit: int) -> _Meter:
    return _Meter(says=says, percent=min(100, round(100 * count / limit)), fits=count <= limit)


def _initial(name: str) -> str:
    letters = text.graphemes(regex.sub(r"^(?:the|der|die|das|le|la|el)\s+", "", text.clean(name).lower()))
    return letters[0].upper() if letters else "•"


def _slug(name: str) -> str:
    return "-".join(regex.findall(r"[a-z0-9]+", name.lower()))[:40] or "digest"


def _write(path: Path, page: str) -> None:
    """Replace the file at *path* in one step."""
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        file.write(page)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)
