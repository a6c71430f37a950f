"""Asking and confirming: strangers change nothing, and only somebody's own answer makes them a reader."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, select

from distributor.store.database import Database
from subscribers import store
from subscribers.model import BOUNCED, COMPLAINED, UNSUBSCRIBED, Entry
from subscribers.schema import consent, subscriber
from tests.subscribers.people import (
    ADA,
    BOTH,
    DAY,
    HOUR,
    NOW,
    add,
    ask,
    click,
    confirm,
    leave,
    notes,
    number,
    person,
    place,
    reached,
    serve,
)


def test_who_asks_waits_until_they_confirm(db: Connection):
    """Nothing is sent before the confirmation; after it they get what is new from then on."""
    asked = ask(db, ADA, *BOTH, name="Ada", cadence="weekly", topics=("sea",), hour=7)
    assert (asked.to_confirm, asked.confirmed, asked.may_mail, asked.suppressed) == (BOTH, (), True, None)
    assert store.waiting(db, number(db)) == BOTH
    assert reached(db) == set()
    serve(db, "weekly", through=20)
    assert confirm(db, at=NOW + HOUR).lists == BOTH
    found = place(db)
    assert (found.state, found.cadence, found.topics, found.served_through) == (
        "confirmed",
        "weekly",
        ("sea",),
        20,
    )
    assert (found.confirmed_at, person(db).hour, person(db).name) == (NOW + HOUR, 7, "Ada")
    assert reached(db) == {ADA}
    assert notes(db) == [(what, name, "form") for what in ("asked", "confirmed") for name in BOTH]


def test_confirming_again_changes_nothing(db: Connection):
    """A link that is pressed twice confirms once."""
    ask(db)
    assert confirm(db).lists == ("morning",)
    before = person(db)
    assert confirm(db, at=NOW + DAY).lists == ()
    assert person(db) == before
    assert len(notes(db)) == 2


def test_an_address_is_asked_once_a_day(db: Connection):
    """However often, for whichever list, and however the address is written."""
    assert ask(db).may_mail
    assert not ask(db, ADA.upper(), at=NOW + HOUR).may_mail
    more = ask(db, ADA, "weekend", at=NOW + 23 * HOUR)
    assert (more.may_mail, more.to_confirm) == (False, ("weekend",))
    assert ask(db, at=NOW + DAY).may_mail
    assert not ask(db, at=NOW + DAY + HOUR).may_mail


def test_asking_at_the_same_moment_mails_once(database: Database):
    """Of many who ask for one address at once, one may have it mailed."""
    with database.write() as db:
        store.ensure_list(db, "morning", served_through=0)

    def wish(_: int) -> bool:
        with database.write() as db:
            return ask(db).may_mail

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(wish, range(12))) == 1
    with database.read() as db:
        assert len(db.execute(select(subscriber)).all()) == 1


def test_a_stranger_changes_nothing_of_a_reader(db: Connection):
    """Whoever knows an address cannot change what its owner gets, nor have them asked."""
    add(db, name="Ada", topics=("sea",), cadence="weekly", locale="de")
    before = person(db)
    asked = ask(db, name="Buy pills", topics=("spam",), cadence="instant", locale="xx", hour=3)
    assert (asked.confirmed, asked.to_confirm, asked.may_mail) == (("morning",), (), False)
    assert person(db) == before


def test_a_reader_may_be_asked_for_another_list(db: Connection):
    """What they have stays; the other list waits."""
    add(db, name="Ada")
    asked = ask(db, ADA, *BOTH, name="Eve")
    assert (asked.confirmed, asked.to_confirm, asked.may_mail) == (("morning",), ("weekend",), True)
    assert person(db).name == "Ada"
    assert confirm(db).lists == ("weekend",)


@pytest.mark.parametrize("reason", [COMPLAINED, BOUNCED, "the publisher's own"])
def test_a_silenced_address_is_not_asked(db: Connection, reason: str):
    """A complaint, a bounce or the publisher's word holds against every form; no row is made of it."""
    store.suppress(db, ADA, reason=reason, now=NOW)
    asked = ask(db)
    assert (asked.subscriber, asked.may_mail, asked.suppressed) == (None, False, reason)
    assert store.find(db, ADA, now=NOW) is None


def test_a_confirmation_lifts_no_complaint(db: Connection):
    """Who complained while a question was under way may confirm it, and is still sent nothing."""
    ask(db)
    store.suppress(db, ADA, reason=COMPLAINED, now=NOW)
    assert confirm(db).suppressed == COMPLAINED
    assert reached(db) == set()


def test_who_left_comes_back_by_confirming(db: Connection):
    """A stranger's wish leaves them gone; their own confirmation makes them readers."""
    add(db)
    leave(db, on=None)
    assert person(db).suppressed == UNSUBSCRIBED
    asked = ask(db, at=NOW + 2 * DAY)
    assert (asked.to_confirm, asked.may_mail, asked.suppressed) == (("morning",), True, None)
    assert (place(db).state, reached(db)) == ("unsubscribed", set())
    assert confirm(db, at=NOW + 2 * DAY).lists == ("morning",)
    assert (person(db).suppressed, place(db).left_at, reached(db)) == (None, None, {ADA})


def test_an_old_link_brings_nobody_back(db: Connection):
    """Who confirmed and left is not made a reader by the same link again."""
    ask(db)
    confirm(db)
    leave(db)
    assert confirm(db).lists == ()
    assert place(db).state == "unsubscribed"
    ask(db, at=NOW + DAY)
    leave(db, on=None, at=NOW + DAY)
    assert confirm(db, at=NOW + DAY).lists == ()


def test_who_comes_back_long_after_begins_then(db: Connection):
    """Nothing that went out while they were away is sent, nor anything they had before."""
    add(db)
    leave(db)
    serve(db, "daily", through=30)
    ask(db, at=NOW + 9 * DAY)
    confirm(db, at=NOW + 9 * DAY)
    assert place(db).served_through == 30


def test_who_comes_back_to_a_slower_cadence_gets_nothing_twice(db: Connection):
    """They had been served beyond where the other cadence stands."""
    add(db)
    serve(db, "daily", through=30)
    leave(db)
    ask(db, cadence="monthly", at=NOW + 9 * DAY)
    assert confirm(db, at=NOW + 9 * DAY).lists == ("morning",)
    assert (place(db).cadence, place(db).served_through) == ("monthly", 30)
    serve(db, "monthly", through=40)
    leave(db, at=NOW + 50 * DAY)
    confirm(db, ADA, "morning", at=NOW + 90 * DAY)
    assert place(db).served_through == 40


def test_who_takes_leaving_back_goes_on(db: Connection):
    """Within a day they stand where they stood, and miss nothing."""
    add(db)
    store.choose(db, subscriber=number(db), list_name="morning", cadence="weekly", evidence=click(), now=NOW)
    serve(db, "weekly", through=30)
    leave(db)
    confirm(db, ADA, "morning", at=NOW + HOUR)
    assert place(db).served_through == 10


def test_of_confirmed_lists_unknown_ones_are_left_out(db: Connection):
    """A name that is no list any more is nobody's subscription; nor has anybody unknown one."""
    ask(db)
    assert confirm(db, ADA, "morning", "gone").lists == ("morning",)
    assert store.confirm(db, subscriber=10**9, evidence=click(), now=NOW).lists == ()


def test_the_evidence_is_kept_and_harmless(db: Connection):
    """Whatever stands in a request's headers is kept in a form that every database takes."""
    wish = Entry(address=ADA, lists=("morning",), name="A\x00da\r\nBcc: x", attributes={"from": "site"})
    told = click(ip="192.0.2.1", agent="x\x00\ud800" * 999, wording="Subscribe\nnow")
    store.ask(db, wish, evidence=told, now=NOW)
    row = db.execute(select(consent)).one()
    assert (row.ip, row.wording, len(row.agent)) == ("192.0.2.1", "Subscribe now", 300)
    assert person(db).name == "A da Bcc: x"
    assert ADA not in str(row)


def test_a_question_goes_to_whom_it_may(db: Connection):
    """To those who wait and to those who left; not to the silenced, and without a name that others wrote."""
    ask(db, name="Visit evil.example")
    add(db, "bea@example.org")
    leave(db, "bea@example.org", on=None)
    add(db, "cem@example.org")
    store.suppress(db, "cem@example.org", reason=BOUNCED, now=NOW)
    ids = [one.id for one in store.everybody(db, now=NOW)]
    asked = store.may_be_asked(db, ids, now=NOW).values()
    assert sorted(asked) == [(ADA, ""), ("bea@example.org", "")]


def test_who_confirmed_elsewhere_is_a_reader_of_what_they_never_left(db: Connection):
    """The word of another program brings nobody back, neither to one list nor after they left everything."""
    ask(db)
    leave(db)
    entry = Entry(address=ADA, lists=BOTH, cadence="weekly")
    assert store.take(db, entry, evidence=click(), now=NOW).lists == ("weekend",)
    assert (place(db).state, place(db, on="weekend").cadence) == ("unsubscribed", "weekly")
    assert store.take(db, entry, evidence=click(), now=NOW).lists == ()
    leave(db, on=None)
    assert store.take(db, entry, evidence=click(), now=NOW).suppressed == UNSUBSCRIBED
    assert reached(db, on="weekend") == set()
