"""Leaving, silence and being forgotten: what nothing but somebody's own word, or the publisher's, undoes."""

from __future__ import annotations

import json
from itertools import permutations

import pytest
from sqlalchemy import Connection, select

from subscribers import store
from subscribers.model import BOUNCED, BOUNCED_SOFTLY, BY_HAND, COMPLAINED, UNSUBSCRIBED, Evidence
from subscribers.schema import consent, subscriber, subscription, suppression
from subscribers.store import Added
from tests.subscribers.people import (
    ADA,
    BOTH,
    DAY,
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
)


def test_leaving_one_list_leaves_the_others(db: Connection):
    """It is noted once, however often it is said."""
    add(db, ADA, *BOTH)
    assert (leave(db), leave(db)) == (True, False)
    assert (place(db).left_at, reached(db), reached(db, on="weekend")) == (NOW, set(), {ADA})
    assert [what for what, _, _ in notes(db)].count("unsubscribed") == 1


def test_leaving_everything_holds_for_lists_to_come(db: Connection):
    """Who wants nothing is not put on another list by the next import."""
    add(db)
    assert (leave(db, on=None), leave(db, on=None)) == (True, False)
    assert add(db, ADA, "weekend") == Added(left_alone=1)
    assert reached(db, on="weekend") == set()
    assert notes(db)[-1] == ("unsubscribed", None, "form")


def test_nobody_leaves_who_is_nobody(db: Connection):
    """A number that is nobody's, or only a new address that waits, ends nothing."""
    add(db)
    new = store.ask_change(db, subscriber=number(db), address="new@example.org", evidence=click(), now=NOW)
    for one in (10**9, new or 0):
        assert not store.unsubscribe(db, subscriber=one, evidence=click(), now=NOW)
        assert store.erase(db, one, now=NOW) is None
        assert store.personal_data(db, one, now=NOW) is None


def test_the_weightiest_reason_stays(db: Connection):
    """In whatever order events come, a complaint stays one."""
    reasons = [(COMPLAINED, None), (BOUNCED, None), (UNSUBSCRIBED, None), (BOUNCED_SOFTLY, NOW + DAY)]
    for order in permutations(reasons):
        for reason, until in order:
            store.suppress(db, ADA, reason=reason, until=until, now=NOW)
        row = db.execute(select(suppression)).one()
        assert (row.reason, row.until) == (COMPLAINED, None)
        store.lift(db, ADA, now=NOW)


def test_what_is_over_counts_for_nothing(db: Connection):
    """A silence for a while ends by itself, everywhere; a longer one goes before a shorter."""
    add(db)
    for days in (2, 3, 1):
        store.suppress(db, ADA, reason=BOUNCED_SOFTLY, until=NOW + days * DAY, now=NOW)
    found = person(db, at=NOW + 2 * DAY)
    assert (found.suppressed, found.suppressed_until) == (BOUNCED_SOFTLY, NOW + 3 * DAY)
    assert add(db, ADA, "weekend", at=NOW + 2 * DAY) == Added(left_alone=1)
    over = NOW + 3 * DAY
    assert (person(db, at=over).suppressed, reached(db, at=over)) == (None, {ADA})
    assert add(db, ADA, "weekend", at=over) == Added(added=1)
    assert store.suppress(db, ADA, reason=BOUNCED_SOFTLY, until=over + DAY, now=over)
    assert person(db, at=over).suppressed == BOUNCED_SOFTLY


def test_a_silence_is_noted_once_and_can_be_lifted(db: Connection):
    """Only what is news is noted; the publisher can lift what no import lifts."""
    add(db)
    told = Evidence(source="provider", at=NOW, detail="ses: bounce 17")
    for _ in range(2):
        hash_ = store.hash_of(db, number(db))
        assert hash_ is not None
        store.suppress_hash(db, hash_, reason=BOUNCED, evidence=told, now=NOW)
    assert store.lift(db, ADA, now=NOW) == BOUNCED
    assert store.lift(db, ADA, now=NOW) is None
    assert reached(db) == {ADA}
    assert [(what, source) for what, _, source in notes(db)[1:]] == [
        ("suppressed", "provider"),
        ("changed", "hand"),
    ]
    assert db.scalars(select(consent.c.detail).where(consent.c.what == "suppressed")).all() == [
        "hard bounce; ses: bounce 17"
    ]


def test_who_is_erased_is_known_to_nobody(db: Connection):
    """Row, subscriptions and evidence go; what was agreed to and when stays, with the proof."""
    ask(db, name="Ada", attributes={"shoe": "38"})
    confirm(db)
    store.ask_change(db, subscriber=number(db), address="new@example.org", evidence=click(), now=NOW)
    me = number(db)
    proof = store.erase(db, me, now=NOW + DAY)
    assert proof is not None
    assert (proof.subscriber, proof.subscriptions, proof.consents) == (me, 1, 3)
    for table in (subscriber, subscription):
        assert db.execute(select(table)).all() == []
    rows = db.execute(select(consent).order_by(consent.c.id)).all()
    assert [row.what for row in rows] == ["asked", "confirmed", "asked", "erased"]
    for row in rows:
        assert (row.subscriber, row.ip, row.agent, row.wording, row.detail) == (None,) * 5
    assert rows[-1].address_hash.hex() == proof.address_hash
    assert store.erasures(db, ADA.upper()) == [NOW + DAY]
    assert store.erase(db, me, now=NOW) is None


@pytest.mark.parametrize("reason", [None, COMPLAINED, BY_HAND])
def test_who_was_erased_is_not_brought_back(db: Connection, reason: str | None):
    """Not by an old file; and by their own confirmation only if they had not complained."""
    add(db)
    if reason:
        store.suppress(db, ADA, reason=reason, now=NOW)
    store.erase(db, number(db), now=NOW)
    assert add(db) == Added(left_alone=1)
    assert store.find(db, ADA, now=NOW) is None
    assert ask(db).may_mail is (reason is None)
    if reason is None:
        confirm(db)
        assert reached(db) == {ADA}


def test_a_while_of_silence_is_for_ever_once_erased(db: Connection):
    """A soft bounce that ends would let an old file bring them back."""
    add(db)
    store.suppress(db, ADA, reason=BOUNCED_SOFTLY, until=NOW + DAY, now=NOW)
    store.erase(db, number(db), now=NOW)
    assert add(db, at=NOW + 9 * DAY) == Added(left_alone=1)


def test_personal_data_is_all_there_is(db: Connection):
    """Everything that the tables know, in a form that JSON takes; nobody else's."""
    add(db, "bea@example.org", name="Bea")
    ask(db, name="Ada", hour=7, attributes={"shoe": "38"}, locale="de", timezone="Europe/Berlin")
    store.suppress(db, ADA, reason=BOUNCED, now=NOW)
    store.ask_change(db, subscriber=number(db), address="new@example.org", evidence=click(), now=NOW)
    found = store.personal_data(db, number(db), now=NOW)
    assert found is not None
    text = json.dumps(found)
    for told in (ADA, "Ada", "shoe", "Europe/Berlin", BOUNCED, "new@example.org", "unconfirmed", "asked"):
        assert told in text
    assert "bea@example.org" not in text
    assert [one["what"] for one in found["consents"]] == ["asked", "suppressed", "asked"]
