"""Who may use the API: tokens of which only hashes are kept, and what each of them may do."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from distributor.errors import NotFound, WrongState
from distributor.store import tokens
from distributor.store.tokens import TokenRow

SCOPES = {
    "articles:read": "see the site's articles",
    "campaigns:read": "see campaigns, and what became of each delivery; readers are numbers there",
    "campaigns:write": "approve, pause, resume, cancel, retry and settle campaigns",
    "events:read": "see what providers reported",
    "subscribers:read": "see subscribers, lists, and why a reader has an article",
    "subscribers:write": "add, change, unsubscribe and erase subscribers",
}
PREFIX = "dst_"  # so that whoever finds one in the wrong place knows what it is
LENGTH = 40  # letters and digits after it: 238 bits
EVERY = timedelta(hours=1)  # how exactly it is known when a token was used last: not a write a request
REMEMBERED = timedelta(days=1)  # how long what was done is not done again for the same key

_LETTERS = string.ascii_letters + string.digits
_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9]{{{LENGTH}}}")


def add(
    db: Connection, name: str, scopes: Iterable[str], *, expires_at: datetime | None, now: datetime
) -> str:
    """Make a token that may do what *scopes* say; nobody can ask for it again.

    Raises:
        NotFound: a scope is none.
        ValueError: the name is taken or is none, or the token would be over before it began.
    """
    wanted = sorted(set(scopes))
    for scope in wanted:
        if scope not in SCOPES:
            raise NotFound(f"there is no scope {scope!r}; there are: {', '.join(SCOPES)}")
    if not re.fullmatch(r"[\w.@+-][\w .@+-]{0,59}", name) or name != name.strip():
        raise ValueError("a token's name has up to 60 letters, digits, spaces, and . _ @ + -")
    if expires_at is not None and expires_at <= now:
        raise ValueError(f"{expires_at:%Y-%m-%d %H:%M} UTC is over already")
    token = PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(LENGTH))
    new = TokenRow(name=name, hash=_hash(token), scopes=tuple(wanted), created_at=now, expires_at=expires_at)
    if not tokens.add(db, new):
        raise ValueError(f"there is a token {name!r} already; revoke it first, or choose another name")
    return token


def holder(db: Connection, text: str) -> TokenRow | None:
    """Whose token it is, even if its time is over; None: nobody's.

    It is found by its hash, so the time that takes says nothing of the tokens that there are.
    """
    return tokens.by_hash(db, _hash(text)) if _FORM.fullmatch(text) else None


def is_use_news(token: TokenRow, now: datetime) -> bool:
    """Whether that it is used now ought to be written down."""
    return token.used_at is None or token.used_at <= now - EVERY


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """What somebody asks for and may ask for again, because they cannot know whether it was done."""

    token: int
    key: str  # that they made up for it
    asked: str  # all that was asked, in some form

    @property
    def hash(self) -> bytes:
        return hashlib.sha256(self.asked.encode()).digest()


def once(db: Connection, wanted: Once, do: Callable[[], int], *, now: datetime) -> int:
    """Do it, unless it was done in the last day; what *do* gave, then or now.

    Noted in the transaction in which it is done: killed in between, neither is there.

    Raises:
        WrongState: something else was asked under the same key.
    """
    tokens.forget_requests(db, before=now - REMEMBERED)
    if tokens.begin(db, wanted.token, wanted.key, wanted.hash, now=now):
        count = do()
        tokens.done(db, wanted.token, wanted.key, recipients=count)
        return count
    asked, count = tokens.was_done(db, wanted.token, wanted.key)
    if asked != wanted.hash:
        raise WrongState("something else was asked under this Idempotency-Key; make up a new one")
    return count


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
