"""What strangers try: flooding mailboxes, guessing links, and sending what breaks programs."""

from __future__ import annotations

import csv
import io
import logging
import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from subscribers.model import address_hash
from subscribers.tokens import Place, Tokens
from tests.web.visits import HTML, READER, WEEKEND, Visit, heading, visited
from tests.workspace import Clock, mails, subscribe, text_of

VICTIM = "victim@example.net"
TRUSTED = 'proxies = ["127.0.0.1"]\n'

# --- flooding ---


def from_(ip: str) -> dict[str, str]:
    return {"x-forwarded-for": ip}


def test_a_stranger_gets_one_question_a_day(tmp_path: Path):
    """From however many places it is asked for, and by readers who call it their new one."""
    with visited(tmp_path, Clock(), web=TRUSTED) as visit:
        readers = [f"reader{number}@example.org" for number in range(3)]
        subscribe(visit.app, *readers)
        for number in range(12):
            told = {
                "email": VICTIM.upper() if number % 2 else VICTIM,
                "newsletter": ["morning", "weekend"][: number % 2 + 1],
            }
            visit.post("/subscribe", data=told, headers=from_(f"198.51.{number}.7"))
            for reader in readers:
                visit.post(f"/preferences/{visit.token(reader)}/address", data={"email": VICTIM})
            visit.app.deliver()
            visit.clock.go_on(hours=1)
        assert [mail["To"] for mail in mails(tmp_path)] == [VICTIM]


def test_one_mailbox_under_many_names_is_one(tmp_path: Path):
    """`victim+1@`, `victim+2@`, and at Gmail `v.ictim@` reach the same person."""
    with visited(tmp_path, Clock(), web=TRUSTED) as visit:
        tagged = [f"victim+{number}@example.net" for number in range(12)]
        dotted = [f"v.i.ctim+{number}@gmail.com" for number in range(6)] + [
            "victim@gmail.com",
            "vic.tim@googlemail.com",
        ]
        for number, address in enumerate([*tagged, *dotted]):
            told = {"email": address, "newsletter": "morning"}
            visit.post("/subscribe", data=told, headers=from_(f"198.51.{number}.7"))
        visit.app.deliver()
        to = [str(mail["To"]) for mail in mails(tmp_path)]
        assert len([address for address in to if "example.net" in address]) == 5
        assert len([address for address in to if "example.net" not in address]) == 5


def test_who_asks_too_often_has_to_wait(visit: Visit):
    """Fifteen forms in ten minutes from one place without our stamp, thirty with it; the wait is told."""
    for stamped, most in ((False, 15), (True, 30)):
        answers = []
        for number in range(most + 1):
            told = {"email": f"{stamped}{number}@example.org", "newsletter": "morning"}
            if stamped:
                answers.append(visit.press(visit.get("/subscribe"), "Subscribe", told))
            else:
                answers.append(visit.post("/subscribe", data=told))
        assert [answer.status_code for answer in answers] == [200] * most + [429]
        assert heading(answers[-1]) == "Please wait a little"
        assert 0 < int(answers[-1].headers["retry-after"]) <= 600


def test_a_network_counts_as_one_that_is_many(tmp_path: Path):
    """Sixty from a /24, whatever the last number is; IPv6 by its /56. Others are not kept waiting."""
    with visited(tmp_path, Clock(), web=TRUSTED) as visit:
        for place in ("198.51.100.{}", "2001:db8:0:10{:02x}::1"):
            codes = [
                visit.post("/subscribe", headers=from_(place.format(number % 100))).status_code
                for number in range(61)
            ]
            assert codes == [422] * 60 + [429]
        assert visit.post("/subscribe", headers=from_("203.0.113.9")).status_code == 422


def test_a_forged_origin_is_not_believed(visit: Visit):
    """X-Forwarded-For counts from proxies that are named, and from nobody else."""
    codes = {
        visit.post("/subscribe", headers=from_(f"198.51.{number}.7")).status_code for number in range(16)
    }
    assert 429 in codes


def test_a_token_sends_no_heap_of_mails(visit: Visit):
    """Ten new addresses an hour by whoever holds a reader's link."""
    path = f"/preferences/{visit.join()}/address"
    codes = [
        visit.post(path, data={"email": f"other{number}@example.org"}).status_code for number in range(11)
    ]
    assert codes == [200] * 10 + [429]


def test_one_click_is_never_counted(visit: Visit):
    """A mail service posts for all of its users, from one place."""
    token = visit.join()
    for _ in range(150):
        assert visit.post(f"/unsubscribe/{token}", data={"List-Unsubscribe": "One-Click"}).status_code == 200


def test_programs_that_fill_in_forms_are_thanked(visit: Visit):
    """Who writes into the field that nobody sees is answered as ever, and nothing comes of it."""
    before = visit.tables()
    page = visit.ask(VICTIM, homepage="https://spam.example")
    assert heading(page) == "Please look into your mailbox"
    assert visit.tables() == before


# --- links ---


def test_no_link_names_its_reader(visit: Visit):
    """Not in plain sight, nor in any encoding of the address."""
    token = visit.join()
    link = visit.edition()["List-Unsubscribe"]
    for written in (READER, READER.encode().hex(), address_hash(READER).hex(), "YWRhQGV4YW1wbGU"):
        assert written not in token + link


def test_other_links_are_none(visit: Visit):
    """Forged, cut, of another house, or meant for something else: 404, and nothing happens."""
    token = visit.join()
    visit.ask("bo@example.org")
    question = visit.mailed("confirm", "bo@example.org").rpartition("/")[2]
    foreign = Tokens(b"another installation's secret").make(Place(subscriber=1, list=1))
    stamp = visit.app.tokens.expiring("form", 1, 1, visit.clock.go_on(seconds=1))
    wrong = [
        foreign,
        stamp,
        token[:-1],
        token[1:],
        token + "A",
        token.swapcase(),
        token + "=",
        "A" * len(token),
        "%F0%9F%A6%86",
        "%2e%2e%2fetc",
        "a" * 8000,
        "%00",
        "null",
        "-1",
    ]
    before = visit.tables()
    told = {
        "confirm": "yes",
        "save": "yes",
        "unsubscribe": "everything",
        "erase": "yes",
        "data": "yes",
        "weeks": "1",
    }
    for kind in ("confirm", "unsubscribe", "preferences"):
        for one in [*wrong, token if kind == "confirm" else question]:
            for page in (visit.get(f"/{kind}/{one}"), visit.post(f"/{kind}/{one}", data=told)):
                assert page.status_code == 404, (kind, one)
    for more in ("pause", "address", "data", "erase"):
        for one in [*wrong, question]:
            assert visit.post(f"/preferences/{one}/{more}", data=told | {"email": VICTIM}).status_code == 404
    assert visit.tables() == before


# --- what every answer says ---


def test_every_answer_is_guarded(visit: Visit):
    """Whatever is answered: nothing of others runs in a page, frames it, or learns its address."""
    token = visit.join()
    answers = [
        visit.get("/subscribe"),
        visit.get("/pages.css"),
        visit.get(f"/preferences/{token}"),
        visit.post(f"/preferences/{token}/data", data={"data": "yes"}),
        visit.post(f"/unsubscribe/{token}", data={"List-Unsubscribe": "One-Click"}),
        visit.post("/subscribe", data={"email": "x"}),
        visit.get("/nowhere"),
        visit.client.put("/subscribe"),
        visit.post("/subscribe", data={"name": "x" * 70_000}),
        visit.post("/webhooks/email/nobody"),
        visit.get("/healthz"),
    ]
    assert [answer.status_code for answer in answers] == [200] * 5 + [422, 404, 405, 413, 404, 200]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        for part in ("default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"):
            assert part in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert "server" not in answer.headers
        assert "set-cookie" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


def test_nothing_sends_a_visitor_elsewhere(visit: Visit):
    """No address of ours answers with another, whatever stands in it or in the name of the host."""
    token = visit.join()
    hostile = {"host": "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "javascript"}
    paths = (
        "/",
        "//evil.example",
        "//evil.example/..",
        "/subscribe/",
        "/subscribe?next=https://evil.example",
        "/archive/",
        "/%5cevil.example",
        "/https://evil.example",
        f"/preferences/{token}/",
        f"/unsubscribe/{token}/",
        f"/preferences/{token}?return=//evil.example",
        "/archive//evil.example/",
        "/\\evil.example",
    )
    for path in paths:
        for method in ("GET", "POST"):
            answer = visit.client.request(
                method, f"{visit.client.base_url}".rstrip("/") + path, headers=hostile
            )
            assert not answer.is_redirect, path
            assert "evil.example" not in answer.text.replace("return=//evil.example", "")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"content": b"email=" + b"x" * 64_000}, 413),
        ({"content": iter([b"email=", *[b"x" * 10_000] * 10])}, 413),
        ({"data": {f"field{number}": "x" for number in range(400)}}, 400),
        ({"files": {"email": ("a.txt", b"ada@example.org")}}, 400),
        ({"content": b"no boundary", "headers": {"content-type": "multipart/form-data"}}, 400),
        ({"content": b"--x\r\n\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}}, 400),
        ({"content": b'{"email": "ada@example.org"}', "headers": {"content-type": "application/json"}}, 422),
        ({"content": b"email=ada@example.org", "headers": {"content-type": "text/plain"}}, 422),
    ],
)
def test_a_body_that_is_no_form_of_ours_is_refused(visit: Visit, body: dict[str, object], status: int):
    """Too long, said or not; too many fields; a file; torn; or something else altogether."""
    kind = (
        {}
        if "headers" in body or "data" in body or "files" in body
        else {"content-type": "application/x-www-form-urlencoded"}
    )
    headers = HTML | kind | dict(body.pop("headers", {}))  # type: ignore[call-overload]
    answer = visit.post("/subscribe", headers=headers, **body)
    assert answer.status_code == status
    assert heading(answer)


# --- what breaks programs ---

CODECS = (
    "unicode_escape",
    "undefined",
    "idna",
    "punycode",
    "rot13",
    "zlib",
    "utf-7",
    "utf-16",
    "x" * 99,
    "",
)


@pytest.mark.parametrize("codec", CODECS)
def test_the_sender_does_not_choose_how_text_is_read(visit: Visit, codec: str):
    """A form says in which encoding it is; what none is, or what makes half characters, harms nothing."""
    token = visit.join()
    part = b'--x\r\ncontent-disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    fields = {
        b"name": b"\\ud800 \xff+AGE-",
        b"email": b"a\\ud800@example.org",
        b"save": b"yes",
        b"hour": b"any",
    }
    body = b"".join(part % field for field in fields.items()) + b"--x--\r\n"
    kind = b"multipart/form-data; boundary=x; charset=" + codec.encode()
    for path in ("/subscribe", f"/preferences/{token}", f"/preferences/{token}/address"):
        answer = visit.post(path, content=body, headers=[(b"content-type", kind), (b"accept", b"text/html")])
        assert answer.status_code < 500


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory):
    """One site for hundreds of forms."""
    with visited(tmp_path_factory.mktemp("forms"), Clock(), web=TRUSTED) as visit:
        visit.join(READER, "morning", "weekend")
        yield visit


COMING = ("email", "newsletter", "name", "topic", "cadence", "stamp", "homepage", "confirm")
CHOOSING = (
    "save",
    "shown",
    "wanted",
    "topic:morning",
    "cadence:morning",
    "hour",
    "timezone",
    "weeks",
    "data",
)
GOING = ("unsubscribe", "List-Unsubscribe", "undo", "again", "erase")
NAMES = st.sampled_from(COMING + CHOOSING + GOING)
WORDS = st.sampled_from(
    ["yes", "this", "everything", "morning", "weekend", "science", "weekly", "any", "7", "0", READER]
)
VALUES = WORDS | st.text(max_size=60) | st.text(alphabet="@.\r\n\0<>'\"%=+-٧ａ\u202e\U0001f986", max_size=20)
PATHS = st.sampled_from(
    [
        "/subscribe",
        "/confirm/{}",
        "/unsubscribe/{}",
        "/preferences/{}",
        *(f"/preferences/{{}}/{kind}" for kind in ("pause", "address", "data")),
    ]
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=PATHS,
    fields=st.lists(st.tuples(NAMES, VALUES), max_size=12),
    is_multipart=st.booleans(),
    number=st.integers(1, 250),
)
def test_any_form_gets_an_answer(
    standing: Visit, path: str, fields: list[tuple[str, str]], is_multipart: bool, number: int
):
    """Whatever stands in the fields: done, or refused with a page; never a fault of ours."""
    sent = [(name, value.encode(errors="replace").decode()) for name, value in fields]
    body: dict[str, Any] = {"content": urlencode(sent)}
    if is_multipart:
        body = {"files": [(name, (None, value)) for name, value in [*sent, ("x", "")]]}
    headers = from_(f"198.{number}.{len(fields)}.7")
    if not is_multipart:
        headers["content-type"] = "application/x-www-form-urlencoded"
    answer = standing.post(path.format(standing.token()), headers=headers, **body)
    assert answer.status_code in (200, 400, 404, 422, 429), answer.text
    assert "<h1" in answer.text or answer.headers["content-type"] != "text/html; charset=utf-8"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=PATHS,
    body=st.binary(max_size=300),
    kind=st.sampled_from(
        [
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "multipart/form-data",
            "multipart/mixed; boundary=x",
            "text/html",
            "application/json",
            "",
        ]
    ),
    start=st.sampled_from(
        [b"", b'--x\r\nContent-Disposition: form-data; name="email"\r\n\r\n', b"email=%", b"--x\r\n"]
    ),
)
def test_any_body_gets_an_answer(standing: Visit, path: str, body: bytes, kind: str, start: bytes):
    """Bytes of every kind under every name."""
    headers = HTML | {"content-type": kind} | from_("203.0.113.7")
    answer = standing.post(path.format(standing.token()), content=start + body, headers=headers)
    assert answer.status_code in (200, 400, 404, 422, 429), answer.text


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    begin=st.sampled_from(
        [
            "/",
            "/archive/",
            "/confirm/",
            "/preferences/",
            "/media/",
            "/archive/morning/?before=",
            "/subscribe?newsletter=",
        ]
    ),
    rest=st.text(max_size=40) | st.integers(0, 2**70).map(str),
)
def test_any_address_gets_an_answer(standing: Visit, begin: str, rest: str):
    """Whatever is written behind the host."""
    answer = standing.get(begin + quote(rest, errors="replace"))
    assert answer.status_code in (200, 404), (answer.url, answer.text)


HOSTILE = (
    '=HYPERLINK("https://evil.example")<script>alert(1)</script>{{7*7}}'
    "\r\nBcc: all@example.org\u202e' OR 1=1--"
)


def test_a_hostile_name_is_only_a_name(visit: Visit):
    """In pages, in mails and their headers, in the file for spreadsheets."""
    visit.ask(name=HOSTILE)
    visit.press(visit.get(visit.mailed("confirm")), "Yes, send it to me")
    page = visit.get(f"/preferences/{visit.token()}")
    assert "<script>" not in page.text
    assert "{{7*7}}" in page.text
    mail = visit.edition()
    assert mail["Bcc"] is None
    assert str(mail["To"]) == READER or READER in str(mail["To"])
    assert "<script>" not in str(mail.get_body(("html",)))
    rows = io.StringIO(newline="")
    visit.app.export_subscribers(rows)
    [row] = csv.DictReader(io.StringIO(rows.getvalue()))
    assert row["name"].startswith("'=HYPERLINK")


def test_hostile_settings_break_no_page(tmp_path: Path):
    """Titles, topics and descriptions are shown as they are written, and can be chosen."""
    topic = "<b>&\"'%7B{{x}} ٣"
    quoted = topic.replace('"', '\\"')
    newsletter = f'topics = ["{quoted}", "x"]\ndescription = "</p><script>x</script>"\n'
    config = WEEKEND.replace("newsletters.weekend", 'newsletters."Ночь 1.5"').replace(
        'The Weekend"', '<i>Odd"'
    )
    with visited(tmp_path, Clock(), newsletter=newsletter, config=config) as visit:
        page = visit.get(f"/preferences/{visit.join()}")
        assert "<script>" not in page.text
        assert "<i>Odd" not in page.text
        told = {"topic:morning": topic, "wanted": ["morning", "Ночь 1.5"]}
        assert visit.press(page, "Save", told).status_code == 200
        assert visit.place().topics == (topic,)
        assert visit.states() == {"morning": "confirmed", "Ночь 1.5": "confirmed"}
        for place in re.findall(r'href="(/(?:archive|subscribe)[^"]*)"', visit.get("/").text):
            assert visit.get(unescape(place)).status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "ада@пример.рф",
        "用户@例え.jp",
        "ada@bücher.example",
        "أحمد@مثال.إختبار",
        "jürgen+neu@example.org",
        "o'neil@example.org",
    ],
)
def test_an_address_of_any_script_goes_the_whole_way(visit: Visit, address: str):
    """From the form to the edition, and out again."""
    assert visit.ask(address).status_code == 200
    visit.app.deliver()
    [mail] = mails(visit.folder)
    path = text_of(mail).partition("https://mail.news.example/confirm/")[2].split()[0]
    assert heading(visit.press(visit.get(f"/confirm/{path}"), "Yes, send it to me")) == "Welcome!"
    token = visit.token(address)
    assert visit.get(f"/preferences/{token}").status_code == 200
    visit.press(visit.get(f"/unsubscribe/{token}"), "Unsubscribe")
    assert visit.states(address) == {"morning": "unsubscribed"}


# --- when something is away, and what is told of it ---


def test_while_the_database_is_away_nothing_is_lost(visit: Visit, tmp_path: Path):
    """503 with a time to come again, on a page for people; afterwards the same request works."""
    token = visit.join()
    place = tmp_path / "distributor.db"
    visit.app.database.engine.dispose()
    place.rename(tmp_path / "away")
    place.mkdir()
    click = {"data": {"List-Unsubscribe": "One-Click"}}
    pages = [
        visit.get(f"/preferences/{token}"),
        visit.post(f"/unsubscribe/{token}", **click),
        visit.post("/subscribe", data={"email": VICTIM, "newsletter": "morning"}),
        visit.get("/archive"),
    ]
    assert {(page.status_code, page.headers["retry-after"]) for page in pages} == {(503, "5")}
    assert heading(pages[0]) == "One moment, please"
    assert visit.get("/readyz", headers={"accept": "*/*"}).status_code == 503
    assert visit.get("/subscribe").status_code == 200
    place.rmdir()
    (tmp_path / "away").rename(place)
    assert visit.post(f"/unsubscribe/{token}", **click).status_code == 200


def test_logs_name_no_reader(visit: Visit, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """Neither address nor token, in good times and when something breaks."""
    caplog.set_level(logging.DEBUG)
    token = visit.join()
    visit.post("/subscribe", data={"email": "wrong@@example.org"})
    visit.get(f"/preferences/{token}")
    with visit.app.database.engine.begin() as db:
        db.exec_driver_sql("ALTER TABLE subscriber RENAME COLUMN name TO lost")
    broken = visit.ask("bo@example.org")
    assert (broken.status_code, heading(broken)) == (500, "Something went wrong here")
    assert visit.get(f"/preferences/{token}").status_code == 500
    ours = ("distributor", "subscribers", "uvicorn", "sqlalchemy", "asyncio")
    said = "\n".join(
        caplog.handler.format(record) for record in caplog.records if record.name.startswith(ours)
    )
    assert "a request to /subscribe… failed" in said
    for theirs in (READER, token, "bo@example.org", "wrong@@"):
        assert theirs not in said


def test_a_broken_template_is_told_to_the_publisher_alone(visit: Visit, caplog: pytest.LogCaptureFixture):
    """In the log; readers are told that it was noted."""
    folder = visit.folder / "templates" / "pages"
    folder.mkdir(parents=True)
    (folder / "subscribe.html.j2").write_text("{{ secret_setting.nowhere }}")
    page = visit.get("/subscribe")
    assert (page.status_code, heading(page)) == (500, "Something went wrong here")
    assert "secret_setting" not in page.text
    assert "secret_setting" in caplog.text
