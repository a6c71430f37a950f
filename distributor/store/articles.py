"""Every SQL statement about pages and articles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, delete, exists, func, insert, or_, select, text, update

from distributor.errors import Problem
from distributor.store.dialect import upsert
from distributor.store.schema import address, article, batch, campaign, fact, page, rendition_article

T = TypeVar("T")
CHUNK = 500  # parameters per statement; every database takes that many


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRow:
    """One content file as the index keeps it."""

    path: str
    mtime_ns: int
    size: int
    data: bytes | None  # articles.Page as it dumps itself; None: it could not be read
    problems: tuple[Problem, ...] = ()
    article: int | None = None
    changes_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleRow:
    """One article that is or was public."""

    id: int
    key: str
    sequence: int
    path: str
    url: str
    title: str
    published_at: datetime
    content_hash: bytes
    is_public: bool
    first_public_at: datetime
    told: bytes | None = None  # hash of all that a post can say of it


def lock(db: Connection) -> None:
    """Let one scan or plan at a time number and announce articles; SQLite's writer is alone already."""
    if db.dialect.name == "postgresql":
        # A table's lock, because asking for an advisory one would fix the snapshot before it is granted.
        db.execute(text("LOCK TABLE fact IN SHARE ROW EXCLUSIVE MODE"))


def read_fact(db: Connection, name: str) -> str | None:
    found: str | None = db.scalar(select(fact.c.value).where(fact.c.name == name))
    return found


def take_fact(db: Connection, name: str) -> str | None:
    """Read a fact, which is none any more."""
    found = read_fact(db, name)
    db.execute(delete(fact).where(fact.c.name == name))
    return found


def keep_fact(db: Connection, name: str, value: str) -> None:
    upsert(db, fact, [{"name": name, "value": value}], key=["name"])


def stamps(db: Connection) -> dict[str, tuple[int, int]]:
    """Modification time (ns) and size of every file the index knows."""
    rows = db.execute(select(page.c.path, page.c.mtime_ns, page.c.size))
    return {row[0]: (row[1], row[2]) for row in rows}


def pages(db: Connection) -> Iterator[PageRow]:
    """Every page the index knows, by path, streamed."""
    yield from map(_page, db.execute(select(page).order_by(page.c.path)))


def pages_at(db: Connection, paths: Iterable[str]) -> list[PageRow]:
    return [
        _page(row) for part in chunks(paths) for row in db.execute(select(page).where(page.c.path.in_(part)))
    ]


def pages_of(db: Connection, articles: Iterable[int]) -> list[PageRow]:
    return [
        _page(row)
        for part in chunks(articles)
        for row in db.execute(select(page).where(page.c.article.in_(part)).order_by(page.c.path))
    ]


def pages_changing(db: Connection, *, until: datetime) -> list[PageRow]:
    """The pages whose state changes by itself, by publish date, expiry or embargo, up to *until*."""
    return [_page(row) for row in db.execute(select(page).where(page.c.changes_at <= until))]


def next_change(db: Connection, *, after: datetime) -> datetime | None:
    """The first moment beyond *after* at which a page's state changes by itself."""
    found: datetime | None = db.scalar(select(func.min(page.c.changes_at)).where(page.c.changes_at > after))
    return found


def keep_pages(db: Connection, rows: Sequence[PageRow]) -> None:
    values = [
        {
            "path": row.path,
            "mtime_ns": row.mtime_ns,
            "size": row.size,
            "data": row.data,
            "problems": [asdict(problem) for problem in row.problems],
            "article": row.article,
            "changes_at": row.changes_at,
        }
        for row in rows
    ]
    upsert(db, page, values, key=["path"])


def forget_pages(db: Connection, paths: Iterable[str]) -> None:
    for part in chunks(paths):
        db.execute(delete(page).where(page.c.path.in_(part)))


def articles_by(db: Connection, column: str, values: Iterable[Any]) -> list[ArticleRow]:
    """The articles whose *column* (key, id, content_hash) is one of *values*."""
    return [
        _article(row)
        for part in chunks(values)
        for row in db.execute(select(article).where(article.c[column].in_(part)))
    ]


def articles_known_as(db: Connection, urls: Iterable[str]) -> dict[str, ArticleRow]:
    """Address -> the article that is or was known under it."""
    query = select(address.c.url.label("known_as"), article).join(address, address.c.article == article.c.id)
    return {
        row.known_as: _article(row)
        for part in chunks(urls)
        for row in db.execute(query.where(address.c.url.in_(part)))
    }


def articles_like(db: Connection, words: str, *, limit: int = 20) -> list[ArticleRow]:
    """The newest articles whose address, path or title contains *words*."""
    has_words = or_(
        article.c.url.icontains(words, autoescape=True),
        article.c.path.icontains(words, autoescape=True),
        article.c.title.icontains(words, autoescape=True),
    )
    query = select(article).where(has_words).order_by(article.c.sequence.desc()).limit(limit)
    return [_article(row) for row in db.execute(query)]


def public_beyond(db: Connection, sequence: int, *, since: datetime | None = None) -> list[ArticleRow]:
    """The articles that are public and came after *sequence*, in their order.

    *since*: only those first seen public then or later.
    """
    query = select(article).where(article.c.is_public, article.c.sequence > sequence)
    if since is not None:
        query = query.where(article.c.first_public_at >= since)
    return [_article(row) for row in db.execute(query.order_by(article.c.sequence))]


class Registered(NamedTuple):
    """What a listing needs of an article that was ever public; a tuple, for there are many."""

    key: str
    path: str
    sequence: int


def registered(db: Connection) -> dict[int, Registered]:
    """Id -> article, of everything that was ever public."""
    columns = (article.c.id, article.c.key, article.c.path, article.c.sequence)
    return {id_: Registered(*rest) for id_, *rest in db.execute(select(*columns))}


def unannounced(db: Connection, beyond: int) -> set[str]:
    """The keys of articles that came after *beyond* and are in no edition or post."""
    carried = exists().where(rendition_article.c.article == article.c.id)
    return set(db.scalars(select(article.c.key).where(article.c.sequence > beyond, ~carried)))


def first_sequence(db: Connection) -> int:
    """The lowest number there is, and 1 at most."""
    return min(db.scalar(select(func.min(article.c.sequence))) or 1, 1)


def last_sequence(db: Connection) -> int:
    return db.scalar(select(func.max(article.c.sequence))) or 0


def first_sequence_since(db: Connection, moment: datetime) -> int | None:
    """The lowest sequence number of what was published at *moment* or later."""
    found: int | None = db.scalar(
        select(func.min(article.c.sequence)).where(article.c.published_at >= moment)
    )
    return found


def add_articles(db: Connection, rows: Sequence[ArticleRow]) -> list[ArticleRow]:
    """Insert; the rows come back with their ids, in the same order."""
    ids: dict[str, int] = {}
    for part in chunks(rows):
        values = [_values(row) for row in part]
        returned = db.execute(insert(article).returning(article.c.id, article.c.key), values)
        ids |= {row.key: row.id for row in returned}
    return [replace(row, id=ids[row.key]) for row in rows]


def change_article(db: Connection, row: ArticleRow) -> None:
    db.execute(update(article).where(article.c.id == row.id).values(_values(row)))


def _values(row: ArticleRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _COLUMNS}


_COLUMNS = tuple(field.name for field in fields(ArticleRow) if field.name != "id")


def keep_addresses(db: Connection, addresses: Mapping[str, int]) -> None:
    """Remember addresses; one that is another article's already stays with it."""
    rows = [{"url": url, "article": owner} for url, owner in addresses.items()]
    upsert(db, address, rows, key=["url"], change=False)


def mark_overlapping(db: Connection, articles: Iterable[int]) -> None:
    """Note of the campaigns that carried these articles that readers may have them, though numbered anew."""
    for part in chunks(articles):
        carried = (
            select(batch.c.campaign)
            .join(rendition_article, rendition_article.c.rendition == batch.c.rendition)
            .where(rendition_article.c.article.in_(part))
        )
        db.execute(update(campaign).where(campaign.c.id.in_(carried)).values(overlaps=True))


def chunks(values: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    rest = iter(values)
    while part := list(islice(rest, size)):
        yield part


def _page(row: Any) -> PageRow:
    return PageRow(
        path=row.path,
        mtime_ns=row.mtime_ns,
        size=row.size,
        data=row.data,
        problems=tuple(Problem(**problem) for problem in row.problems),
        article=row.article,
        changes_at=row.changes_at,
    )


def _article(row: Any) -> ArticleRow:
    return ArticleRow(
        id=row.id,
        key=row.key,
        sequence=row.sequence,
        path=row.path,
        url=row.url,
        title=row.title,
        published_at=row.published_at,
        content_hash=row.content_hash,
        is_public=row.is_public,
        first_public_at=row.first_public_at,
    )
