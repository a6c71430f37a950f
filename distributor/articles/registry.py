"""Which pages are which article, and in what order articles came to be public.

A sequence number is given when an article is first seen public. One that was withdrawn and returns gets a
new number: it is new again for those who have not had it, and the ledger knows who has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from distributor.articles.page import UNDATED, Page
from distributor.articles.scan import ScannedFile
from distributor.model import Article, ArticleState
from distributor.store import articles as store
from distributor.store import gate as gate_store
from distributor.store.articles import ArticleRow, PageRow
from distributor.store.gate import Waiting
from distributor.store.restored import RESTORED

BASELINE = "baseline"  # the last sequence number of what was public before the first scan


@dataclass(slots=True)
class Registered:
    """What a scan changed, by key."""

    published: list[str] = field(default_factory=list)  # in the order of their sequence numbers
    withdrawn: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)  # for the public site to show them
    is_first: bool = False  # nothing was known before: what is public is not news


@dataclass(slots=True, kw_only=True)
class _Known:
    """A page of this scan, and the row it has in the index."""

    row: PageRow
    page: Page
    article: Article  # as the page stands now

    @property
    def is_public(self) -> bool:
        return self.article.state is ArticleState.PUBLIC


def register(
    db: Connection,
    read: Sequence[ScannedFile],
    gone: Iterable[str],
    *,
    now: datetime,
    since: datetime | None = None,
    old: Set[str] = frozenset(),
    is_gated: bool = False,
) -> Registered:
    """Bring the index and the articles up to what a scan found, and to what time alone changed.

    On the first scan, what was published before *since* (or all, without it) is numbered up to the baseline.
    Later, *old* are the paths of a source that is read for the first time: what it has counts as known too,
    and gets numbers below all others. *is_gated*: what would be new waits at the gate until it has passed.
    """
    store.lock(db)
    result = Registered(is_first=store.read_fact(db, BASELINE) is None)
    if result.is_first:
        old = frozenset()
    before = {row.path: row for row in store.pages_at(db, {*gone, *(file.path for file in read)})}
    store.forget_pages(db, gone)
    rows = [_row(file, before.get(file.path)) for file in read]
    fresh = {row.path for row in rows}
    rows += (row for row in store.pages_changing(db, until=now) if row.path not in fresh)
    pages = {file.path: file.page for file in read}
    known = [_known(row, now, pages.get(row.path)) for row in rows if row.data is not None]
    unread = [row for row in rows if row.data is None]

    # A ledger that was put back does not know what was announced since: what is public by now is known too.
    is_restored = store.take_fact(db, RESTORED) is not None
    old = {
        entry.row.path
        for entry in known
        if is_restored or (entry.row.path in old and (since is None or entry.article.published_at < since))
    }
    gate = _Gate(db, is_gated, now=now, since=since if result.is_first else None)
    numbered, fresh_articles = _number(db, known, set(gone), old, gate, result)
    gate.close(db)
    if result.is_first:
        _mark_baseline(db, numbered, since)
    _link(known, numbered)
    store.keep_pages(db, unread + [entry.row for entry in known])
    store.keep_addresses(db, _addresses(known))
    touched = {row.article for row in before.values()} | {entry.row.article for entry in known}
    # A fresh article was just written as the first of its pages has it.
    _settle(db, {id_ for id_ in touched if id_ is not None} - fresh_articles, gate, now, result)
    result.waiting = sorted(gate.keys)
    return result


def _row(file: ScannedFile, before: PageRow | None) -> PageRow:
    """What the index keeps of a file; one that is broken for the moment goes on as it was last read."""
    data = file.page.dump() if file.page else before and before.data
    return PageRow(
        path=file.path,
        mtime_ns=file.stamp.mtime_ns,
        size=file.stamp.size,
        data=data or None,
        problems=tuple(file.problems),
        article=before.article if before else None,
    )


def _known(row: PageRow, now: datetime, page: Page | None = None) -> _Known:
    if page is None:
        assert row.data is not None
        page = Page.load(row.data)
    return _Known(row=replace(row, changes_at=page.changes_at(now)), page=page, article=page.at(now))


def _number(
    db: Connection, known: Sequence[_Known], gone: set[str], old: Set[str], gate: _Gate, result: Registered
) -> tuple[dict[str, ArticleRow], set[int]]:
    """Path of each public page -> its article, and the ids of those that are new.

    New and returning ones get the next sequence numbers, those of *old* paths numbers below all others.
    """
    public = sorted(
        (entry for entry in known if entry.is_public),
        key=lambda entry: (entry.article.published_at, entry.article.key, entry.row.path),
    )
    identities = _Identities(db, public, gone)
    baseline = int(store.read_fact(db, BASELINE) or 0)
    first, last = store.first_sequence(db), store.last_sequence(db)
    found: dict[str, ArticleRow] = {}
    fresh: list[str] = []
    returning: list[int] = []
    for entry in public:
        row = identities.find(entry)
        if entry.row.path not in old and (row is None or not row.is_public) and gate.stops(entry, result):
            continue
        if row is None and entry.row.path in old:
            first -= 1
            row = _new_row(entry, first, gate.now)
            fresh.append(entry.row.path)
        elif row is None:
            last += 1
            row = _new_row(entry, last, gate.now)
            fresh.append(entry.row.path)
            result.published.append(row.key)
        elif not row.is_public:
            if row.sequence > baseline and entry.row.path not in old:
                last += 1
                row = replace(row, sequence=last)
                returning.append(row.id)
            row = replace(row, is_public=True)
            store.change_article(db, row)
            result.published.append(row.key)
        identities.learn(entry, row)
        found[entry.row.path] = row
    store.mark_overlapping(db, returning)
    inserted = store.add_articles(db, [found[path] for path in fresh])
    by_sequence = {row.sequence: row for row in inserted}
    numbered = {path: row if row.id else by_sequence[row.sequence] for path, row in found.items()}
    return numbered, {row.id for row in inserted}


class _Gate:
    """Lets articles wait, before they are new, until the public site shows them."""

    def __init__(self, db: Connection, is_shut: bool, *, now: datetime, since: datetime | None) -> None:
        self.now = now
        self._is_shut = is_shut
        self._since = since  # on the first scan: what is older is no news
        self._before = gate_store.waiting(db)
        self._waiting: dict[str, Waiting] = {}
        self.paths: set[str] = set()

    @property
    def keys(self) -> Set[str]:
        return self._waiting.keys()

    def stops(self, entry: _Known, result: Registered) -> bool:
        """Whether an article that would be new has to wait; its page is then looked at each time."""
        article = entry.article
        before = self._before.get(article.key)
        is_news = not result.is_first or (self._since is not None and article.published_at >= self._since)
        if not self._is_shut or not is_news or (before and before.passed_at):
            return False
        self.paths.add(entry.row.path)
        entry.row = replace(entry.row, changes_at=UNDATED)
        self._waiting.setdefault(
            article.key,
            Waiting(
                key=article.key,
                title=article.title,
                url=article.url,
                banner=article.banner,
                qr=article.qr,
                since=before.since if before else self.now,
                ask_at=self.now,
            ),
        )
        return True

    def close(self, db: Connection) -> None:
        if self._waiting or self._before:
            gate_store.keep(db, list(self._waiting.values()))


def _new_row(entry: _Known, sequence: int, now: datetime) -> ArticleRow:
    article = entry.article
    return ArticleRow(
        id=0,
        key=article.key,
        sequence=sequence,
        path=entry.row.path,
        url=article.url,
        title=article.title,
        published_at=article.published_at,
        content_hash=_content_hash(article),
        is_public=True,
        first_public_at=now,
        told=told(article),
    )


def _content_hash(article: Article) -> bytes:
    """What stays the same when a page is only moved."""
    told = (article.title, article.published_at.isoformat(), article.summary, article.source_link or "")
    return hashlib.blake2b("\0".join(told).encode(), digest_size=16).digest()


def told(article: Article) -> bytes:
    """What stays the same while nothing changes that a post could say of an article."""
    wishes = article.wishes
    said = (
        article.url,
        article.title,
        article.summary,
        article.source,
        article.tags,
        article.language,
        article.banner,
        wishes.social_text,
        wishes.alt,
        sorted(wishes.text.items()),
    )
    return hashlib.blake2b(repr(said).encode(errors="surrogatepass"), digest_size=16).digest()


class _Identities:
    """Finds the article that a page is of: by its id, its addresses, its path, or its content."""

    def __init__(self, db: Connection, public: Sequence[_Known], gone: set[str]) -> None:
        articles = [entry.article for entry in public]
        self._by_key = {row.key: row for row in store.articles_by(db, "key", {a.key for a in articles})}
        urls = {url for article in articles for url in (article.url, *article.aliases)}
        self._by_address = store.articles_known_as(db, urls)
        linked = {entry.row.article for entry in public if entry.row.article is not None}
        self._by_id = {row.id: row for row in store.articles_by(db, "id", linked)}
        self._moved = {row.content_hash: row for row in store.articles_by(db, "path", gone)}

    def find(self, entry: _Known) -> ArticleRow | None:
        article = entry.article
        if row := self._by_key.get(article.key):
            return row
        for candidate in self._candidates(entry):
            row = self._by_id.get(candidate.id, candidate)
            # An id of its own makes a page another article, unless the article has had none so far.
            if article.key == article.url or row.key == row.url:
                return row if article.key == article.url else replace(row, key=article.key)
        return None

    def _candidates(self, entry: _Known) -> Iterable[ArticleRow]:
        article = entry.article
        for url in (article.url, *article.aliases):
            if row := self._by_address.get(url):
                yield row
        row = self._by_id.get(entry.row.article or 0)
        # The same file under a new address; but one that is filled anew each day is another article.
        if row and (row.published_at == article.published_at or row.title == article.title):
            yield row
        if row := self._moved.get(_content_hash(article)):
            yield row

    def learn(self, entry: _Known, row: ArticleRow) -> None:
        """Let further pages of this scan be found to be the same article."""
        self._by_key[entry.article.key] = self._by_key[row.key] = row
        if row.id:
            self._by_id[row.id] = row
        for url in (entry.article.url, *entry.article.aliases):
            self._by_address.setdefault(url, row)


def _mark_baseline(db: Connection, numbered: Mapping[str, ArticleRow], since: datetime | None) -> None:
    old = {row.sequence for row in numbered.values() if since is None or row.published_at < since}
    store.keep_fact(db, BASELINE, str(max(old, default=0)))


def _link(known: Iterable[_Known], numbered: Mapping[str, ArticleRow]) -> None:
    for entry in known:
        if row := numbered.get(entry.row.path):
            entry.row = replace(entry.row, article=row.id)


def _addresses(known: Iterable[_Known]) -> dict[str, int]:
    return {
        url: entry.row.article
        for entry in known
        if entry.row.article is not None
        for url in (entry.article.url, *entry.article.aliases)
    }


def _settle(db: Connection, touched: set[int], gate: _Gate, now: datetime, result: Registered) -> None:
    """Let each article be told by one of its public pages, or be withdrawn when it has none left."""
    pages: dict[int, list[_Known]] = {}
    for kept in store.pages_of(db, touched):
        if kept.data is not None and kept.article is not None and kept.path not in gate.paths:
            pages.setdefault(kept.article, []).append(_known(kept, now))
    for row in store.articles_by(db, "id", touched):
        speaking = _speaking(row, pages.get(row.id, ()))
        if speaking is None:
            settled = replace(row, is_public=False)
        else:
            article = speaking.article
            settled = replace(
                row,
                key=article.key if article.key != article.url else row.key,
                path=speaking.row.path,
                url=article.url,
                title=article.title,
                published_at=article.published_at,
                content_hash=_content_hash(article),
                is_public=True,
                told=told(article),
            )
        if settled != row:
            store.change_article(db, settled)
        if row.is_public and not settled.is_public:
            result.withdrawn.append(row.key)


def _speaking(row: ArticleRow, pages: Sequence[_Known]) -> _Known | None:
    """The page that speaks for an article: the one that did, else the first published."""
    public = [entry for entry in pages if entry.is_public]
    return min(
        public,
        key=lambda entry: (entry.row.path != row.path, entry.article.published_at, entry.row.path),
        default=None,
    )
