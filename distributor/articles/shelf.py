"""The articles that were registered, as values again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from distributor.articles.hugo import HugoSite
from distributor.articles.page import Page
from distributor.errors import NotFound
from distributor.model import Article, ArticleState
from distributor.store import articles as store
from distributor.store.articles import ArticleRow

FEED = "feed:"  # before a feed entry's id, so that it is never taken for a file
Entry = tuple[int, Article]  # with its id in the ledger


class Shelf:
    """Gives articles by number or name, as they stand at a moment."""

    def __init__(self, site: HugoSite | None) -> None:
        self._site = site

    def public(
        self, db: Connection, *, beyond: int, now: datetime, since: datetime | None = None
    ) -> list[Entry]:
        """What is public and came after *beyond*, in the order of the sequence numbers."""
        entries = self._told(db, store.public_beyond(db, beyond, since=since), now)
        return [entry for entry in entries if entry[1].state is ArticleState.PUBLIC]

    def named(self, db: Connection, keys: Sequence[str], *, now: datetime) -> list[Entry]:
        """The public articles with these keys, in this order.

        Raises:
            NotFound: one of them is unknown, or not public.
        """
        rows = {row.key: row for row in store.articles_by(db, "key", keys)}
        entries = {article.key: (id_, article) for id_, article in self._told(db, rows.values(), now)}
        for key in keys:
            if key not in entries:
                raise NotFound(f"there is no public article {key!r}; `distributor articles` lists them")
            article = entries[key][1]
            if article.state is not ArticleState.PUBLIC:
                raise NotFound(f"{article.title!r} is {article.state}: {article.reason or 'not public'}")
        return [entries[key] for key in keys]

    def ids(self, db: Connection, keys: Iterable[str]) -> dict[str, int]:
        return {row.key: row.id for row in store.articles_by(db, "key", keys)}

    def key_of(self, db: Connection, name: str) -> str:
        """The key of the article that a person names by key, address, path or end of path.

        Raises:
            NotFound: none is named so, or several are.
        """
        if found := self.registered(db, name):
            return found.key
        matches = store.articles_like(db, name)
        if len(matches) == 1:
            return matches[0].key
        if matches:
            some = ", ".join(row.key for row in matches[:5])
            raise NotFound(f"{name!r} names {len(matches)} articles, among them {some}")
        raise NotFound(f"no article is known as {name!r}; `distributor articles` lists them")

    def registered(self, db: Connection, name: str) -> ArticleRow | None:
        """The article of that key, path or address, if it ever was public."""
        if found := store.articles_by(db, "key", [name]) or store.articles_by(db, "path", [name]):
            return found[0]
        return next(iter(store.articles_known_as(db, _spellings(name)).values()), None)

    def body(self, db: Connection, article: Article) -> str:
        """The article's body as HTML that is safe in a mail."""
        from distributor.articles.body import body_html  # its parsers are of no use to most commands

        pages = store.pages_at(db, [article.path, FEED + article.path])
        texts = [Page.load(page.data).body for page in pages if page.data is not None]
        return body_html(self._site, article, text=next(filter(None, texts), None))

    def _told(self, db: Connection, rows: Iterable[ArticleRow], now: datetime) -> list[Entry]:
        rows = list(rows)
        pages = {row.path: row for row in store.pages_at(db, [row.path for row in rows])}
        entries = []
        for row in rows:
            page = pages.get(row.path)
            if page is not None and page.data is not None:
                # What was seen public stays so, though another machine's clock be behind.
                article = Page.load(page.data).at(max(now, row.first_public_at))
                entries.append((row.id, replace(article, key=row.key, sequence=row.sequence)))
        return entries


def _spellings(name: str) -> list[str]:
    return [name, name.rstrip("/"), name.rstrip("/") + "/"]
