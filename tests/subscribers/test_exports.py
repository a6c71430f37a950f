"""Files that other programs export: who reads, who left, to whom nothing may be sent, and since when."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, select

from distributor.store.database import Database
from subscribers import store
from subscribers.model import BOUNCED, BY_HAND, COMPLAINED, Subscriber
from subscribers.schema import consent
from tests.subscribers.test_transfer import NOW, load

MAILCHIMP = (
    '"Email Address","First Name","Last Name",MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,'
    "LATITUDE,LONGITUDE,GMTOFF,DSTOFF,TIMEZONE,CC,REGION,LAST_CHANGED,LEID,EUID,NOTES,TAGS{}\n"
    'a@example.org,Ada,Quill,2,"2019-03-01 09:30:00",192.0.2.1,"2019-03-01 09:31:00",192.0.2.9,52.5,13.4,1,2,'
    'Europe/Berlin,DE,,"2020-01-01 00:00:00",1234,abcd,,"""vip"",""founder"""{}\n'
)
LISTMONK = (
    "uuid,email,name,attributes,status,created_at,updated_at\n"
    '1b2c,a@example.org,Ada Quill,"{""city"": ""Berlin""}",enabled,2024-03-01 09:30:00.1+00:00,2024-03-02\n'
    "1b2d,left@example.org,Bo,{},disabled,2024-03-01 09:30:00+00:00,2024-03-02\n"
    "1b2e,silent@example.org,Cy,{},blocklisted,2024-03-01 09:30:00+00:00,2024-03-02\n"
)
GHOST = (
    "id,email,name,note,subscribed_to_emails,complimentary_plan,stripe_customer_id,created_at,deleted_at,labels,tiers\n"
    "6f,a@example.org,Ada Quill,,true,,,2024-03-01T09:30:00.000Z,,vip,\n"
    "70,left@example.org,Bo,,false,,,2024-03-01T09:30:00.000Z,,,\n"
    "71,gone@example.org,Cy,,true,,,2024-03-01T09:30:00.000Z,2025-01-01T00:00:00.000Z,,\n"
)
SUBSTACK = (
    "email,active_subscription,expiry,email_disabled,created_at,first_payment_at\n"
    "a@example.org,false,,false,2024-03-01T09:30:00.000Z,\n"
    "left@example.org,true,2027-01-01T00:00:00.000Z,true,2024-03-01T09:30:00.000Z,2024-03-05T00:00:00.000Z\n"
)
BUTTONDOWN = (
    "email_address,type,creation_date,notes,metadata,tags,ip_address,unsubscription_date\n"
    'a@example.org,premium,2024-03-01T09:30:00Z,,"{""city"": ""Berlin""}",vip,192.0.2.1,\n'
    "asked@example.org,unactivated,2024-03-01T09:30:00Z,,{},,,\n"
    "left@example.org,unsubscribed,2024-03-01T09:30:00Z,,{},,,2025-01-01T00:00:00Z\n"
    "silent@example.org,undeliverable,2024-03-01T09:30:00Z,,{},,,\n"
    "cross@example.org,complained,2024-03-01T09:30:00Z,,{},,,\n"
)


def people(db: Connection) -> dict[str, Subscriber]:
    return {person.address.partition("@")[0]: person for person in store.everybody(db, now=NOW)}


def states(db: Connection) -> dict[str, str]:
    """Whose subscription is how; or why nothing may be sent there."""
    return {name: person.suppressed or person.subscriptions[0].state for name, person in people(db).items()}


@pytest.mark.parametrize(
    ("text", "program", "expected"),
    [
        (MAILCHIMP.format("", ""), "Mailchimp", {"a": "confirmed"}),
        (
            MAILCHIMP.format(",UNSUB_TIME,UNSUB_REASON", ',"2025-01-01 00:00:00",NORMAL'),
            "Mailchimp",
            {"a": "unsubscribed"},
        ),
        (
            MAILCHIMP.format(",CLEAN_TIME,CLEAN_CAMPAIGN_ID", ',"2025-01-01 00:00:00",77'),
            "Mailchimp",
            {"a": BOUNCED},
        ),
        (LISTMONK, "listmonk", {"a": "confirmed", "left": "unsubscribed", "silent": BY_HAND}),
        (GHOST, "Ghost", {"a": "confirmed", "left": "unsubscribed", "gone": "unsubscribed"}),
        (SUBSTACK, "Substack", {"a": "confirmed", "left": "unsubscribed"}),
        (
            BUTTONDOWN,
            "Buttondown",
            {
                "a": "confirmed",
                "asked": "unconfirmed",
                "left": "unsubscribed",
                "silent": BOUNCED,
                "cross": COMPLAINED,
            },
        ),
    ],
)
def test_a_programs_export_says_who_reads(
    sqlite: Connection, text: str, program: str, expected: dict[str, str]
):
    """Known by its headings; who left or fell silent there is not written to here either."""
    result = load(sqlite, text)
    assert result.problems == []
    assert result.program == program
    assert states(sqlite) == expected
    assert {name for name, person in people(sqlite).items() if person.subscriptions[0].topics} == set()
    assert load(sqlite, text).added == 0
    assert states(sqlite) == expected


def test_what_a_program_knew_of_a_reader_is_kept(sqlite: Connection):
    """The name, the zone, when and from where they came; tags and columns of its own as attributes."""
    load(sqlite, MAILCHIMP.format("", ""))
    ada = people(sqlite)["a"]
    assert (ada.name, ada.timezone) == ("Ada Quill", "Europe/Berlin")
    assert ada.created_at == datetime(2019, 3, 1, 9, 30, tzinfo=UTC)
    assert ada.subscriptions[0].confirmed_at == datetime(2019, 3, 1, 9, 31, tzinfo=UTC)
    assert ada.attributes["cc"] == "DE"
    assert "vip" in ada.attributes["tags"]
    assert not {"leid", "euid", "latitude"} & {*ada.attributes}
    assert sqlite.execute(select(consent.c.ip)).scalars().all() == ["192.0.2.9"]


def test_attributes_are_kept_as_they_are(database: Database):
    """On both databases, and an import that says the same again changes nothing."""
    for text in (LISTMONK, BUTTONDOWN):
        with database.write() as db:
            load(db, text)
            assert people(db)["a"].attributes["city"] == "Berlin"
    with database.write() as db:
        again = load(db, BUTTONDOWN)
        assert (again.added, again.changed) == (0, 0)
        assert people(db)["a"].attributes == {"city": "Berlin", "tags": "vip"}


@pytest.mark.parametrize("text", [MAILCHIMP.format("", ""), LISTMONK, GHOST, SUBSTACK, BUTTONDOWN])
def test_a_broken_row_of_an_export_is_named_by_its_line(sqlite: Connection, text: str):
    """The others come in all the same."""
    rows = text.splitlines(keepends=True)
    broken = rows[1].replace("a@example.org", "a@@example")
    result = load(sqlite, "".join([rows[0], broken, *rows[1:]]))
    assert [problem.line for problem in result.problems] == [2]
    assert "a" in people(sqlite)
