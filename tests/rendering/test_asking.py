"""What others say of a rendition: far ends are a transport and a program on PATH."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import httpcore
import httpx
import pytest

from distributor import config
from distributor.rendering import fetch
from distributor.rendering.asking import MOST_LINKS, SpamScore, spam_score, unanswered


def site(answers: dict[str, httpx.Response | Exception], asked: Counter[str] | None = None) -> httpx.Client:
    """A client to a network where only these paths exist."""

    def answer(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked[str(request.url)] += 1
        found = answers.get(request.url.path, httpx.Response(200))
        if isinstance(found, Exception):
            raise found
        return found

    return httpx.Client(transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (httpx.Response(200), ""),
        (httpx.Response(204), ""),
        (httpx.Response(404), "answered 404"),
        (httpx.Response(410), "answered 410"),
        (httpx.Response(503), "answered 503"),
        (httpx.Response(403), "answered 403, perhaps only to programs"),
        (httpx.ReadTimeout("silence"), "did not answer within 5 s"),
        (httpx.ConnectError("refused"), "cannot be reached (refused)"),
        (httpx.Response(301, headers={"Location": "/page"}), "redirects more than 5 times"),
        (httpx.Response(301, headers={"Location": "/gone"}), "answered 404"),
        (httpx.Response(301, headers={"Location": "/fine"}), ""),
    ],
)
def test_links_answer_or_it_is_said_how_not(answer: httpx.Response | Exception, trouble: str):
    """A link is followed as a reader's browser would; what ends in no page is told in words."""
    http = site({"/page": answer, "/gone": httpx.Response(404)})
    told = unanswered(http, ["https://quay.example/page", "https://quay.example/fine"])
    assert told == ({"https://quay.example/page": trouble} if trouble else {})


def test_every_link_is_asked_once_and_only_so_many():
    """The same address twice is one question, and a mail with a thousand links asks a hundred."""
    asked: Counter[str] = Counter()
    links = [f"https://quay.example/{number}" for number in range(1000)]
    assert unanswered(site({}, asked), [*links[:50], *links]) == {}
    assert set(asked.values()) == {1}
    assert set(asked) == set(links[:MOST_LINKS])


def test_nobody_is_asked_after_the_time_is_up():
    """When the others took all the time, the rest are named and not waited for."""
    moments = iter([0.0])
    told = unanswered(site({}), ["https://quay.example/"], clock=lambda: next(moments, 31.0))
    assert told == {"https://quay.example/": "was not asked, because the others took too long"}


def test_a_link_into_the_own_network_is_not_followed():
    """The client that guards the operator's network guards it here, too."""

    class Nowhere(httpcore.NetworkBackend):
        """A network in which nobody may be called."""

    http = fetch.client(
        config.Pictures(),
        resolve=lambda host, port: ["10.0.0.7"],
        network=Nowhere(),
    )
    assert unanswered(http, ["http://desk.example/"]) == {"http://desk.example/": "is at a private address"}


# --- spam ---

SPAMC = """5.9/5.0
Spam detection software, running on the system "quay.example",
has identified this incoming email as possible spam.

Content analysis details:   (5.9 points, 5.0 required)

 pts rule name              description
---- ---------------------- --------------------------------------------------
-0.0 NO_RELAYS              Informational: message was not relayed via SMTP
 1.4 HTML_IMAGE_ONLY_24     BODY: HTML: images with 2000-2400 bytes of words
 4.5 SUBJ_ALL_CAPS          Subject is all capitals
"""
SPAMASSASSIN = """X-Spam-Status: No, score=0.3 required=5.0 tests=HTML_MESSAGE
Subject: What spam filters say

Content analysis details:   (9.9 points, 5.0 required)
 9.9 QUOTED                 by the article itself

Content preview:  Ferries sail again.

Content analysis details:   (0.3 points, 5.0 required)

 pts rule name              description
---- ---------------------- --------------------------------------------------
 0.3 HTML_MESSAGE           BODY: HTML included in message
"""


@pytest.fixture
def bin_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, says: str) -> None:
    """Put a program there that notes its options and input, and says this."""
    file = folder / name
    file.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\n"
        f"note = pathlib.Path({str(folder)!r}) / 'asked'\n"
        "note.write_bytes(' '.join(sys.argv[1:]).encode() + b'\\n' + sys.stdin.buffer.read())\n"
        f"sys.stdout.write({says!r})\n"
    )
    file.chmod(0o755)


def test_without_a_checker_nothing_is_said(bin_: Path):
    """A machine without SpamAssassin has no opinion."""
    assert spam_score(b"Subject: x\r\n\r\nx") is None


def test_spamc_gives_a_score_and_its_reasons(bin_: Path):
    """The first line is score and threshold, and the report says what cost most."""
    program(bin_, "spamc", SPAMC)
    program(bin_, "spamassassin", SPAMASSASSIN)
    given = spam_score(b"Subject: x\r\n\r\nx")
    reasons = ("SUBJ_ALL_CAPS 4.5", "HTML_IMAGE_ONLY_24 1.4")
    assert given == SpamScore(checker="spamc", score=5.9, threshold=5.0, reasons=reasons)
    assert given.is_spam
    assert (bin_ / "asked").read_bytes() == b"-R -s 50000000\nSubject: x\r\n\r\nx"


@pytest.mark.parametrize("answer", ["0/0\n", "", "\xff nonsense 5/4"])
def test_a_spamc_without_a_server_is_passed_over(bin_: Path, answer: str):
    """0/0 means that nobody answered; then `spamassassin` is asked, if it is there."""
    program(bin_, "spamc", answer)
    assert spam_score(b"x") is None
    program(bin_, "spamassassin", SPAMASSASSIN)
    given = spam_score(b"x")
    assert given == SpamScore(checker="spamassassin", score=0.3, threshold=5.0, reasons=("HTML_MESSAGE 0.3",))
    assert not given.is_spam
    assert (bin_ / "asked").read_bytes() == b"-L -t\nx"
