"""The vendors' simulator: it understands our clients, they understand it, and its faults do what they say."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from pydantic import SecretStr

from distributor.config import Provider
from distributor.errors import AccountTrouble, Refused, SendError, SomeRefused, TryLater, Unclear
from distributor.model import Answer, Email
from distributor.providers.by_type import email_provider
from distributor.providers.email.mailersend import MailerSend
from distributor.providers.protocol import EmailProvider, Finding
from distributor.vendors import VENDORS
from tests.providers.contract import BATCH, DIGEST, EMAILS, SENDER, email
from tests.simulator.control import Handle, simulator
from tests.simulator.faults import EFFECTS, Fault, Rule
from tests.simulator.ledger import Window
from tests.simulator.vendors import VENDORS as SIMULATED

OVER_HTTP = sorted(set(VENDORS) - {"outbox", "smtp"})
NEEDED = {
    "key": SecretStr("key-1"),
    "secret": SecretStr("secret-1"),
    "region": "us-east-1",
    "domain": "news.example",
}
KEYS = [one.key for one in EMAILS]
ONCE = dict.fromkeys(KEYS, 1)
MESSAGE = "Subject: x\r\nMessage-ID: <7-1-abcdef01@news.example>\r\n\r\nHello\r\n.dotted\r\n"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Handle]:
    with simulator(tmp_path_factory.mktemp("simulator") / "accepted.tsv") as handle:
        yield handle


@pytest.fixture
def sim(running: Handle) -> Handle:
    running.reset()
    return running


def client(vendor: str, sim: Handle | None = None) -> EmailProvider:
    """A vendor's real client; with *sim*, one that speaks to the simulator."""
    if vendor == "smtp":
        own: dict[str, Any] = {"host": "127.0.0.1", "port": sim and sim.smtp_port, "security": "none"}
    else:
        own = {name: NEEDED[name] for name in VENDORS[vendor].needs} | {"base_url": sim and sim.url(vendor)}
    settings = Provider(type=vendor, **own)
    return MailerSend(settings, patience=0) if vendor == "mailersend" else email_provider(settings)


async def send(sim: Handle, vendor: str, emails: Sequence[Email] = tuple(EMAILS)) -> Answer:
    """Mails through a vendor's real client."""
    async with client(vendor, sim).connected() as calls:
        return await calls.send(BATCH, DIGEST, emails, sender=SENDER, media=lambda picture: b"")


@pytest.mark.anyio
@pytest.mark.parametrize("vendor", sorted(set(VENDORS) - {"outbox"}))
async def test_every_client_is_understood_and_understands(sim: Handle, vendor: str):
    """One small batch: each key arrives once, at its own address, and each reader has a receipt."""
    answer = await send(sim, vendor)
    assert sim.state()["unreadable"] == []
    assert sim.accepted() == ONCE
    assert [(taken.key, taken.address) for taken in sim.taken()] == [(one.key, one.address) for one in EMAILS]
    assert answer.receipt or set(answer.receipts) == {1, 2, 3}
    assert not answer.refused
    assert not answer.later
    assert not answer.unclear


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("effect", "error", "is_accepted"),
    [
        ("busy", TryLater, False),
        ("quota", TryLater, False),
        ("unauthorized", AccountTrouble, False),
        ("unknown", Refused, False),
        ("error", Unclear, False),
        ("gateway", Unclear, False),
        ("gateway_after", Unclear, True),
        ("reset", Unclear, False),
        ("reset_after", Unclear, True),
        ("half", Unclear, True),
        ("html", Unclear, True),
    ],
)
@pytest.mark.parametrize("vendor", OVER_HTTP)
async def test_every_client_reads_every_failure(
    sim: Handle, vendor: str, effect: str, error: type[SendError], is_accepted: bool
):
    """A fault is named by what to do next, whether or not the vendor had accepted before it."""
    sim.faults([{"vendor": vendor, "effect": effect}])
    with pytest.raises(error):
        await send(sim, vendor)
    assert sim.accepted() == (ONCE if is_accepted else {})
    assert sim.state()["faults"][0]["used"] == 1


@pytest.mark.anyio
@pytest.mark.parametrize("vendor", [vendor for vendor in OVER_HTTP if SIMULATED[vendor].as_a_whole])
async def test_every_client_tells_a_bad_address_from_a_bad_call(sim: Handle, vendor: str):
    """All are refused for the sake of one: either the client knows whom, or it asks for halves."""
    sim.faults([{"effect": "bad_address", "pattern": "reader2"}])
    try:
        answer = await send(sim, vendor)
    except SomeRefused:
        pass
    else:
        assert (set(answer.refused), set(answer.later) | set(answer.refused)) == ({2}, {1, 2, 3})
    assert sim.accepted() == {}
    await send(sim, vendor, EMAILS[:1])
    assert sim.accepted() == {KEYS[0]: 1}


@pytest.mark.anyio
@pytest.mark.parametrize("vendor", [vendor for vendor in OVER_HTTP if SIMULATED[vendor].one_by_one])
async def test_every_client_reads_who_was_refused(sim: Handle, vendor: str):
    """Inside an accepted call one reader is refused; where the vendor does not say who, nobody is sure."""
    sim.faults([{"effect": "refuse", "pattern": "reader2"}])
    if vendor == "sparkpost":
        with pytest.raises(Unclear):
            await send(sim, vendor)
    else:
        answer = await send(sim, vendor)
        assert (set(answer.refused), set(answer.receipts)) == ({2}, {1, 3})
    assert sim.accepted() == {KEYS[0]: 1, KEYS[2]: 1}


@pytest.mark.anyio
@pytest.mark.parametrize("vendor", [v for v in OVER_HTTP if client(v).limits.found_after is not None])
async def test_every_client_that_can_look_up_finds_what_was_accepted(sim: Handle, vendor: str):
    """After a lost answer the vendor's own search has all of them, and none before the call."""
    batch = replace(BATCH, called_at=datetime.now(UTC))
    async with client(vendor, sim).connected() as calls:
        finding = cast(Finding, calls)
        assert await finding.find(batch, EMAILS) == {}
        sim.faults([{"vendor": vendor, "effect": "reset_after"}])
        with pytest.raises(Unclear):
            await calls.send(batch, DIGEST, EMAILS, sender=SENDER, media=lambda picture: b"")
        assert set(await finding.find(batch, EMAILS)) == {1, 2, 3}


@pytest.mark.anyio
async def test_mailguns_events_come_page_by_page(sim: Handle):
    """What a page of 300 cannot hold is on the next."""
    batch = replace(BATCH, called_at=datetime.now(UTC))
    many = [email(number) for number in range(1, 701)]
    async with client("mailgun", sim).connected() as calls:
        await calls.send(batch, DIGEST, many, sender=SENDER, media=lambda picture: b"")
        assert len(await cast(Finding, calls).find(batch, many)) == 700


def test_more_than_a_call_takes_is_refused(sim: Handle):
    """The vendors' own limits hold."""
    assert post(sim, *(email(number).key for number in range(101))).status_code == 400
    assert "101 messages" in sim.state()["unreadable"][0]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("effect", "receipts", "refused", "later", "unclear"),
    [
        ("smtp_450", {1, 3}, set(), {2}, set()),
        ("smtp_550", {1, 3}, {2}, set(), set()),
        ("smtp_hang_up_at_data", {1}, set(), {2, 3}, set()),
        ("smtp_hang_up_after_dot", {1}, set(), {3}, {2}),
        ("smtp_451_after_dot", {1, 3}, set(), {2}, set()),
    ],
)
async def test_the_smtp_client_knows_which_message_was_hit(
    sim: Handle, effect: str, receipts: set[int], refused: set[int], later: set[int], unclear: set[int]
):
    """The second of three goes wrong: each of them is named by what to do next."""
    sim.faults([{"effect": effect, "nth": [2]}])
    answer = await send(sim, "smtp")
    assert (set(answer.receipts), set(answer.refused)) == (receipts, refused)
    assert (set(answer.later), set(answer.unclear)) == (later, unclear)
    assert sim.accepted() == {f"7-{number}-abcdef01": 1 for number in receipts | unclear}


@pytest.mark.anyio
@pytest.mark.parametrize("vendor", [*OVER_HTTP, "smtp"])
async def test_no_client_is_ever_wrong_about_what_was_accepted(sim: Handle, vendor: str):
    """With every fault there is, by chance: who has a receipt was accepted, whom it denies was not."""
    sim.faults(
        [
            {"effect": effect, "probability": 0.04, "seed": seed, "seconds": 0.01, "pattern": "[37]@"}
            for seed, effect in enumerate(EFFECTS)
        ]
    )
    said = Said()
    async with client(vendor, sim).connected() as calls:
        for number in range(60):
            batch = replace(BATCH, key=f"5f0c7c1e-7a55-5cf8-9d7f-{number:012x}")
            emails = [email(10 * number + place) for place in range(10)]
            try:
                answer = await calls.send(batch, DIGEST, emails, sender=SENDER, media=lambda picture: b"")
            except Unclear:
                continue
            except (Refused, TryLater):
                said.no.update(one.key for one in emails)
            else:
                said.hear(answer, emails)
    accepted = sim.accepted()
    assert said.yes - accepted.keys() == set()
    assert said.no & accepted.keys() == set()
    assert set(accepted.values()) == {1}
    assert min(len(said.yes), len(said.no)) > 20  # there was something to be wrong about


@dataclass
class Said:
    """What a client says of delivery keys; of the others it is not sure."""

    yes: set[str] = field(default_factory=set)
    no: set[str] = field(default_factory=set)

    def hear(self, answer: Answer, emails: Sequence[Email]) -> None:
        for one in emails:
            if one.recipient in answer.refused or one.recipient in answer.later:
                self.no.add(one.key)
            elif one.recipient not in answer.unclear:
                self.yes.add(one.key)


def post(sim: Handle, *keys: str, request: str = "r-1") -> httpx.Response:
    return sim.http.send(resend_call(sim, *keys, request=request))


def resend_call(sim: Handle, *keys: str, request: str = "r-1", timeout: float = 30) -> httpx.Request:
    """A call as Resend's documentation shows it."""
    emails = [
        {
            "from": "a@news.example",
            "to": [f"{key}@example.org"],
            "subject": "x",
            "text": "x",
            "tags": [{"name": "delivery", "value": key}],
        }
        for key in keys
    ]
    headers = {"Idempotency-Key": request} if request else {}
    url = f"{sim.url('resend')}/emails/batch"
    return sim.http.build_request("POST", url, json=emails, headers=headers, timeout=timeout)


def test_the_same_idempotency_key_accepts_nothing_twice(sim: Handle):
    """The same call again has the same ids; another body under its key is a conflict."""
    first, second = post(sim, *KEYS), post(sim, *KEYS)
    assert first.json() == second.json()
    assert post(sim, KEYS[0]).status_code == 409
    assert sim.accepted() == ONCE
    assert sim.state()["calls"] == {"resend": {"200": 2, "409": 1}}


def test_a_call_that_comes_while_it_is_under_way_is_told_so(sim: Handle):
    """The same key before the first answer has left: another conflict, which is no refusal."""
    sim.faults([{"effect": "delay", "seconds": 20, "count": 1}])
    with pytest.raises(httpx.ReadTimeout):
        sim.http.send(resend_call(sim, *KEYS, timeout=0.05))
    answer = post(sim, *KEYS)
    assert (answer.status_code, answer.json()["name"]) == (409, "concurrent_idempotent_requests")
    assert sim.accepted() == ONCE


def test_a_request_that_is_cut_off_is_not_accepted(sim: Handle):
    """A client that dies in the middle of its body has sent nothing."""
    request = resend_call(sim, *KEYS)
    with socket.create_connection(("127.0.0.1", sim.port)) as connection:
        head = f"POST {request.url.path} HTTP/1.1\r\nContent-Length: {len(request.content)}\r\n\r\n"
        connection.sendall(head.encode() + request.content[:-1])
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""  # it has noticed
    assert sim.state()["calls"] == {"resend": {"cut off": 1}}
    assert sim.accepted() == {}


def test_a_key_that_comes_twice_is_counted_twice(sim: Handle):
    """Two calls that the vendor cannot tell to be one are two mails, and the state names the key."""
    post(sim, KEYS[0], KEYS[1], request="")
    post(sim, KEYS[1], request="")
    state = sim.state()
    assert sim.accepted() == {KEYS[0]: 1, KEYS[1]: 2}
    assert (state["accepted"], state["keys"], state["doubled"]) == (3, 2, {KEYS[1]: 2})
    assert state["most_calls_per_minute"] == {"resend": 2}


def test_a_message_without_a_key_is_refused_and_remembered(sim: Handle):
    """A client that forgets our key does not go unnoticed."""
    assert post(sim, "no-key-at-all").status_code == 400
    [told] = sim.state()["unreadable"]
    assert "no delivery key in message 0" in told
    assert sim.accepted() == {}


def test_rules_strike_the_calls_they_name(sim: Handle):
    """The second call only, then every call until the count is used up; other vendors are spared."""
    sim.faults(
        [
            {"effect": "error", "nth": [2]},
            {"effect": "busy", "vendor": "mailgun"},
            {"effect": "busy", "retry_after": 7, "count": 1},
        ]
    )
    answers = [post(sim, key, request="") for key in KEYS]
    assert [answer.status_code for answer in answers] == [429, 500, 200]
    assert answers[0].headers["retry-after"] == "7"
    sim.no_faults()
    assert sim.state()["faults"] == []


def test_chance_is_the_same_for_the_same_seed():
    """A rule with a probability strikes the same calls in every run, about as many as it says."""
    rule = Rule(effect="busy", probability=0.25, seed=7)
    first, second = ([fault.strikes() for _ in range(1000)] for fault in (Fault(rule), Fault(rule)))
    assert first == second
    assert 200 < sum(first) < 300


def test_an_effect_that_does_not_exist_is_an_error(sim: Handle):
    """A misspelt rule is not a test that passes."""
    with pytest.raises(ValueError, match="no effect is called bussy"):
        sim.faults([{"effect": "bussy"}])
    with pytest.raises(ValueError, match="unexpected keyword"):
        sim.faults([{"effect": "busy", "vendors": "resend"}])
    with pytest.raises(ValueError, match="no vendor is called malgun"):
        sim.faults([{"effect": "busy", "vendor": "malgun"}])


def test_some_are_refused_and_the_others_accepted(sim: Handle):
    """By a pattern of the address, and every nth of a call, as the vendor tells it."""
    sim.faults([{"effect": "refuse", "pattern": f"^{KEYS[0]}@"}, {"effect": "refuse", "every": 3}])
    told = post(sim, *KEYS).json()
    assert [error["index"] for error in told["errors"]] == [0, 2]
    assert [one["id"] for one in told["data"]] == [f"re-{KEYS[1]}"]
    assert sim.accepted() == {KEYS[1]: 1}


def test_a_slow_answer_is_whole_and_takes_its_time(sim: Handle):
    """Delay and drip change when an answer is there, not what it says."""
    sim.faults([{"effect": "delay", "seconds": 0.05}, {"effect": "drip", "seconds": 0.1}])
    answer = post(sim, *KEYS)
    assert len(answer.json()["data"]) == 3
    assert answer.elapsed.total_seconds() >= 0.05


def test_the_busiest_second_is_exact():
    """The window slides: calls at either side of a full second do not meet."""
    window = Window(1.0)
    for at in (0.0, 0.5, 0.9, 1.0, 1.4, 3.0):
        window.add(1, at)
    assert window.most == 4  # 0.5, 0.9, 1.0 and 1.4


def test_what_was_accepted_outlives_the_simulator(tmp_path: Path):
    """Killed and started again on the same log, it goes on counting; half a line is none."""
    log = tmp_path / "accepted.tsv"
    with simulator(log, fsync=True) as sim:
        post(sim, KEYS[0], request="")
        sim.kill()
        assert sim.accepted() == {KEYS[0]: 1}
        with log.open("a") as file:
            file.write(f"resend\t{KEYS[1]}\treader")
        assert sim.accepted() == {KEYS[0]: 1}
        sim.start()
        post(sim, KEYS[0], request="")
        assert sim.state()["doubled"] == sim.accepted() == {KEYS[0]: 2}


def test_idempotency_outlives_the_simulator(tmp_path: Path):
    """Killed after it accepted, it knows the call again, and who was refused in it."""
    with simulator(tmp_path / "accepted.tsv") as sim:
        sim.faults([{"effect": "refuse", "pattern": KEYS[1]}])
        first = post(sim, *KEYS, request=BATCH.key)
        sim.kill()
        sim.start()
        assert post(sim, *KEYS, request=BATCH.key).json() == first.json()
        assert sim.accepted() == {KEYS[0]: 1, KEYS[2]: 1}


def test_nothing_is_left_running(tmp_path: Path):
    """After the block the port is closed."""
    with simulator() as sim:
        post(sim, *KEYS)
        assert sim.accepted() == ONCE
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", sim.port))


def mail(sim: Handle, *to: str) -> None:
    with smtplib.SMTP("127.0.0.1", sim.smtp_port, timeout=10) as server:
        server.sendmail("news@news.example", to or ["reader1@example.org"], MESSAGE)


def test_a_mail_over_smtp_is_counted_by_its_message_id(sim: Handle):
    """The key stands in the Message-ID, the address in the envelope."""
    mail(sim)
    mail(sim, "other@example.org")
    assert [(taken.key, taken.address) for taken in sim.taken()] == [
        (KEYS[0], "reader1@example.org"),
        (KEYS[0], "other@example.org"),
    ]


@pytest.mark.parametrize(
    ("effect", "error", "is_accepted"),
    [
        ("smtp_421", smtplib.SMTPConnectError, False),
        ("smtp_450", smtplib.SMTPRecipientsRefused, False),
        ("smtp_550", smtplib.SMTPRecipientsRefused, False),
        ("smtp_hang_up_at_data", smtplib.SMTPServerDisconnected, False),
        ("smtp_hang_up_after_dot", smtplib.SMTPServerDisconnected, True),
        ("smtp_451_after_dot", smtplib.SMTPDataError, False),
    ],
)
def test_smtp_fails_as_ordered(sim: Handle, effect: str, error: type[Exception], is_accepted: bool):
    """Each fault of SMTP is what a client of another make takes it for."""
    sim.faults([{"effect": effect}])
    with pytest.raises(error):
        mail(sim)
    assert sim.accepted() == ({KEYS[0]: 1} if is_accepted else {})
    assert sim.state()["faults"][0]["used"] == 1


def test_pipelined_commands_are_answered_in_their_order(sim: Handle):
    """RFC 2920: a whole message, and the next one, sent without waiting."""
    sim.faults([{"effect": "smtp_550", "pattern": "^bad@"}])
    lines = ["EHLO x"]
    for to in ("one@example.org", "bad@example.org", "two@example.org"):
        lines += ["MAIL FROM:<news@news.example>", f"RCPT TO:<{to}>", "DATA"]
        lines += [MESSAGE.rstrip(), "."] if not to.startswith("bad") else ["RSET"]
    answers = talk(sim.smtp_port, "\r\n".join([*lines, "QUIT", ""]))
    codes = [line[:3] for line in answers.splitlines() if line[3:4] == " "]
    took, refused = ["250", "250", "354", "250"], ["250", "550", "554", "250"]
    assert codes == ["220", "250", *took, *refused, *took, "221"]
    assert [taken.address for taken in sim.taken()] == ["one@example.org", "two@example.org"]


def talk(port: int, sent: str) -> str:
    """Everything a server says until it hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(sent.encode())
        found = bytearray()
        with suppress(ConnectionResetError):
            while piece := connection.recv(4096):
                found += piece
        return found.decode()


def test_every_effect_has_been_tried():
    """No effect is offered that this file does not order."""
    told = Path(__file__).read_text()
    assert [effect for effect in EFFECTS if f'"{effect}"' not in told] == []
