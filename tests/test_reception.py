"""How readers come, choose and go, from the form to the next edition."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from distributor.app import App
from distributor.reception import Choice, Wish
from subscribers import store as audience
from subscribers.model import Evidence
from tests.workspace import MONDAY, Clock, mails, opened, subscribe, text_of, workspace, write_article

TWO = """
topics = ["Science", "Sport"]

[newsletters.weekend]
title = "The Weekend"
from = "The Weekend <weekend@news.example>"
providers = ["outbox"]
schedule = "0 7 * * 6"
"""
ADA = "ada@example.org"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[App]:
    with opened(workspace(tmp_path, database=database_url, newsletter=TWO), clock) as app:
        app.scan()
        yield app


def evidence(clock: Clock) -> Evidence:
    return Evidence(source="form", at=clock(), ip="192.0.2.7", wording="Yes, send it to me")


def asked(app: App, clock: Clock, *newsletters: str, address: str = ADA) -> None:
    wish = Wish(address=address, newsletters=newsletters or ("morning",))
    app.reception.subscribe(wish, evidence(clock))
    app.deliver()


def link(folder: Path, kind: str, *, to: str = ADA) -> str:
    """The token of the newest link of that kind that was mailed to an address."""
    mail = [one for one in mails(folder) if to in one["To"]][-1]
    found = re.search(rf"https://mail\.news\.example/{kind}/(\S+)", text_of(mail))
    assert found
    return found[1]


def states(app: App, address: str = ADA) -> dict[str, str]:
    return {place.list: place.state for place in app.subscriber(address).subscriptions}


def test_who_asks_is_a_reader_once_they_confirm(app: App, tmp_path: Path, clock: Clock):
    """Nothing is sent to an address before its owner says so, and from then on every edition."""
    asked(app, clock)
    assert states(app) == {"morning": "unconfirmed"}
    [mail] = mails(tmp_path)
    assert mail["Subject"] == "Please confirm: The Morning"
    write_article(tmp_path, "before", published_at=clock())
    clock.go_on(hours=1)
    app.run_once()
    assert len(mails(tmp_path)) == 1
    answer = app.reception.confirm(link(tmp_path, "confirm"), evidence(clock))
    assert answer is not None
    assert answer.newly == ("morning",)
    assert answer.address == "a•••@example.org"
    assert states(app) == {"morning": "confirmed"}
    write_article(tmp_path, "after", published_at=clock())
    clock.go_on(days=1)
    app.run_once()
    assert len(mails(tmp_path)) == 2
    text = text_of(mails(tmp_path)[-1])
    assert "after" in text
    assert "before" not in text


def test_looking_at_a_question_answers_nothing(app: App, tmp_path: Path, clock: Clock):
    """Scanners open every link; only the button's own request confirms."""
    asked(app, clock)
    token = link(tmp_path, "confirm")
    for _ in range(3):
        invitation = app.reception.invitation(token)
        assert invitation is not None
        assert (invitation.newsletters, invitation.is_done) == (("morning",), False)
    assert states(app) == {"morning": "unconfirmed"}


def test_a_strangers_address_gets_one_question_a_day(app: App, tmp_path: Path, clock: Clock):
    """However often a form is filled in with it, and for whatever newsletter."""
    for _ in range(5):
        asked(app, clock, "morning")
        asked(app, clock, "weekend")
        clock.go_on(hours=1)
    assert len(mails(tmp_path)) == 1
    clock.go_on(days=1)
    asked(app, clock, "weekend")
    assert len(mails(tmp_path)) == 2
    app.reception.confirm(link(tmp_path, "confirm"), evidence(clock))
    assert states(app) == {"morning": "confirmed", "weekend": "confirmed"}


def test_a_question_ends(app: App, tmp_path: Path, clock: Clock):
    """After a week and a day its link is of no use, says so, and can be had anew."""
    asked(app, clock)
    token = link(tmp_path, "confirm")
    clock.go_on(days=9)
    assert app.reception.confirm(token, evidence(clock)) is None
    assert app.reception.has_expired(token)
    assert not app.reception.has_expired(token[:-1])
    asked(app, clock)
    assert app.reception.confirm(link(tmp_path, "confirm"), evidence(clock)) is not None


def test_an_address_that_is_silent_is_not_even_asked(app: App, tmp_path: Path, clock: Clock):
    """Whoever complained gets no question, and whoever fills in the form is told the same as ever."""
    with app.database.write() as db:
        audience.suppress(db, ADA, reason=audience.COMPLAINED, now=clock())
    asked(app, clock)
    assert mails(tmp_path) == []


def test_a_form_changes_nothing_of_a_reader(app: App, tmp_path: Path, clock: Clock):
    """Somebody else may write a reader's address into a form: they keep what they chose, unasked."""
    subscribe(app, ADA, topics="Science", cadence="daily")
    wish = Wish(address=ADA, newsletters=("morning",), name="Mallory", topics=("Sport",), cadence="weekly")
    app.reception.subscribe(wish, evidence(clock))
    app.deliver()
    person = app.subscriber(ADA)
    assert (person.name, person.subscriptions[0].topics) == ("", ("Science",))
    assert mails(tmp_path) == []


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish(address="no address", newsletters=("morning",)), "is no e-mail address"),
        (
            Wish(address="a@example.org\r\nBcc: b@example.org", newsletters=("morning",)),
            "is no e-mail address",
        ),
        (Wish(address="a@mailinator.com", newsletters=("morning",)), "throw mailboxes away"),
        (Wish(address=ADA, newsletters=()), "no newsletter is chosen"),
        (Wish(address=ADA, newsletters=("evening",)), "there is no newsletter 'evening'"),
        (Wish(address=ADA, newsletters=("morning",), topics=("Cooking",)), "has no topic 'Cooking'"),
        (Wish(address=ADA, newsletters=("morning",), timezone="Mars/Olympus"), "is no time zone"),
        (Wish(address=ADA, newsletters=("morning",), hour=24), "is no hour of a day"),
    ],
)
def test_what_cannot_be_granted_is_said(app: App, clock: Clock, wish: Wish, words: str):
    """Whoever wrote it reads what is wrong, and nothing is kept."""
    with pytest.raises(ValueError, match=words):
        app.reception.subscribe(wish, evidence(clock))
    assert list(app.everybody()) == []


def test_who_leaves_by_one_click_gets_nothing_more(app: App, tmp_path: Path, clock: Clock):
    """The link of any mail ends that newsletter, again and again, and says nothing of the others."""
    subscribe(app, ADA)
    write_article(tmp_path, "news", published_at=clock())
    clock.go_on(hours=1)
    app.run_once()
    token = link(tmp_path, "unsubscribe")
    for _ in range(2):
        assert app.reception.unsubscribe(token, evidence(clock))
    assert states(app) == {"morning": "unsubscribed"}
    assert not app.reception.unsubscribe(token[:-2], evidence(clock))
    write_article(tmp_path, "more", published_at=clock())
    clock.go_on(days=1)
    app.run_once()
    assert len(mails(tmp_path)) == 1


def test_who_comes_back_at_once_misses_nothing(app: App, tmp_path: Path, clock: Clock):
    """A click by mistake that is taken back leaves them where they stood."""
    subscribe(app, ADA)
    write_article(tmp_path, "news", published_at=clock())
    clock.go_on(hours=1)
    app.run_once()
    token = link(tmp_path, "unsubscribe")
    app.reception.unsubscribe(token, evidence(clock))
    write_article(tmp_path, "meanwhile", published_at=clock())
    app.scan()
    clock.go_on(minutes=5)
    app.reception.choose(token, {"morning": Choice()}, evidence=evidence(clock))
    clock.go_on(days=1)
    app.run_once()
    assert "meanwhile" in text_of(mails(tmp_path)[-1])


def test_an_address_moves_when_the_new_one_says_so(app: App, tmp_path: Path, clock: Clock):
    """Until then everything goes to the old one; after it, the same reader has the new one."""
    subscribe(app, ADA)
    write_article(tmp_path, "news", published_at=clock())
    clock.go_on(hours=1)
    app.run_once()
    token = link(tmp_path, "preferences")
    number = app.subscriber(ADA).id
    app.reception.change_address(token, "lovelace@example.org", evidence(clock))
    app.deliver()
    answer = link(tmp_path, "confirm", to="lovelace@example.org")
    invitation = app.reception.invitation(answer)
    assert invitation is not None
    assert (invitation.kind, invitation.is_done) == ("change", False)
    assert app.subscriber(ADA).id == number
    app.reception.confirm(answer, evidence(clock))
    assert app.subscriber("lovelace@example.org").id == number
    reader = app.reception.reader(token)
    assert reader is not None
    assert reader.person.address == "lovelace@example.org"
    done = app.reception.invitation(answer)
    assert done is not None
    assert done.is_done


def test_who_pauses_gets_what_was_new_afterwards(app: App, tmp_path: Path, clock: Clock):
    """A pause sends nothing, and loses nothing either."""
    subscribe(app, ADA)
    write_article(tmp_path, "news", published_at=clock())
    clock.go_on(hours=1)
    app.run_once()
    token = link(tmp_path, "preferences")
    app.reception.pause(token, clock() + timedelta(days=7), evidence(clock))
    for day in range(3):
        write_article(tmp_path, f"day{day}", published_at=clock())
        clock.go_on(days=1)
        app.run_once()
    assert len(mails(tmp_path)) == 1
    clock.go_on(days=5)
    write_article(tmp_path, "back", published_at=clock() - timedelta(hours=1))
    clock.go_on(days=1)
    app.run_once()
    text = text_of(mails(tmp_path)[-1])
    assert all(f"day{day}" in text for day in range(3))
    assert "back" in text


def test_who_is_forgotten_is_named_nowhere(app: App, tmp_path: Path, clock: Clock):
    """All that is left of an erased reader is a number, hashes and what they agreed to when."""
    subscribe(app, ADA)
    write_article(tmp_path, "news", published_at=clock())
    clock.go_on(hours=1)
    app.run_once()
    token = link(tmp_path, "preferences")
    known = app.reception.data(token)
    assert known is not None
    assert known["address"] == ADA
    assert [message["state"] for message in known["messages"]] == ["accepted"]
    assert app.reception.erase(token, evidence(clock))
    assert app.reception.reader(token) is None
    assert app.reception.data(token) is None
    assert not app.reception.erase(token, evidence(clock))
    subscribe(app, ADA)  # an old file brings nobody back
    write_article(tmp_path, "more", published_at=clock())
    clock.go_on(days=1)
    app.run_once()
    assert len(mails(tmp_path)) == 1


def test_questions_are_in_the_ledger(app: App, tmp_path: Path, clock: Clock):
    """Those of a day are one campaign, whose candidates are accounted for like any other's."""
    for number in range(3):
        asked(app, clock, address=f"reader{number}@example.org")
        clock.go_on(hours=1)
    [campaign] = app.campaigns()
    assert (campaign.slot, campaign.state) == (f"confirmation {MONDAY:%Y-%m-%d}", "done")
    found = app.balance(campaign.id)
    assert (found.candidates, found.accepted, found.gap) == (3, 3, 0)


def test_a_new_reader_is_welcomed_with_what_the_others_have_had(
    tmp_path: Path, database_url: str, clock: Clock
):
    """At once the newest articles, and none of them again: not in the next edition, nor who comes back."""
    newsletter = 'welcome = "edition"\nmax_articles = 2\n'
    with opened(workspace(tmp_path, database=database_url, newsletter=newsletter), clock) as app:
        app.scan()
        subscribe(app, "others@example.org")
        for name in ("one", "two", "three"):
            write_article(tmp_path, name, published_at=clock())
        clock.go_on(hours=1)
        app.run_once()
        write_article(tmp_path, "newest", published_at=clock())
        app.scan()
        asked(app, clock)
        app.reception.confirm(link(tmp_path, "confirm"), evidence(clock))
        app.run_once()
        welcome = theirs(tmp_path)[-1]
        assert [name for name in ("one", "two", "three", "newest") if name in welcome] == ["two", "three"]
        clock.go_on(days=1)
        app.run_once()
        edition = theirs(tmp_path)[-1]
        assert [name for name in ("one", "two", "three", "newest") if name in edition] == ["newest"]
        app.reception.unsubscribe(link(tmp_path, "unsubscribe"), evidence(clock))
        clock.go_on(days=3)
        asked(app, clock)
        app.reception.confirm(link(tmp_path, "confirm"), evidence(clock))
        app.run_once()
        again = theirs(tmp_path)[-1]
        assert [name for name in ("one", "two", "three", "newest") if name in again] == []


def theirs(folder: Path) -> list[str]:
    """The texts of what was mailed to Ada, below the newsletter's name, in order."""
    texts = [text_of(mail) for mail in mails(folder) if ADA in mail["To"]]
    return [text.split("====")[-1] for text in texts]
