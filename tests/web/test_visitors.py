"""The pages on which readers come, choose and go, as a browser without JavaScript sees them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.web.forms import forms
from tests.web.visits import HTML, READER, Visit, heading, newest, visited
from tests.workspace import Clock, mails, subscribe, write_article

# --- coming ---


def test_a_reader_comes_by_the_form_and_the_mail(visit_each: Visit):
    """Asked, told to look into the mailbox, asked there again; and only then a reader, with the evidence."""
    visit = visit_each
    page = visit.ask(READER, "morning", "weekend", name="Ada")
    assert page.status_code == 200
    assert heading(page) == "Please look into your mailbox"
    assert READER in page.text
    question = visit.get(visit.mailed("confirm"))
    assert visit.states() == {"morning": "unconfirmed", "weekend": "unconfirmed"}
    assert "The Morning" in question.text
    assert "The Weekend" in question.text
    assert READER not in question.text
    assert "a•••@example.org" in question.text
    answer = visit.press(question, "Yes, send it to me")
    assert heading(answer) == "Welcome!"
    assert visit.states() == {"morning": "confirmed", "weekend": "confirmed"}
    assert visit.person().name == "Ada"
    notes = visit.app.personal_data(READER)["consents"]
    asked, agreed = (next(note for note in notes if note["what"] == what) for what in ("asked", "confirmed"))
    assert "We keep your address" in asked["wording"]
    assert "[Yes, send it to me]" in agreed["wording"]
    assert {asked["ip"], agreed["ip"]} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("filled", "said"),
    [
        ({"email": ""}, "Enter your e-mail address"),
        ({"email": "ada"}, "Enter a whole e-mail address"),
        ({"email": "ada@example"}, "Enter a whole e-mail address"),
        ({"email": "a\x00da@example.org"}, "Enter a whole e-mail address"),
        ({"email": "ada@example.org\r\nBcc: ben@example.org"}, "Enter a whole e-mail address"),
        ({"email": "ada@example.org, ben@example.org"}, "Enter a whole e-mail address"),
        ({"email": "x" * 300 + "@example.org"}, "Enter a whole e-mail address"),
        ({"email": "ada@mailinator.com"}, "Enter an address that will still exist tomorrow"),
        ({"email": "ada@sub.mailinator.com"}, "Enter an address that will still exist tomorrow"),
        ({"newsletter": ()}, "Choose at least one newsletter"),
        ({"newsletter": ("evening",)}, "Choose at least one newsletter"),
        ({"topic": ("gardening",)}, "Choose from what is offered here"),
        ({"newsletter": "weekend", "cadence": "monthly"}, "Choose from what is offered here"),
    ],
)
def test_a_mistake_in_the_form_is_said(visit: Visit, filled: dict[str, str], said: str):
    """With what is wrong at its field, what was right kept, and nothing written down."""
    before = visit.tables()
    told = {"email": READER, "newsletter": "morning", "name": "Ada <Quill>", **filled}
    page = visit.press(visit.get("/subscribe"), "Subscribe", told)
    assert page.status_code == 422
    assert "<title>Error: " in page.text
    assert said in page.text
    assert 'value="Ada &lt;Quill&gt;"' in page.text
    assert visit.tables() == before


def test_nobody_learns_who_is_a_reader(visit: Visit):
    """A reader's address, one that is silent and one that nobody knows are answered alike."""
    subscribe(visit.app, READER)
    pages = [visit.ask(address).text.replace(address, "") for address in (READER, "bo@example.org")]
    assert pages[0] == pages[1]
    visit.app.deliver()
    assert [mail["To"] for mail in mails(visit.folder)] == ["bo@example.org"]


def test_a_form_may_ask_for_topics_and_cadence(visit: Visit):
    """A form of the publisher's own may offer more than ours does."""
    told = {"email": READER, "newsletter": "morning", "topic": ["sport", "science"], "cadence": "daily"}
    assert visit.post("/subscribe", data=told).status_code == 200
    visit.press(visit.get(visit.mailed("confirm")), "Yes, send it to me")
    assert visit.place().topics == ("science", "sport")


def test_a_link_may_choose_the_newsletter(visit: Visit):
    """`/subscribe?newsletter=weekend` comes with a tick; what there is not is overlooked."""
    [form] = forms(visit.get("/subscribe?newsletter=weekend&newsletter=evening"))
    assert form.fields["newsletter"] == ["weekend"]


def test_the_only_newsletter_need_not_be_chosen(tmp_path: Path):
    """With one newsletter a form may leave it out."""
    with visited(tmp_path, Clock(), config="") as visit:
        assert heading(visit.get("/subscribe")) == "Subscribe to The Morning"
        assert visit.post("/subscribe", data={"email": READER}).status_code == 200
        assert visit.states() == {"morning": "unconfirmed"}


def test_a_question_is_answered_once(visit: Visit):
    """A second press says that there is nothing left, and a POST that does not say yes is no answer."""
    visit.ask()
    path = visit.mailed("confirm")
    assert visit.post(path).status_code == 400
    assert visit.post(path, data={"confirm": "no"}).status_code == 400
    assert visit.states() == {"morning": "unconfirmed"}
    question = visit.get(path)
    visit.press(question, "Yes, send it to me")
    before = visit.tables()
    again = visit.press(question, "Yes, send it to me")
    assert (again.status_code, heading(again)) == (200, "Nothing left to do")
    assert heading(visit.get(path)) == "Nothing left to do"
    assert visit.tables() == before


def test_a_question_that_is_too_old_says_so(visit: Visit):
    """After its time a link is gone, and leads to the form."""
    visit.ask()
    path = visit.mailed("confirm")
    visit.clock.go_on(days=9)
    for page in (visit.get(path), visit.post(path, data={"confirm": "yes"})):
        assert (page.status_code, heading(page)) == (410, "This link is too old")
        assert 'href="/subscribe"' in page.text
    assert visit.states() == {"morning": "unconfirmed"}


def test_an_old_link_brings_nobody_back(visit: Visit):
    """Who confirmed and left stays away, though the mail with the button is pressed once more."""
    visit.ask()
    path = visit.mailed("confirm")
    visit.press(visit.get(path), "Yes, send it to me")
    visit.press(visit.get(f"/unsubscribe/{visit.token()}"), "Unsubscribe")
    assert heading(visit.post(path, data={"confirm": "yes"})) == "Nothing left to do"
    assert visit.states() == {"morning": "unsubscribed"}


# --- choosing ---


def test_a_reader_chooses(visit_each: Visit):
    """What was chosen is kept, shown ticked the next time, and said to be saved."""
    visit = visit_each
    path = f"/preferences/{visit.join()}"
    page = visit.get(path)
    assert READER not in page.text
    saved = visit.press(
        page,
        "Save",
        {
            "wanted": ["morning", "weekend"],
            "topic:morning": ["sport", "town hall"],
            "name": "Åsa 日本 «x»",
            "hour": "7",
            "timezone": "Asia/Kathmandu",
        },
    )
    assert saved.status_code == 200
    assert "Your choices are saved." in saved.text
    assert visit.place().topics == ("sport", "town hall")
    assert visit.states() == {"morning": "confirmed", "weekend": "confirmed"}
    assert (visit.place(newsletter="weekend").cadence, visit.person().hour) == ("weekly", 7)
    assert (visit.person().name, visit.person().timezone) == ("Åsa 日本 «x»", "Asia/Kathmandu")
    before = visit.tables()
    fields = next(form.fields for form in forms(visit.get(path)) if "Save" in form.buttons)
    assert fields["topic:morning"] == ["sport", "town hall"]
    assert (fields["hour"], fields["timezone"]) == (["7"], ["Asia/Kathmandu"])
    visit.press(visit.get(path), "Save")  # as it stands
    assert visit.tables() == before


def test_choices_can_be_taken_back(visit: Visit):
    """Every topic, any hour, the newsletter's own zone, no name, and one newsletter less."""
    path = f"/preferences/{visit.join(READER, 'morning', 'weekend')}"
    told = {"topic:morning": "sport", "name": "Ada", "hour": "0", "timezone": "Europe/Paris"}
    visit.press(visit.get(path), "Save", told)
    assert (visit.person().hour, visit.place().topics) == (0, ("sport",))
    back = {"wanted": "morning", "topic:morning": (), "name": "", "hour": "any", "timezone": ""}
    visit.press(visit.get(path), "Save", back)
    person = visit.person()
    assert (person.name, person.hour, person.timezone, visit.place().topics) == ("", None, None, ())
    assert visit.states() == {"morning": "confirmed", "weekend": "unsubscribed"}


def test_a_reader_changes_how_often_it_comes(tmp_path: Path):
    """Of the cadences that the newsletter has."""
    with visited(tmp_path, Clock(), newsletter='cadences = ["instant", "daily", "weekly"]\n') as visit:
        path = f"/preferences/{visit.join()}"
        visit.press(visit.get(path), "Save", {"cadence:morning": "weekly"})
        assert visit.place().cadence == "weekly"
        answer = visit.press(visit.get(path), "Save", {"cadence:morning": "monthly"})
        assert answer.status_code == 422
        assert visit.place().cadence == "weekly"


@pytest.mark.parametrize(
    "wrong",
    [
        {"topic:morning": "gardening"},
        {"hour": "24"},
        {"hour": "-1"},
        {"hour": "٧"},
        {"hour": "noon"},
        {"timezone": "Mars/Olympus"},
        {"timezone": "../../etc/passwd"},
        {"timezone": "x" * 5000},
        {"timezone": "\x00"},
    ],
)
def test_what_is_not_offered_is_not_kept(visit: Visit, wrong: dict[str, str]):
    """A form that chooses what there is not is refused as a whole, with a sentence."""
    path = f"/preferences/{visit.join()}"
    page, before = visit.get(path), visit.tables()
    answer = visit.press(page, "Save", {"wanted": ["morning", "weekend"], "name": "New", **wrong})
    assert answer.status_code == 422
    assert "Choose from what is offered here" in answer.text
    assert visit.tables() == before


def test_what_a_form_did_not_show_stays(visit: Visit):
    """A newsletter that came after the page was opened is neither left nor joined by saving it."""
    path = f"/preferences/{visit.join(READER, 'morning', 'weekend')}"
    assert visit.post(path, data={"save": "yes", "shown": "morning", "wanted": "morning"}).status_code == 200
    assert visit.states() == {"morning": "confirmed", "weekend": "confirmed"}
    assert visit.post(path, data={"wanted": "morning"}).status_code == 400  # it does not say that it saves


def test_a_reader_takes_a_break(visit: Visit):
    """For as long as a button says, until they end it; nothing else is a break."""
    path = f"/preferences/{visit.join()}"
    begun = visit.press(visit.get(path), "For two weeks")
    assert "Your break has begun." in begun.text
    assert visit.place().paused_until == visit.clock() + timedelta(weeks=2)
    assert "June 15, 2026" in begun.text
    for weeks in ("", "3", "520", "-1", "1e9"):
        assert visit.post(f"{path}/pause", data={"weeks": weeks}).status_code == 400
    assert visit.place().paused_until == visit.clock() + timedelta(weeks=2)
    ended = visit.press(begun, "End the break now")
    assert "Your break is over." in ended.text
    assert visit.place().paused_until is None


def test_an_address_moves_when_its_owner_says_so(visit: Visit):
    """Until the new mailbox answers everything stays; then all goes there, under the same links."""
    token = visit.join()
    asked = visit.press(
        visit.get(f"/preferences/{token}"), "Change address", {"email": "ada@new.example.org"}
    )
    assert "a mail with a button is on its way there" in asked.text
    path = visit.mailed("confirm", "ada@new.example.org")
    assert visit.person().address == READER
    done = visit.press(visit.get(path), "Yes, use this address")
    assert heading(done) == "Your address is changed"
    assert visit.person("ada@new.example.org").subscriptions[0].state == "confirmed"
    assert "a•••@new.example.org" in visit.get(f"/preferences/{token}").text
    assert READER not in str(visit.tables())


@pytest.mark.parametrize(
    "address", ["", "ada", "a@b@c.example", "ada@mailinator.com", "x\r\nTo: y@example.org"]
)
def test_a_new_address_has_to_be_one(visit: Visit, address: str):
    """Said at its field, where it is kept to be put right; nothing is mailed."""
    path = f"/preferences/{visit.join()}"
    before = visit.tables()
    page = visit.press(visit.get(path), "Change address", {"email": address})
    assert page.status_code == 422
    assert 'id="address-error"' in page.text
    assert f'value="{" ".join(address.split())}"' in page.text or "\n" in address
    assert visit.tables() == before


def test_a_taken_address_is_not_told_apart(visit: Visit):
    """Who changes to somebody else's address is told what everybody is told, and nobody is written to."""
    subscribe(visit.app, "bo@example.org")
    path = f"/preferences/{visit.join()}"
    sent = len(mails(visit.folder))
    taken = visit.press(visit.get(path), "Change address", {"email": "bo@example.org"})
    free = visit.press(visit.get(path), "Change address", {"email": "cy@example.org"})
    assert taken.text.replace("bo@", "") == free.text.replace("cy@", "")
    visit.app.deliver()
    assert [str(mail["To"]) for mail in mails(visit.folder)[sent:]] == ["cy@example.org"]


def test_a_reader_gets_their_data(visit: Visit):
    """As a file of JSON that no cache keeps."""
    path = f"/preferences/{visit.join()}"
    page = visit.press(visit.get(path), "Download my data")
    assert page.headers["content-type"] == "application/json"
    assert page.headers["content-disposition"] == 'attachment; filename="my-data.json"'
    assert page.headers["cache-control"] == "no-store"
    told = page.json()
    assert told["address"] == READER
    assert [note["what"] for note in told["consents"]] == ["asked", "confirmed"]
    assert visit.post(f"{path}/data").status_code == 400


def test_a_reader_is_forgotten(visit: Visit):
    """After one more question; then no table names them, and their links lead nowhere."""
    visit.join()
    token = visit.edition()["List-Unsubscribe"].rpartition("/")[2].rstrip(">")
    page = visit.get(f"/preferences/{token}/erase")
    assert "This cannot be undone" in page.text
    assert visit.post(f"/preferences/{token}/erase").status_code == 400
    assert READER in str(visit.tables())
    done = visit.press(page, "Delete everything")
    assert heading(done) == "You are forgotten"
    assert READER not in str(visit.tables())
    for path in (f"/preferences/{token}", f"/preferences/{token}/erase", f"/unsubscribe/{token}"):
        assert visit.get(path).status_code == 404
        assert (
            visit.post(path, data={"save": "yes", "erase": "yes", "unsubscribe": "this"}).status_code == 404
        )


def test_a_silent_reader_is_told(visit: Visit):
    """Who complained or bounced sees why nothing comes."""
    token = visit.join()
    with visit.app.database.write() as db:
        from subscribers import store as audience

        audience.suppress(db, READER, reason=audience.BOUNCED, now=visit.clock())
    assert "nothing can be sent to this address" in visit.get(f"/preferences/{token}").text


# --- going ---


def test_a_reader_leaves_one_newsletter(visit_each: Visit):
    """By the link of its edition and one press; the others stay, and a mistake is undone at no loss."""
    visit = visit_each
    visit.join(READER, "morning", "weekend")
    token = visit.edition()["List-Unsubscribe"].rpartition("/")[2].rstrip(">")
    page = visit.get(f"/unsubscribe/{token}")
    assert heading(page) == "Leave The Morning?"
    assert "You also receive: The Weekend." in page.text
    left = visit.press(page, "Unsubscribe")
    assert heading(left) == "You have left"
    assert visit.states() == {"morning": "unsubscribed", "weekend": "confirmed"}
    assert heading(visit.get(f"/unsubscribe/{token}")) == "You have left"
    write_article(visit.folder, "meanwhile", title="Meanwhile", published_at=visit.clock())
    visit.clock.go_on(hours=1)
    undone = visit.press(left, "Stay subscribed")
    assert "You stay subscribed." in undone.text
    assert visit.states() == {"morning": "confirmed", "weekend": "confirmed"}
    visit.clock.go_on(days=1)
    visit.app.run_once()
    assert "Meanwhile" in newest(visit.folder)["Subject"]


def test_a_reader_leaves_everything(visit: Visit):
    """From the page of preferences or from that of leaving; no import brings them back."""
    token = visit.join(READER, "morning", "weekend")
    left = visit.press(visit.get(f"/preferences/{token}"), "Unsubscribe from everything")
    assert "You receive nothing more from us." in left.text
    assert visit.states() == {"morning": "unsubscribed", "weekend": "unsubscribed"}
    subscribe(visit.app, READER)
    assert visit.states()["morning"] == "unsubscribed"
    assert "You stay subscribed." in visit.press(left, "Stay subscribed").text
    assert visit.states() == {"morning": "confirmed", "weekend": "confirmed"}


@pytest.mark.parametrize("body", ["urlencoded", "multipart"])
def test_one_click_leaves(visit_each: Visit, body: str):
    """RFC 8058: a mail service posts to the link, with either body, and again; no cookie, no redirect."""
    visit = visit_each
    visit.join()
    mail = visit.edition()
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path = mail["List-Unsubscribe"].strip("<>").removeprefix("https://mail.news.example")
    told = {"List-Unsubscribe": "One-Click"}
    sent = (
        {"files": {name: (None, value) for name, value in told.items()}}
        if body == "multipart"
        else {"data": told}
    )
    for _ in range(2):
        answer = visit.post(path, headers={"accept": "*/*"}, **sent)
        assert (answer.status_code, answer.text) == (200, "You are unsubscribed.\n")
        assert "set-cookie" not in answer.headers
        assert visit.states() == {"morning": "unsubscribed"}
    [note] = [note for note in visit.app.personal_data(READER)["consents"] if note["what"] == "unsubscribed"]
    assert note["source"] == "one-click"


def test_leaving_wants_a_word_for_it(visit: Visit):
    """A POST that does not say that it unsubscribes is no wish to leave; a token that is not ours is 404."""
    token = visit.join()
    for told in ({}, {"List-Unsubscribe": "one-click"}, {"unsubscribe": "maybe"}, {"undo": "yes"}):
        assert visit.post(f"/unsubscribe/{token}", data=told).status_code == 400
    assert visit.post(f"/unsubscribe/{token}", content=b"\xff\x00", headers=HTML).status_code == 400
    forged = visit.post(f"/unsubscribe/{token[:-1]}", data={"List-Unsubscribe": "One-Click"})
    assert (forged.status_code, forged.text) == (404, "This link is not complete.\n")
    assert visit.states() == {"morning": "confirmed"}


def test_a_copy_of_a_mail_leads_to_nobodys_choices(visit: Visit):
    """Links of an edition in the archive say where each reader's own are."""
    for path in ("/unsubscribe", "/preferences"):
        page = visit.get(path)
        assert (page.status_code, heading(page)) == (200, "Use the link in your own mail")


def test_a_newsletter_that_is_gone_can_still_be_left(tmp_path: Path):
    """Its readers' links go on working: to leave it, or to choose what there still is."""
    database = f"sqlite:///{tmp_path}/kept.db"
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    with visited(tmp_path / "before", Clock(), database=database) as visit:
        token = visit.join(READER, "weekend")
    with visited(tmp_path / "after", Clock(), database=database, config="") as visit:
        assert heading(visit.get(f"/unsubscribe/{token}")) == "Leave weekend?"
        page = visit.get(f"/preferences/{token}")
        assert "weekend" not in page.text
        assert visit.press(page, "Save", {"wanted": "morning"}).status_code == 200
        assert visit.press(page, "Change address", {"email": "new@example.org"}).status_code == 200
        left = visit.press(visit.get(f"/unsubscribe/{token}"), "Unsubscribe")
        assert "Stay subscribed" not in left.text
        assert visit.states() == {"morning": "confirmed", "weekend": "unsubscribed"}
