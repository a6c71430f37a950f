"""The audience's tables, on SQLite and PostgreSQL: who stands where, and who may be reached."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, event, select, update

from subscribers import store
from subscribers.model import CADENCES, Entry, Evidence, Subscription, address_hash
from subscribers.schema import position, suppression
from subscribers.store import Added

NOW = datetime(2026, 6, 1, 9, 30, 0, 123456, tzinfo=UTC)
CLICK = Evidence(source="one-click", at=NOW, ip="192.0.2.7")
ADA = Entry(address="ada@example.org", lists=("morning",), name="Ada")


def add(db: Connection, *entries: Entry) -> Added:
    lists = {name: store.list_id(db, name) for name in ("morning", "weekend")}
    return store.add(db, entries, list_ids=lists, now=NOW)


def place(db: Connection, address: str = ADA.address, *, on: str = "morning") -> Subscription:
    person = store.find(db, address, now=NOW)
    assert person is not None
    return next(found for found in person.subscriptions if found.list == on)


def serve(db: Connection, cadence: str, *, through: int) -> None:
    """What an edition does to all who stand where their cadence stands."""
    on_list = position.c.list == store.list_id(db, "morning")
    db.execute(update(position).where(on_list, position.c.cadence == cadence).values(served_through=through))


def test_a_new_list_stands_where_it_begins(db: Connection):
    """Every cadence is served through the number that the list was made with, however often it is made."""
    again = store.ensure_list(db, "morning", served_through=99)
    assert again == store.list_id(db, "morning")
    rows = db.execute(select(position).where(position.c.list == again)).all()
    assert {(row.cadence, row.served_through) for row in rows} == {(cadence, 10) for cadence in CADENCES}


def test_a_new_subscriber_is_confirmed_daily_and_wants_everything(db: Connection):
    """What an entry does not say is the usual, and its reader stands where everybody stands."""
    assert add(db, ADA) == Added(added=1)
    person = store.find(db, "ADA@Example.ORG", now=NOW)
    assert person is not None
    assert (person.address, person.name, person.created_at) == ("ada@example.org", "Ada", NOW)
    assert place(db) == Subscription(
        list="morning",
        state="confirmed",
        cadence="daily",
        topics=(),
        served_through=10,
        created_at=NOW,
        confirmed_at=NOW,
    )
    assert store.find(db, "bea@example.org", now=NOW) is None


def test_adding_again_changes_only_what_is_said(db: Connection):
    """A second entry keeps whatever it leaves out, and counts as unchanged when it says nothing new."""
    add(
        db,
        Entry(address=ADA.address, lists=("morning",), name="Ada", topics=("town", "sea"), cadence="weekly"),
    )
    before = store.find(db, ADA.address, now=NOW)
    assert add(db, Entry(address=ADA.address, lists=("morning",))) == Added(unchanged=1)
    assert store.find(db, ADA.address, now=NOW) == before
    assert add(db, Entry(address=ADA.address, lists=("morning",), topics=("sea", "town"))) == Added(
        unchanged=1
    )
    changed = Entry(address=ADA.address, lists=("morning", "weekend"), name="Ada L.", topics=())
    assert add(db, changed) == Added(added=1, changed=1)
    assert (place(db).topics, place(db).cadence) == ((), "weekly")
    found = store.find(db, ADA.address, now=NOW)
    assert found is not None
    assert found.name == "Ada L."


def test_two_spellings_are_one_person(db: Connection):
    """Case makes no second person; another letter does, in every script."""
    result = add(
        db,
        Entry(address="Ada@example.org", lists=("morning",)),
        Entry(address="aDA@example.org", lists=("weekend",)),
        Entry(address="groß@example.org", lists=("morning",)),
        Entry(address="gross@example.org", lists=("morning",)),
        Entry(address="ÉLISE@example.org", lists=("morning",)),
        Entry(address="élise@example.org", lists=("morning",)),
    )
    people = list(store.everybody(db, now=NOW))
    assert len(people) == 4
    assert result.added == 5
    assert len(people[0].subscriptions) == 2


def test_nobody_who_left_is_brought_back(db: Connection):
    """Unsubscribed is unsubscribed, whatever an import says later; other lists are not concerned."""
    add(db, Entry(address=ADA.address, lists=("morning", "weekend")))
    person = store.find(db, ADA.address, now=NOW)
    assert person is not None
    for is_news in (True, False):
        left = store.unsubscribe(db, subscriber=person.id, list_name="morning", evidence=CLICK, now=NOW)
        assert left is is_news
    again = Entry(address=ADA.address, lists=("morning", "weekend"), state="confirmed", cadence="weekly")
    assert add(db, again) == Added(left_alone=1, changed=1)
    assert (place(db).state, place(db).cadence) == ("unsubscribed", "daily")
    assert place(db, on="weekend").state == "confirmed"


def test_a_suppressed_address_gets_no_subscription(db: Connection):
    """Whom nothing may be sent to is not subscribed, neither again nor for the first time, however spelt."""
    add(db, ADA)
    for address in ("ADA@example.org", "new@example.org"):
        store.suppress(db, address, reason="complained", now=NOW)
    store.suppress(db, ADA.address, reason="bounced later", now=NOW)
    assert add(db, ADA, Entry(address="New@example.org", lists=("morning",))) == Added(left_alone=2)
    found = store.find(db, ADA.address, now=NOW)
    assert found is not None
    assert found.suppressed == "complained"
    assert store.reachable(db, "morning", [found.id], now=NOW) == {}


def test_a_confirmation_is_not_taken_back(db: Connection):
    """An entry that is unconfirmed leaves a confirmed reader confirmed; the other way round it confirms."""
    add(db, ADA)
    assert add(db, Entry(address=ADA.address, lists=("morning",), state="unconfirmed")) == Added(unchanged=1)
    add(db, Entry(address="bea@example.org", lists=("morning",), state="unconfirmed"))
    assert add(db, Entry(address="bea@example.org", lists=("morning",))) == Added(unchanged=1)
    assert place(db, "bea@example.org").state == "unconfirmed"
    assert add(db, Entry(address="bea@example.org", lists=("morning",), state="confirmed")) == Added(
        changed=1
    )
    assert place(db, "bea@example.org").state == "confirmed"


def test_a_new_cadence_keeps_the_place(db: Connection):
    """A reader who changes cadence stands where they stood: nothing is repeated, and nothing lost."""
    add(db, ADA, Entry(address="bea@example.org", lists=("morning",), cadence="weekly"))
    serve(db, "daily", through=25)
    assert (place(db).served_through, place(db, "bea@example.org").served_through) == (25, 10)
    add(db, Entry(address=ADA.address, lists=("morning",), cadence="weekly"))
    add(db, Entry(address="bea@example.org", lists=("morning",), cadence="daily"))
    assert (place(db).served_through, place(db, "bea@example.org").served_through) == (25, 10)
    serve(db, "daily", through=30)
    add(db, Entry(address="bea@example.org", lists=("morning",), cadence="instant"))
    assert place(db, "bea@example.org").served_through == 10


def test_whoever_confirms_later_begins_then(db: Connection):
    """An unconfirmed reader's place goes along with their cadence until they confirm."""
    add(db, Entry(address=ADA.address, lists=("morning",), state="unconfirmed"))
    serve(db, "daily", through=25)
    serve(db, "weekly", through=20)
    add(db, Entry(address=ADA.address, lists=("morning",), state="confirmed", cadence="weekly"))
    assert place(db).served_through == 20


def test_all_can_stand_back(db: Connection):
    """On one list everybody beyond a number is put back to it, and nobody is moved on."""
    add(db, ADA, Entry(address="bea@example.org", lists=("morning",), cadence="weekly"))
    serve(db, "daily", through=25)
    add(db, Entry(address=ADA.address, lists=("morning",), cadence="monthly"))  # a place of her own
    store.stand_back(db, "morning", through=4)
    assert (place(db).served_through, place(db, "bea@example.org").served_through) == (4, 4)
    store.stand_back(db, "morning", through=7)
    assert place(db).served_through == 4


def test_reachable_is_who_may_be_written_to_now(db: Connection):
    """Confirmed on this list and not suppressed: the others of those asked for are left out."""
    add(
        db,
        ADA,
        Entry(address="waiting@example.org", lists=("morning",), state="unconfirmed"),
        Entry(address="left@example.org", lists=("morning",), state="unsubscribed"),
        Entry(address="other@example.org", lists=("weekend",)),
        Entry(address="silent@example.org", lists=("morning",)),
        Entry(address="notasked@example.org", lists=("morning",)),
    )
    store.suppress(db, "silent@example.org", reason="hard bounce", now=NOW)
    people = {person.address: person.id for person in store.everybody(db, now=NOW)}
    asked = [id_ for address, id_ in people.items() if address != "notasked@example.org"]
    found = {people[ADA.address]: (ADA.address, "Ada")}
    assert store.reachable(db, "morning", [*asked, 10**9], now=NOW) == found
    assert store.reachable(db, "morning", [], now=NOW) == {}
    assert store.reachable(db, "no such list", asked, now=NOW) == {}


def test_everybody_is_streamed_by_page(db: Connection):
    """However many there are, each comes once, in order, and a page at a time is asked for."""
    add(db, *(Entry(address=f"r{n}@example.org", lists=("morning",)) for n in range(25)))
    add(
        db,
        Entry(address="r3@example.org", lists=("weekend",)),
        Entry(address="w@example.org", lists=("weekend",)),
    )
    statements: list[str] = []
    event.listen(db, "before_cursor_execute", lambda *args: statements.append(args[2]))
    people = list(store.everybody(db, now=NOW, page_size=10))
    assert [person.id for person in people] == sorted(person.id for person in people)
    assert len({person.address for person in people}) == 26
    assert 3 <= sum(text.startswith("SELECT subscriber.id") for text in statements) <= 4
    assert [p.address for p in store.everybody(db, now=NOW, name="weekend", page_size=1)] == [
        "r3@example.org",
        "w@example.org",
    ]
    assert list(store.everybody(db, now=NOW, name="no such list")) == []


def test_readers_are_counted_by_cadence(db: Connection):
    """Only the confirmed count, list by list."""
    add(
        db,
        Entry(address="a@example.org", lists=("morning", "weekend"), cadence="weekly"),
        Entry(address="b@example.org", lists=("morning",)),
        Entry(address="c@example.org", lists=("morning",), state="unconfirmed"),
    )
    assert store.counts(db) == {"morning": {"weekly": 1, "daily": 1}, "weekend": {"weekly": 1}}


def test_hostile_values_are_only_values(db: Connection):
    """Quotation marks, scripts of all directions and emoji are kept as they are."""
    name = "'); DROP TABLE subscriber; -- \u202eעברית 漢字 👩‍👩‍👧 \\"
    topics = ("it's", "% _", "日本")
    add(
        db,
        Entry(
            address="o'neil@example.org", lists=("morning",), name=name, topics=topics, attributes={"k": name}
        ),
    )
    found = store.find(db, "O'NEIL@example.org", now=NOW)
    assert found is not None
    assert (found.name, found.subscriptions[0].topics) == (name, tuple(sorted(topics)))


def test_a_suppression_keeps_no_address(db: Connection):
    """Only what recognises the address is kept, so that it can outlive the person's erasure."""
    store.suppress(db, "ada@example.org", reason="erased", now=NOW)
    row = db.execute(select(suppression)).one()
    assert (row.address_hash, row.reason, row.created_at) == (address_hash("ADA@example.org"), "erased", NOW)
    assert "ada" not in str(row)


def test_an_address_is_found_however_it_is_written(db: Connection):
    """A domain in its ASCII form, spaces around, letters with separate accents: still the same person."""
    add(db, Entry(address="zoë@bücher.example", lists=("morning",)))
    for spelling in ("zoë@xn--bcher-kva.example", " ZOE\N{COMBINING DIAERESIS}@BÜCHER.example "):
        assert store.find(db, spelling, now=NOW) is not None
    store.suppress(db, "zoë@xn--bcher-kva.example", reason="hard bounce", now=NOW)
    found = store.find(db, "zoë@bücher.example", now=NOW)
    assert found is not None
    assert found.suppressed == "hard bounce"
    for nonsense in ("no address at all", "\udcff@example.org", ""):
        assert store.find(db, nonsense, now=NOW) is None
