"""What can go wrong, named by what to do next.

DistributorError
├── ConfigError      distributor.toml, .env or the command line is wrong: every problem at once (exit 2)
├── ContentError     the content folder or feed cannot be read: nothing was changed
├── DatabaseError    the database is newer than the program, busy, full or away: nothing was half-done
│   ├── Conflict     another process changed the same rows: do it again
│   └── Away         there is no connection to it: wait, it may come back
├── TemplateError    a template has an error, at a file and line
├── HookError        what came to a webhook is not taken
│   ├── Forged       it is not signed by whom it says it is from, or for another account: 401
│   └── Unreadable   it is signed, and nothing can be read from it: 400
├── NotFound         no article, newsletter, channel, campaign or subscriber of that name
├── WrongState       it is there, and what is asked cannot be done as it stands
└── SendError        why a message has no receipt
    ├── Refused      the provider will never accept this message: record it, move on
    │   └── SomeRefused      for the sake of some recipients it took none: try it in halves
    ├── TryLater     it may accept it later: wait, then try again
    │   └── AccountTrouble   nothing of ours is accepted until a person mends the account
    └── Unclear      no answer came back: it may have been accepted already
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing a person should mend: where it is, what is wrong, and what to do."""

    path: str
    line: int | None = None  # 1 is the first
    reason: str
    remedy: str | None = None

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.reason}" + (f" ({self.remedy})" if self.remedy else "")


class DistributorError(Exception):
    """The base of all that is told to a person in one sentence instead of a traceback."""

    exit_code = 1


class ConfigError(DistributorError):
    """The configuration is wrong; `problems` has all of it, in the order of the file."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, problems)))


class ContentError(DistributorError):
    """The site's content cannot be read, so nothing is concluded from what was not seen."""


class DatabaseError(DistributorError):
    """The database cannot be used; what was committed before is safe."""


class Conflict(DatabaseError):
    """Another process changed the same rows at the same moment; nothing was kept, so do it again."""


class Away(DatabaseError):
    """The server cannot be reached now, or not yet; nothing is wrong with what was asked."""


class TemplateError(DistributorError):
    """A template does not render; the message starts with its file and line."""


class NotFound(DistributorError):
    """Nothing of that name exists; the message says which names do."""

    exit_code = 2


class WrongState(DistributorError):
    """What is asked cannot be done with it as it stands; the message says how it stands."""

    exit_code = 2


class HookError(DistributorError):
    """What came to a webhook is not taken; nothing of it was kept."""


class Forged(HookError):
    """Nothing shows that it comes from where it says."""


class Unreadable(HookError):
    """It is no event, nor a list of them."""


class SendError(DistributorError):
    """No receipt came back."""


class Refused(SendError):
    """The provider will never accept this message."""


class SomeRefused(Refused):
    """The provider takes a call whole or not at all, and somebody in it is not accepted."""


class TryLater(SendError):
    """The provider is busy or down; `after` is the wait it asked for, in seconds."""

    def __init__(self, reason: str, *, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class AccountTrouble(TryLater):
    """The key is wrong or revoked, or the account blocked: everything waits for a person."""

    def __init__(self, reason: str, *, after: float = 900) -> None:
        super().__init__(reason, after=after)


class Unclear(SendError):
    """Silence after the request left: the message may have been accepted.

    *can_clear*: the same call again may tell; False where it would only meet the same answer.
    """

    def __init__(self, reason: str, *, can_clear: bool = True) -> None:
        super().__init__(reason)
        self.can_clear = can_clear
