"""What only others can say of a rendition: whether its links answer, and what a spam filter here thinks."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from time import monotonic

import httpx

from distributor.rendering.fetch import MAX_REDIRECTS, Unavailable

MOST_LINKS = 100
LINKS_AT_ONCE = 8
LINK_SECONDS = 5.0
ALL_LINKS_SECONDS = 30.0

# Sites that answer programs so may well answer readers.
ONLY_PROGRAMS = {401, 403, 405, 429, 999}


def unanswered(
    http: httpx.Client, addresses: Iterable[str], *, clock: Callable[[], float] = monotonic
) -> dict[str, str]:
    """Those of the first hundred *addresses* that do not answer well: address -> what happened instead.

    Each is asked once, several at a time, and none of them after thirty seconds. *http* is of `fetch.client`,
    which guards the operator's network.
    """
    deadline = clock() + ALL_LINKS_SECONDS
    wanted = list(islice(dict.fromkeys(addresses), MOST_LINKS))
    with ThreadPoolExecutor(LINKS_AT_ONCE, thread_name_prefix="links") as pool:
        troubles = pool.map(lambda address: _trouble(http, address, deadline, clock), wanted)
        return {address: trouble for address, trouble in zip(wanted, troubles, strict=True) if trouble}


def _trouble(http: httpx.Client, address: str, deadline: float, clock: Callable[[], float]) -> str:
    """What a reader who follows *address* meets instead of a page; empty: a page."""
    until = min(clock() + LINK_SECONDS, deadline)
    if clock() >= deadline:
        return "was not asked, because the others took too long"
    try:
        return _of_status(_status(http, address, until, clock))
    except httpx.TimeoutException:
        return f"did not answer within {LINK_SECONDS:g} s"
    except Unavailable as error:
        return str(error)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return f"cannot be reached ({str(error)[:100] or type(error).__name__})"


def _status(http: httpx.Client, address: str, until: float, clock: Callable[[], float]) -> int:
    """The status of the page that *address* leads to; its body is not read."""
    request = http.build_request("GET", address, headers={"Accept": "*/*"})
    for _ in range(MAX_REDIRECTS + 1):
        request.extensions["timeout"] = httpx.Timeout(max(until - clock(), 0.001)).as_dict()
        with closing(http.send(request, stream=True, follow_redirects=False)) as answer:
            if answer.next_request is None:
                return answer.status_code
        request = answer.next_request
    raise Unavailable(f"redirects more than {MAX_REDIRECTS} times")


def _of_status(status: int) -> str:
    if status < 400:
        return ""
    return f"answered {status}" + (", perhaps only to programs" if status in ONLY_PROGRAMS else "")


# --- spam ---

SPAM_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class SpamScore:
    """What a spam filter gave a message."""

    checker: str  # the program
    score: float
    threshold: float  # from here on it is spam
    reasons: tuple[str, ...]  # what cost most, worst first

    @property
    def is_spam(self) -> bool:
        return self.score >= self.threshold

    def __str__(self) -> str:
        return f"{self.checker}: {self.score:g} points, and spam begins at {self.threshold:g}"


def spam_score(message: bytes) -> SpamScore | None:
    """What SpamAssassin on this machine says of *message*; None where there is none, or it does not say.

    `spamc` asks a server that runs already, `spamassassin` does it by itself in some seconds, here without
    asking anybody on the network.
    """
    for name, options in CHECKERS:
        program = shutil.which(name)
        report = _report(program, options, message) if program else ""
        for found in list(_SCORE.finditer(report))[
            -1:
        ]:  # the message may quote a report, and comes before it
            score, threshold = (float(number) for number in found.groups() if number)
            if threshold:  # spamc says 0/0 when its server is not there
                reasons = _reasons(report[found.end() :])
                return SpamScore(checker=name, score=score, threshold=threshold, reasons=reasons)
    return None


# https://spamassassin.apache.org/full/4.0.x/doc/spamc.html and spamassassin-run.html: -R reports on any
# message and begins with score/threshold, -s is the largest size; -t ends with the report, -L asks nobody.
CHECKERS: Sequence[tuple[str, Sequence[str]]] = (
    ("spamc", ("-R", "-s", "50000000")),
    ("spamassassin", ("-L", "-t")),
)

_SCORE = re.compile(
    r"\A(-?\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)$"
    r"|^Content analysis details:\s+\((-?\d+(?:\.\d+)?) points, (\d+(?:\.\d+)?) required\b",
    re.MULTILINE,
)

_RULE = re.compile(r"^[ *]*(\d+\.\d+) ([A-Z][A-Z0-9_]+)\b", re.MULTILINE)


def _report(program: str, options: Sequence[str], message: bytes) -> str:
    try:
        ran = subprocess.run(  # noqa: S603 - a fixed program; the message is its input
            [program, *options],
            input=message,
            capture_output=True,
            timeout=SPAM_SECONDS,
            env={**os.environ, "LC_ALL": "C"},  # its report has the operator's language otherwise
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.decode(errors="replace")


def _reasons(report: str) -> tuple[str, ...]:
    found = {name: float(points) for points, name in _RULE.findall(report)}
    worst = sorted((name for name in found if found[name] > 0), key=lambda name: (-found[name], name))
    return tuple(f"{name} {found[name]:g}" for name in worst[:4])
