"""What readers change: choices, breaks, addresses."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from subscribers import store
from subscribers.model import BOUNCED, COMPLAINED
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

NEW = "ada@new.example"


def test_a_choice_changes_what_it_says(db: Connection):
    """What is left out stays; a choice can be taken back; the same again is no news, and is not noted."""
    add(db, ADA, *BOTH, name="Ada", timezone="Europe/Berlin")
    me = number(db)

    def choose(**said: object) -> bool:
        return store.choose(db, subscriber=me, **said, evidence=click(), now=NOW)  # type: ignore[arg-type]

    assert choose(list_name="weekend", topics=("town", "sea"), hour=7, name="Ada L.")
    assert not choose(list_name="weekend", topics=("sea", "town"), hour=7)
    assert place(db, on="weekend").topics == ("sea", "town")
    assert (place(db).topics, person(db).hour, person(db).name) == ((), 7, "Ada L.")
    assert choose(hour=store.ANY_HOUR, timezone="")
    assert (person(db).hour, person(db).timezone, person(db).name) == (None, None, "Ada L.")
    assert notes(db)[2:] == [("changed", "weekend", "form"), ("changed", None, "form")]
    assert not store.choose(db, subscriber=10**9, name="Nobody", evidence=click(), now=NOW)


def test_a_new_cadence_keeps_the_place(db: Connection):
    """A reader who changes how often goes on from where they stand; who only asked, from where all stand."""
    add(db)
    serve(db, "daily", through=25)
    for address in (ADA, "waiting@example.org"):
        ask(db, address)
        store.choose(
            db,
            subscriber=number(db, address),
            list_name="morning",
            cadence="weekly",
            evidence=click(),
            now=NOW,
        )
    assert place(db).served_through == 25
    confirm(db, "waiting@example.org")
    assert place(db, "waiting@example.org").served_through == 10


def pause(db: Connection, until: datetime | None, *, on: str | None = None, at: datetime = NOW) -> bool:
    return store.pause(db, subscriber=number(db), list_name=on, until=until, evidence=click(at), now=at)


def test_a_break_ends_by_itself(db: Connection):
    """While it lasts nothing may be sent; who ends it earlier is reached at once."""
    add(db, ADA, *BOTH)
    assert pause(db, NOW + 7 * DAY, on="morning")
    assert not pause(db, NOW + 7 * DAY, on="morning")
    assert (reached(db), reached(db, on="weekend")) == (set(), {ADA})
    assert reached(db, at=NOW + 7 * DAY) == {ADA}
    assert pause(db, None)
    assert reached(db) == {ADA}
    assert pause(db, NOW + DAY)
    assert pause(db, NOW - DAY)  # what is over is none
    assert reached(db) == {ADA}
    assert place(db).served_through == 10


def ask_change(db: Connection, address: str = NEW, *, at: datetime = NOW, of: str = ADA) -> int | None:
    return store.ask_change(db, subscriber=number(db, of), address=address, evidence=click(at), now=at)


def confirm_change(db: Connection, new: int | None, *, at: datetime = NOW) -> bool:
    assert new is not None
    return store.confirm_change(db, new=new, evidence=click(at), now=at)


def test_a_new_address_keeps_the_person(db: Connection):
    """They have their number, subscriptions and history at the new address, and are nobody at the old one."""
    add(db, topics=("sea",))
    me, before = number(db), place(db)
    new = ask_change(db)
    assert store.waiting_address(db, new or 0) == NEW
    assert [one.address for one in store.everybody(db, now=NOW)] == [ADA]
    assert store.find(db, NEW, now=NOW) is None
    assert store.person(db, new or 0, now=NOW) is None
    assert store.may_be_asked(db, [new or 0], now=NOW) == {new: (NEW, "")}
    assert confirm_change(db, new)
    assert (number(db, NEW), place(db, NEW)) == (me, before)
    assert store.find(db, ADA, now=NOW) is None
    assert not confirm_change(db, new)
    assert [what for what, _, _ in notes(db)] == ["imported", "asked", "address changed"]


def test_a_new_address_is_nobodys_else(db: Connection):
    """Not another reader's, not a silenced one, not one's own, and none that was asked today."""
    add(db)
    add(db, "bea@example.org")
    for address, reason in (("gone@example.org", BOUNCED), ("angry@example.org", COMPLAINED)):
        store.suppress(db, address, reason=reason, now=NOW)
        assert ask_change(db, address) is None
    assert ask_change(db, "bea@example.org") is None
    assert ask_change(db, ADA.upper()) is None
    assert ask_change(db) is not None
    assert ask_change(db, at=NOW + HOUR) is None
    assert ask_change(db, of="bea@example.org") is None
    assert ask_change(db, at=NOW + DAY, of="bea@example.org") is not None


def test_a_new_address_may_be_taken_meanwhile(db: Connection):
    """Its owner, who comes by themselves or is imported, has it; the change does not happen."""
    add(db)
    for come in (ask, add):
        new = ask_change(db, f"{come.__name__}@example.org")
        come(db, f"{come.__name__}@example.org")
        assert not confirm_change(db, new)
        assert number(db, f"{come.__name__}@example.org") != number(db)


def test_a_new_address_may_fall_silent_meanwhile(db: Connection):
    """A bounce of the question itself ends the change."""
    add(db)
    new = ask_change(db)
    store.suppress(db, NEW, reason=BOUNCED, now=NOW)
    assert not confirm_change(db, new)
    assert person(db).address == ADA


def test_of_two_new_addresses_the_confirmed_one_counts(db: Connection):
    """The other question is over then."""
    add(db)
    first, second = ask_change(db), ask_change(db, "ada@other.example")
    assert confirm_change(db, first)
    assert not confirm_change(db, second)
    assert len(db.execute(select(subscriber)).all()) == 1


def test_who_left_with_an_address_may_move_there(db: Connection):
    """Its owner's confirmation lifts that they left with it."""
    add(db)
    add(db, NEW)
    leave(db, NEW, on=None)
    store.erase(db, number(db, NEW), now=NOW)
    assert confirm_change(db, ask_change(db))
    assert reached(db) == {NEW}
    assert ADA not in str(db.execute(select(consent)).all())
