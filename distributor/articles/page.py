"""One page as read, whatever the time is; and what it is at a moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from distributor.model import Article, ArticleState, Wishes

UNDATED = datetime(1970, 1, 1, tzinfo=UTC)  # stands for "no date": such a page is held, see Page.held


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One content file or feed entry, read once and judged at any moment.

    Hugo's rule: published is what is no draft, has reached its publishDate and not yet its expiryDate; both
    edges are exact. Ours besides: `held` is public (or unclear) on the site and not to be announced.
    """

    article: Article  # as it is while public
    is_draft: bool = False
    held: str | None = None  # why it cannot be announced until someone changes it
    publish_at: datetime | None = None  # aware, UTC; None: since ever
    expires_at: datetime | None = None  # aware, UTC; None: never
    body: str | None = None  # of a feed entry, HTML; a file's body stays in the file

    @property
    def key(self) -> str:
        return self.article.key

    @property
    def path(self) -> str:
        return self.article.path

    def at(self, now: datetime) -> Article:
        """The article as it stands at *now*, with the reason why it is not public."""
        state, reason = self._state(now)
        return self.article if reason is None else replace(self.article, state=state, reason=reason)

    def changes_at(self, now: datetime) -> datetime | None:
        """When its state next changes by itself; None where only an edit can change it."""
        before = self._state(now)[0]
        moments = (self.publish_at, self.expires_at, self.article.wishes.embargo)
        later = sorted(moment for moment in moments if moment and moment > now)
        return next((moment for moment in later if self._state(moment)[0] != before), None)

    def _state(self, now: datetime) -> tuple[ArticleState, str | None]:
        embargo = self.article.wishes.embargo
        if self.is_draft:
            return ArticleState.DRAFT, "draft: its front matter says so"
        if self.held:
            return ArticleState.HELD, f"held: {self.held}"
        if self.expires_at and self.expires_at <= now:
            return ArticleState.EXPIRED, f"expired: expiryDate {_shown(self.expires_at)}"
        if self.publish_at and self.publish_at > now:
            return ArticleState.SCHEDULED, f"scheduled: publishDate {_shown(self.publish_at)}"
        if embargo and embargo > now:
            return ArticleState.HELD, f"held: embargo until {_shown(embargo)}"
        return ArticleState.PUBLIC, None

    def dump(self) -> bytes:
        """As bytes for an index."""
        return orjson.dumps(self)

    @classmethod
    def load(cls, data: bytes, **known: Any) -> Page:
        """The page that `dump` wrote, its article with what is *known* of it since.

        Raises:
            ValueError: *data* is something else, or of another version of the program.
        """
        try:
            values = orjson.loads(data)
            values["article"] = _article(values["article"] | known)
            for name in ("publish_at", "expires_at"):
                if values[name]:
                    values[name] = datetime.fromisoformat(values[name])
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no page: {error}") from error


_STATES = {state.value: state for state in ArticleState}  # a look into it is quicker than a call of the type
_NO_WISHES = Wishes()
_NO_WISHES_DUMPED = orjson.loads(orjson.dumps(_NO_WISHES))


def _article(values: dict[str, Any]) -> Article:
    values["published_at"] = datetime.fromisoformat(values["published_at"])
    values["state"] = _STATES[values["state"]]
    for name in ("authors", "tags", "categories", "aliases"):
        values[name] = tuple(values[name])
    values["wishes"] = _wishes(values["wishes"])
    return Article(**values)


def _wishes(values: Mapping[str, Any]) -> Wishes:
    if values == _NO_WISHES_DUMPED:
        return _NO_WISHES
    embargo = values["embargo"]
    return Wishes(**{**values, "embargo": datetime.fromisoformat(embargo) if embargo else None})


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
