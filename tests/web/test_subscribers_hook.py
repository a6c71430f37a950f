"""What forms and CRMs say of readers: who is believed, what is done, and that it is done once."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError
from standardwebhooks.webhooks import Webhook

from distributor.app import App
from distributor.config import load
from distributor.errors import Unreadable
from distributor.reception import Told, Wish
from distributor.store.schema import heard
from distributor.web.messages import told_by
from subscribers import store as audience
from subscribers.model import Evidence
from subscribers.schema import consent
from tests.web.reports import endpoint
from tests.workspace import MONDAY, Clock, leave, mails, opened, subscribe, text_of, workspace

ADA = "ada@example.org"
SECRET, OLD = ("whsec_" + b64encode(32 * letter).decode() for letter in (b"n", b"o"))
WEB = f'subscribers_secret = ["{SECRET}", "{OLD}"]\n'
TRUSTING = WEB + "confirmed_elsewhere = true\n"
TOPICS = 'topics = ["Science", "Sport"]\n'
DOCUMENT = (Path(__file__).parents[2] / "docs/webhooks.md").read_text(encoding="utf-8")
CONSENT = {"at": "2026-06-01T05:00:00Z", "source": "the till", "wording": "Yes, please", "ip": "192.0.2.7"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def site(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[tuple[App, httpx.Client]]:
    with endpoint(tmp_path, clock, database_url, config="", newsletter=TOPICS, web=WEB) as found:
        yield found


@pytest.fixture
def trusting(tmp_path: Path, database_url: str, clock: Clock) -> Iterator[tuple[App, httpx.Client]]:
    with endpoint(tmp_path, clock, database_url, config="", newsletter=TOPICS, web=TRUSTING) as found:
        yield found


def headers(body: bytes, id_: str, at: datetime, secret: str = SECRET) -> dict[str, str]:
    """As the library of Standard Webhooks signs."""
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(id_, at, body.decode()),
    }


def say(
    client: httpx.Client,
    type_: str,
    *,
    id_: str = "msg_1",
    at: datetime = MONDAY,
    secret: str = SECRET,
    **data: Any,
) -> httpx.Response:
    body = orjson.dumps({"type": type_, "data": {"email": ADA} | data})
    return client.post("/webhooks/subscribers", content=body, headers=headers(body, id_, at, secret))


def states(app: App, address: str = ADA) -> dict[str, str]:
    return {place.list: place.state for place in app.subscriber(address).subscriptions}


def notes(app: App) -> list[str]:
    with app.database.read() as db:
        return list(db.scalars(select(consent.c.what).order_by(consent.c.id)))


# --- what is done ---


def test_who_subscribes_elsewhere_is_asked(site: tuple[App, httpx.Client], tmp_path: Path):
    """As by the form: nobody is a reader before they answer, and what they were shown is kept."""
    app, client = site
    told: dict[str, Any] = {
        "newsletters": ["morning"],
        "name": "Ada",
        "topics": ["Science"],
        "attributes": {"visits": 3},
    }
    answer = say(client, "subscribe", **told, consent=CONSENT)
    assert (answer.status_code, answer.text) == (200, "Done.\n")
    app.deliver()
    [mail] = mails(tmp_path)
    assert mail["Subject"] == "Please confirm: The Morning"
    assert states(app) == {"morning": "unconfirmed"}
    person = app.subscriber(ADA)
    assert (person.name, person.subscriptions[0].topics, person.attributes) == (
        "Ada",
        ("Science",),
        {"visits": "3"},
    )
    [noted] = app.personal_data(ADA)["consents"]
    assert noted == {
        "at": "2026-06-01T05:00:00+00:00",
        "what": "asked",
        "list": "morning",
        "source": "webhook",
        "ip": "192.0.2.7",
        "agent": None,
        "wording": "Yes, please",
        "detail": "the till",
    }
    token = re.search(r"/confirm/(\S+)", text_of(mail))
    assert token
    assert app.reception.confirm(token[1], Evidence(source="form", at=MONDAY))
    assert states(app) == {"morning": "confirmed"}


def test_who_confirmed_elsewhere_is_a_reader_where_that_is_trusted(
    trusting: tuple[App, httpx.Client], tmp_path: Path
):
    """With the publisher's word for it nobody is asked twice, and the evidence is the program's."""
    app, client = trusting
    assert (
        say(client, "subscribe", newsletters=["morning"], confirmed=True, consent=CONSENT).status_code == 200
    )
    app.deliver()
    assert mails(tmp_path) == []
    assert states(app) == {"morning": "confirmed"}
    [noted] = app.personal_data(ADA)["consents"]
    assert (noted["what"], noted["wording"], noted["detail"]) == ("confirmed", "Yes, please", "the till")


def test_who_confirmed_elsewhere_is_asked_where_that_is_not_trusted(
    site: tuple[App, httpx.Client], tmp_path: Path
):
    """A key alone makes nobody a reader."""
    app, client = site
    assert (
        say(client, "subscribe", newsletters=["morning"], confirmed=True, consent=CONSENT).status_code == 200
    )
    app.deliver()
    assert len(mails(tmp_path)) == 1
    assert states(app) == {"morning": "unconfirmed"}


@pytest.mark.parametrize("how", ["left", "left everything", "erased"])
def test_nobody_who_left_is_brought_back(
    trusting: tuple[App, httpx.Client], clock: Clock, tmp_path: Path, how: str
):
    """Whatever another program says: who left is asked, and no reader until they answer."""
    app, client = trusting
    subscribe(app, ADA)
    if how == "left":
        leave(app, ADA)
    else:
        assert say(client, "erase" if how == "erased" else "unsubscribe", id_="before").status_code == 200
    answer = say(client, "subscribe", newsletters=["morning"], confirmed=True, consent=CONSENT)
    assert answer.status_code == 200
    app.deliver()
    assert [mail["Subject"] for mail in mails(tmp_path)] == ["Please confirm: The Morning"]
    assert states(app)["morning"] != "confirmed"


def test_to_a_silent_address_nothing_is_sent(
    trusting: tuple[App, httpx.Client], clock: Clock, tmp_path: Path
):
    """Whoever complained is neither asked nor made a reader, and the answer is that of everybody."""
    app, client = trusting
    with app.database.write() as db:
        audience.suppress(db, ADA, reason=audience.COMPLAINED, now=clock())
    answer = say(client, "subscribe", newsletters=["morning"], confirmed=True, consent=CONSENT)
    assert answer.text == "Done.\n"
    app.deliver()
    assert mails(tmp_path) == []


def test_a_change_is_of_what_is_there(site: tuple[App, httpx.Client]):
    """What a message leaves out stays; null takes back; and of nobody nothing changes."""
    app, client = site
    assert say(client, "update", name="Nobody", id_="0").text == "Done.\n"
    subscribe(
        app,
        ADA,
        topics="Science",
        cadence="daily",
        hour="7",
        attributes='"{""plan"": ""free"", ""a"": ""b""}"',
    )
    told: dict[str, Any] = {
        "hour": None,
        "cadence": "weekly",
        "newsletters": ["morning"],
        "attributes": {"plan": "paid", "a": None},
    }
    assert say(client, "update", **told, id_="1").status_code == 200
    person = app.subscriber(ADA)
    assert (person.hour, person.attributes) == (None, {"plan": "paid"})
    assert (person.subscriptions[0].cadence, person.subscriptions[0].topics) == ("weekly", ("Science",))


def test_a_new_address_is_asked_first(site: tuple[App, httpx.Client], tmp_path: Path):
    """A program does not know who reads a mailbox."""
    app, client = site
    subscribe(app, ADA)
    assert say(client, "update", new_email="quill@example.org").status_code == 200
    app.deliver()
    [mail] = mails(tmp_path)
    assert "quill@example.org" in mail["To"]
    assert app.subscriber(ADA)


def test_leaving_and_being_forgotten(site: tuple[App, httpx.Client], clock: Clock):
    """One newsletter, all of them, the person; and whom nobody knows is not imported later."""
    app, client = site
    subscribe(app, ADA, "ben@example.org", "cem@example.org")
    say(client, "unsubscribe", newsletters=["morning"], id_="1")
    assert (states(app), app.subscriber(ADA).suppressed) == ({"morning": "unsubscribed"}, None)
    say(client, "unsubscribe", email="ben@example.org", id_="2")
    assert app.subscriber("ben@example.org").suppressed == "unsubscribed"
    say(client, "erase", email="cem@example.org", id_="3")
    say(client, "unsubscribe", email="dora@example.org", id_="4")
    assert {person.address for person in app.everybody()} == {ADA, "ben@example.org"}
    subscribe(app, "cem@example.org", "dora@example.org")
    assert {person.address for person in app.everybody()} == {ADA, "ben@example.org"}


# --- once ---


def test_an_id_is_done_once(site: tuple[App, httpx.Client], tmp_path: Path, database_url: str, clock: Clock):
    """The same again is answered with success and changes nothing: at once, hours later, after a restart."""
    app, client = site
    assert say(client, "subscribe", newsletters=["morning"]).status_code == 200
    before = notes(app)
    clock.go_on(hours=30)  # the form would ask again by now
    again = say(client, "subscribe", newsletters=["morning"], at=clock())
    assert (again.status_code, again.text) == (200, "This was done before, and is not done again.\n")
    other = App(load(app.config.path, {}), clock=clock)
    with other.database.read() as db:
        assert db.scalar(select(func.count()).select_from(heard)) == 1
    other.close()
    assert notes(app) == before
    app.deliver()
    assert len(mails(tmp_path)) == 1


def test_an_id_is_forgotten_after_a_month(site: tuple[App, httpx.Client], clock: Clock):
    """What was done is not remembered for ever."""
    app, client = site
    for number in range(3):
        say(client, "update", id_=f"old {number}", at=clock())
    clock.go_on(days=31)
    say(client, "update", id_="new", at=clock())
    with app.database.read() as db:
        assert list(db.scalars(select(heard.c.id))) == ["new"]


def test_many_at_once_do_it_once(site: tuple[App, httpx.Client]):
    """A program that does not wait for its answer before it tries again."""
    app, client = site
    subscribe(app, ADA)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: say(client, "unsubscribe", newsletters=["morning"]), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.text for answer in answers)[0] == "Done.\n"
    assert [answer.text for answer in answers].count("Done.\n") == 1
    assert notes(app).count("unsubscribed") == 1


def test_what_is_lost_on_the_way_to_the_disk_is_done_the_next_time(site: tuple[App, httpx.Client]):
    """Doing and remembering are one transaction: when it fails, neither has happened, and 503 says so."""
    app, client = site
    fails = [True]

    @event.listens_for(app.database.engine, "commit")
    def away(_connection: object) -> None:
        if fails:
            fails.pop()
            raise OperationalError("COMMIT", None, Exception("the connection was lost"))

    answer = say(client, "unsubscribe")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert notes(app) == []
    assert say(client, "unsubscribe").text == "Done.\n"
    assert notes(app) == ["suppressed"]


@pytest.mark.parametrize("moment", ["before the commit", "after it"])
def test_killed_at_any_moment_it_is_done_once(tmp_path: Path, database_url: str, clock: Clock, moment: str):
    """Doing and remembering are kept together or not at all, so sent again it is done once in the end."""
    with opened(workspace(tmp_path, database=database_url), clock) as app:
        app.scan()
        subscribe(app, ADA)
        program = (
            f"from tests.web.test_subscribers_hook import hear; hear({str(app.config.path)!r}, {moment!r})"
        )
        run = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=False)
        assert run.returncode == -signal.SIGKILL
        was_done = "unsubscribed" in notes(app)
        assert was_done == (moment == "after it")
        assert app.reception.hear("msg_1", LEAVING) != was_done
        assert notes(app).count("unsubscribed") == 1


LEAVING = Told(
    what="unsubscribe",
    wish=Wish(address=ADA, newsletters=("morning",)),
    evidence=Evidence(source="webhook", at=MONDAY),
)


def hear(path: str, moment: str) -> None:
    """For a process that is killed."""
    app = App(load(Path(path), {}))
    _ = app.reception  # whatever that writes is written before
    if moment == "before the commit":
        event.listen(app.database.engine, "commit", lambda _connection: os.kill(os.getpid(), signal.SIGKILL))
    app.reception.hear("msg_1", LEAVING)
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_database_being_away_is_no_loss(tmp_path: Path, clock: Clock):
    """While nothing can be kept the answer is 503, and then the same message is taken."""
    database = f"sqlite:///{tmp_path}/distributor.db"
    with endpoint(tmp_path, clock, database, config="", web=WEB) as (app, client):
        place = tmp_path / "distributor.db"
        app.database.engine.dispose()
        place.rename(tmp_path / "away")
        place.mkdir()
        assert say(client, "unsubscribe").status_code == 503
        place.rmdir()
        (tmp_path / "away").rename(place)
        assert say(client, "unsubscribe").text == "Done.\n"


# --- who is believed ---


def test_both_keys_of_an_exchange_are_taken(site: tuple[App, httpx.Client]):
    """While the old key is exchanged for the new one, messages with either come in; with a third none."""
    _, client = site
    third = "whsec_" + b64encode(32 * b"t").decode()
    codes = [say(client, "update", id_=key, secret=key).status_code for key in (SECRET, OLD, third)]
    assert codes == [200, 200, 401]


@pytest.mark.parametrize("seconds", [-301, -299, 299, 301])
def test_a_time_is_believed_for_five_minutes(site: tuple[App, httpx.Client], clock: Clock, seconds: int):
    """What somebody kept, and sends again later, is too old."""
    _, client = site
    answer = say(client, "unsubscribe", at=clock() + timedelta(seconds=seconds))
    assert answer.status_code == (200 if abs(seconds) < 300 else 401)


def test_what_was_tampered_with_is_refused(site: tuple[App, httpx.Client], clock: Clock):
    """Body, id and time are all signed, and one that is not signed at all is nobody's."""
    app, client = site
    body = orjson.dumps({"type": "erase", "data": {"email": ADA}})
    right = headers(body, "msg_1", clock())
    for wrong in (
        right | {"webhook-id": "msg_2"},
        right | {"webhook-timestamp": str(int(clock().timestamp()) + 1)},
        right | {"webhook-signature": "v1," + b64encode(32 * b"0").decode()},
        right | {"webhook-signature": right["webhook-signature"].replace("v1,", "v1a,")},
        {name: value for name, value in right.items() if name != "webhook-id"},
        {},
    ):
        assert client.post("/webhooks/subscribers", content=body, headers=wrong).status_code == 401
    assert client.post("/webhooks/subscribers", content=body + b" ", headers=right).status_code == 401
    assert client.get("/webhooks/subscribers").status_code == 405
    assert notes(app) == []
    several = right | {"webhook-signature": "v1,AAAA v2,BBBB " + right["webhook-signature"]}
    assert client.post("/webhooks/subscribers", content=body, headers=several).status_code == 200


def test_without_a_key_there_is_no_such_place(tmp_path: Path, clock: Clock):
    """Nobody is believed before a key is set."""
    with endpoint(tmp_path, clock, f"sqlite:///{tmp_path}/distributor.db", config="") as (_, client):
        assert say(client, "erase").status_code == 404


# --- what cannot be taken ---


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "no JSON"),
        (b"[]", "object"),
        (b'{"type": "subscribe"}', "data is missing"),
        (b'{"type": "devour", "data": {"email": "ada@example.org"}}', "type"),
        (b'{"type": "erase", "data": {}}', "data.email is missing"),
        (b'{"type": "erase", "data": {"email": "ada"}}', "data.email: 'ada' is no e-mail address"),
        (b'{"type": "erase", "data": {"email": "ada@example.org", "newsleters": []}}', "data.newsleters"),
        (b'{"type": "subscribe", "data": {"email": "ada@example.org"}}', "data.newsletters"),
        (
            b'{"type": "subscribe", "data": {"email": "ada@example.org", "newsletters": ["evening"]}}',
            "data.newsletters: there is no newsletter 'evening'",
        ),
        (
            b'{"type": "subscribe", "data": {"email": "a@mailinator.com", "newsletters": ["morning"]}}',
            "mailboxes",
        ),
        (
            b'{"type":"subscribe","data":{"email":"a@b.example","newsletters":["morning"],"topics":["Knitting"]}}',
            "topic 'Knitting'",
        ),
        (
            b'{"type":"subscribe","data":{"email":"a@b.example","newsletters":["morning"],"confirmed":true}}',
            "consent",
        ),
        (b'{"type": "update", "data": {"email": "ada@example.org", "hour": 24}}', "data.hour"),
        (b'{"type": "update", "data": {"email": "ada@example.org", "timezone": "Mars"}}', "data.timezone"),
        (
            b'{"type": "update", "data": {"email": "ada@example.org", "cadence": "weekly"}}',
            "data.newsletters",
        ),
        (
            b'{"type": "update", "data": {"email": "ada@example.org", "consent": {"ip": "x"}}}',
            "data.consent.ip",
        ),
        (
            b'{"type":"update","data":{"email":"a@b.example","consent":{"at":"2027-01-01T00:00:00Z"}}}',
            "data.consent.at",
        ),
    ],
)
def test_what_cannot_be_taken_is_answered_with_the_field(
    tmp_path: Path, clock: Clock, body: bytes, named: str
):
    """400 and a sentence; nothing is kept, so the same id may come again, mended."""
    database = f"sqlite:///{tmp_path}/distributor.db"
    with endpoint(tmp_path, clock, database, config="", newsletter=TOPICS, web=TRUSTING) as (app, client):
        answer = client.post("/webhooks/subscribers", content=body, headers=headers(body, "msg_1", clock()))
        assert answer.status_code == 400, answer.text
        assert named in answer.text
        assert answer.text.endswith(".\n")
        assert "pydantic" not in answer.text
        assert notes(app) == []
        assert say(client, "update").text == "Done.\n"


def test_what_is_too_large_is_not_read(site: tuple[App, httpx.Client], clock: Clock):
    """A message is of one person, and 64,000 bytes are enough for anybody."""
    _, client = site
    body = b" " * 64_001
    answer = client.post("/webhooks/subscribers", content=body, headers=headers(body, "msg_1", clock()))
    assert answer.status_code == 413


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ("email", "newsletters", "name", "topics", "cadence", "hour", "timezone", "locale", "attributes")
DATA = st.fixed_dictionaries(
    {"email": st.just(ADA) | JSON},
    optional=dict.fromkeys((*FIELDS[1:], "consent", "confirmed", "new_email"), JSON)
    | {"newsletters": st.lists(st.just("morning") | st.text(max_size=5), max_size=3)},
)


@given(
    JSON
    | st.fixed_dictionaries(
        {
            "type": st.sampled_from(["subscribe", "unsubscribe", "update", "erase"]) | JSON,
            "data": DATA | JSON,
        }
    )
)
@example({"type": "update", "data": {"email": ADA, "consent": {"at": "0001-01-01T00:00:00+14:00"}}})
@example({"type": "update", "data": {"email": ADA, "consent": {"at": 1e300}}})
@example({"type": "update", "data": {"email": ADA, "attributes": {"\x00": "\x00\ud800"}}})
def test_whatever_comes_is_read_or_said_to_be_unreadable(body: Any):
    """No JSON makes the parser fail otherwise, and its sentence is on one line."""
    told: Told | str
    try:
        told = told_by(body, received_at=MONDAY, newsletters={"morning": None})
    except Unreadable as error:
        told = str(error)
    if isinstance(told, str):
        assert len(told.splitlines()) == 1
        assert told.encode()
    else:
        assert told.evidence.at.tzinfo is UTC
        assert "\x00" not in told.wish.address + told.wish.name + "".join(told.wish.attributes)


# --- the document ---


def test_every_message_of_the_document_is_taken(trusting: tuple[App, httpx.Client], clock: Clock):
    """The examples are messages as they are."""
    _, client = trusting
    bodies = [
        found.encode() for found in re.findall(r"```json\n(\{\s*\"type\".*?)\n```", DOCUMENT, re.DOTALL)
    ]
    heard_of = {orjson.loads(body)["type"] for body in bodies if b"subscriber." not in body}
    assert heard_of >= {"subscribe", "update", "unsubscribe", "erase"}
    for number, body in enumerate(bodies):
        if orjson.loads(body)["type"] in ("subscribe", "update", "unsubscribe", "erase"):
            told = headers(body, f"msg_{number}", clock())
            answer = client.post("/webhooks/subscribers", content=body, headers=told)
            assert answer.status_code == 200, answer.text


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="needs curl and openssl")
def test_the_command_of_the_document_is_believed(tmp_path: Path):
    """A shell with openssl and curl can sign."""
    clock = Clock(datetime.now(UTC))
    with endpoint(tmp_path, clock, f"sqlite:///{tmp_path}/distributor.db", config="", web=WEB) as (
        app,
        client,
    ):
        [script] = re.findall(r"```sh\n(url=.*?)```", DOCUMENT, re.DOTALL)
        script = script.replace("https://mail.news.example", str(client.base_url).rstrip("/"))
        run = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env={"PATH": os.environ["PATH"], "SUBSCRIBERS_SECRET": SECRET},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (run.returncode, run.stdout) == (0, "Done.\n"), run.stderr
        assert states(app) == {"morning": "unconfirmed"}
