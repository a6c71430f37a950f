"""What each vendor is sent and what it answers: one class each.

Nothing was tried against a live API. The forms are those of the vendors' documentation and descriptions as
read in November 2026; every class links its page. Ids are made of our keys, so that the same call always gets
the same answer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote_plus, urlencode

import orjson

from tests.simulator.calls import Call, Reply, Request, page, reply
from tests.simulator.keys import KEY, UUID, keys_of, request_key
from tests.simulator.ledger import Ledger, Taken


class Vendor:
    """What they have in common: JSON in, JSON out."""

    name: ClassVar[str]
    sends: ClassVar[str]  # a pattern of the path's end
    words: ClassVar[Mapping[str, Reply]]  # busy, quota, unauthorized, unknown
    most: ClassVar[int]  # messages in a call
    one_by_one: ClassVar[bool] = True  # refuses some within an accepted call
    as_a_whole: ClassVar[bool] = True  # refuses a call for the sake of some

    def items(self, document: Any) -> Sequence[Any]:
        """The messages, one for each recipient."""
        raise NotImplementedError

    def address(self, item: Any) -> str:
        raise NotImplementedError

    def accepted(self, call: Call, refused: Collection[int]) -> Reply:
        """The answer when all were accepted but those at *refused*."""
        raise NotImplementedError

    def bad_address(self, call: Call, place: int) -> Reply:
        """The answer when all are refused for the sake of one."""
        raise NotImplementedError

    def read(self, request: Request) -> Call:
        document = orjson.loads(request.body)
        items = self.items(document)
        about = {k: v for k, v in document.items() if v is not items} if isinstance(document, dict) else {}
        headers = request.headers.get("idempotency-key", "")
        return Call(
            keys=keys_of(items),
            addresses=[self.address(item) for item in items],
            request=request_key(headers, about, *islice(items, 1)),
            idempotency=self.idempotency(request, document),
        )

    def idempotency(self, request: Request, document: Any) -> str:
        return ""

    def other_body(self) -> Reply:
        """The answer to a known idempotency key with another body."""
        raise NotImplementedError

    def repeated(self, call: Call, refused: Collection[int], *, is_under_way: bool) -> Reply:
        """The answer to a known idempotency key with the same body, perhaps before the first has left."""
        return self.accepted(call, refused)

    def other(self, request: Request, ledger: Ledger) -> Reply | None:
        """The answer to a request that sends nothing; None: there is no such place."""
        return None


class Ses(Vendor):
    """https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendBulkEmail.html"""

    name = "ses"
    sends = r"/v2/email/outbound-bulk-emails$"
    most = 50

    @staticmethod
    def _exception(status: int, kind: str, message: str) -> Reply:
        return reply(status, {"message": message}, **{"x-amzn-ErrorType": kind})

    words: ClassVar = {
        "busy": _exception(429, "TooManyRequestsException", "Maximum sending rate exceeded."),
        "quota": _exception(400, "ThrottlingException", "Daily message quota exceeded."),
        "unauthorized": _exception(
            403, "UnrecognizedClientException", "The security token included in the request is invalid."
        ),
        "unknown": _exception(400, "SurpriseException", "A surprise."),
    }

    def items(self, document: Any) -> Sequence[Any]:
        entries: list[Any] = document["BulkEmailEntries"]
        return entries

    def address(self, item: Any) -> str:
        return bare(item["Destination"]["ToAddresses"][0])

    def accepted(self, call: Call, refused: Collection[int]) -> Reply:
        no = {"Status": "INVALID_PARAMETER", "Error": "Invalid address."}
        results = [
            no if place in refused else {"Status": "SUCCESS", "MessageId": f"ses-{key}"}
            for place, key in enumerate(call.keys)
        ]
        return reply(200, {"BulkEmailEntryResults": results})

    def bad_address(self, call: Call, place: int) -> Reply:
        return self._exception(400, "BadRequestException", f"Invalid address: {call.addresses[place]}")

    def other(self, request: Request, ledger: Ledger) -> Reply | None:
        """https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetAccount.html"""
        if not request.path.endswith("/v2/email/account"):
            return None
        quota = {
            "Max24HourSend": 10_000_000.0,
            "MaxSendRate": 100_000.0,
            "SentLast24Hours": float(ledger.accepted["ses"]),
        }
        state = {"EnforcementStatus": "HEALTHY", "ProductionAccessEnabled": True, "SendingEnabled": True}
        return reply(200, {**state, "SendQuota": quota})


class Sendgrid(Vendor):
    """https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send"""

    name = "sendgrid"
    sends = r"/mail/send$"
    most = 1000
    one_by_one = False  # who is suppressed is told by a later event

    @staticmethod
    def _errors(status: int, message: str, field: str | None = None) -> Reply:
        return reply(status, {"errors": [{"message": message, "field": field, "help": None}]})

    words: ClassVar = {
        "busy": _errors(429, "too many requests"),
        "quota": _errors(401, "Maximum credits exceeded"),
        "unauthorized": _errors(
            401, "The provided authorization grant is invalid, expired, or revoked", None
        ),
        "unknown": _errors(418, "a surprise"),
    }

    def items(self, document: Any) -> Sequence[Any]:
        personalizations: list[Any] = document["personalizations"]
        return personalizations

    def address(self, item: Any) -> str:
        return str(item["to"][0]["email"])

    def read(self, request: Request) -> Call:
        call = super().read(request)
        if len({address.lower() for address in call.addresses}) < len(call.addresses):
            raise ValueError("an address may stand in a request once")
        return call

    def accepted(self, call: Call, refused: Collection[int]) -> Reply:
        return Reply(status=202, headers={"X-Message-Id": call.id})

    def bad_address(self, call: Call, place: int) -> Reply:
        return self._errors(400, "Does not contain a valid address.", f"personalizations.{place}.to.0.email")


class Mailgun(Vendor):
    """https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages/post-v3--domain-name--messages"""

    name = "mailgun"
    sends = r"/v3/[^/]+/messages$"
    most = 1000
    one_by_one = False

    @staticmethod
    def _limit(what: str, seconds: int) -> Reply:
        told = f"Domain news.example is not allowed to send: {what} limit exceeded"
        return reply(429, {"message": f"{told}, try again after {seconds} seconds"})

    words: ClassVar = {
        "busy": _limit("account-requests-per-sec", 1),
        "quota": _limit("recipient", 3600),
        "unauthorized": Reply(status=401, body=b"Forbidden", type="text/plain"),
        "unknown": reply(418, {"message": "a surprise"}),
    }

    def read(self, request: Request) -> Call:
        form = fields(request)
        variables = orjson.loads(form.pop("recipient-variables", [b"{}"])[0])
        addresses = [to for line in form.pop("to") for to in ADDRESSES.findall(line.decode())]
        if len(addresses) > 1 and variables.keys() != set(addresses):
            # Without variables of their own everybody sees everybody: a mistake that no test should survive.
            raise ValueError("recipient-variables do not name exactly those in `to`")
        own = [variables.get(address, {}) for address in addresses]
        short = {name: value[0].decode() for name, value in form.items() if len(value[0]) < 1000}
        about = (request.headers["content-type"], short, *islice(own, 1))  # our boundary has the request key
        return Call(keys=keys_of(own), addresses=addresses, request=request_key(*about))

    def accepted(self, call: Call, refused: Collection[int]) -> Reply:
        return reply(200, {"id": f"<{call.id}@news.example>", "message": "Queued. Thank you."})

    def bad_address(self, call: Call, place: int) -> Reply:
        return reply(400, {"message": "to parameter is not a valid address. please check documentation"})

    def other(self, request: Request, ledger: Ledger) -> Reply | None:
        """https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/events/get-v3--domain-name--events"""
        if not (asked := re.search(r"(/v3/[^/]+/events)(?:/([\d.]+)-([\d.]+)-(\d+)-(\d+))?$", request.path)):
            return None
        if asked[2]:
            begin, end, first, limit = float(asked[2]), float(asked[3]), int(asked[4]), int(asked[5])
        else:
            query = dict(parse_qsl(request.query))
            begin, end = float(query["begin"]), float(query["end"])
            first, limit = 0, min(int(query.get("limit", 100)), 300)
        events = [one for one in ledger.by_vendor[self.name] if begin <= one.at <= end]
        items = [
            {
                "event": "accepted",
                "id": f"event-{one.key}",
                "timestamp": one.at,
                "recipient": one.address,
                "message": {"headers": {"message-id": f"{one.key}@news.example"}},
                "user-variables": {"delivery": one.key},
            }
            for one in events[first : first + limit]
        ]
        page = f"{begin}-{end}-{first + limit}-{limit}"  # there is always a next one; the last is empty
        host = f"http://{request.headers['host']}/{self.name}"
        return reply(200, {"items": items, "paging": {"next": f"{host}{asked[1]}/{page}"}})


class Postmark(Vendor):
    """https://postmarkapp.com/developer/api/email-api#send-batch-emails"""

    name = "postmark"
    sends = r"/email/batch$"
    most = 500

    words: ClassVar = {
        "busy": Reply(status=429),  # says nothing and has no header
        "quota": reply(422, {"ErrorCode": 405, "Message": "Not allowed to send: you ran out of credits."}),
        "unauthorized": reply(
            401,
            {
                "ErrorCode": 10,
                "Message": "The Server Token you provided in the X-Postmark-Server-Token request header "
                "was invalid.",
            },
        ),
        "unknown": reply(422, {"ErrorCode": 9999, "Message": "A surprise."}),
    }

    def items(self, document: Any) -> Sequence[Any]:
        messages: list[Any] = document
        return messages

    def address(self, item: Any) -> str:
        return bare(item["To"])

    def accepted(self, call: Call, refused: Collection[int]) -> Reply:
        results = [
            {
                "ErrorCode": 406,
                "Message": "You tried to send to a recipient that has been marked as inactive. "
                f"Found inactive addresses: {to}.",
            }
            if place in refused
            else {"To": to, "MessageID": f"pm-{key}", "ErrorCode": 0, "Message": "OK"}
            for place, (key, to) in enumerate(zip(call.keys, call.addresses, strict=True))
        ]
        return reply(200, results)

    def bad_address(self, call: Call, place: int) -> Reply:
        told = f"Invalid 'To' address: '{call.addresses[place]}'."
        return reply(422, {"ErrorCode": 300, "Message": told})

    def other(self, request: Request, ledger: Ledger) -> Reply | None:
        """https://postmarkapp.com/developer/api/messages-api#outbound-message-search"""
        if not request.path.endswith("/messages/outbound"):
            return None
        query = dict(parse_qsl(request.query))
        found = asked_for(request, ledger, self.name)
        first, count = int(query.get("offset", 0)), int(query.get("count", 500))
        messages = [
            {
                "MessageID": f"pm-{one.key}",
                "To": [{"Email": one.address, "Name": None}],
                "Recipients": [one.address],
                "Status": "Sent",
                "Metadata": {"delivery": one.key, "batch": one.request},
            }
            for one in found[first : first + count]
        ]
        return reply(200, {"TotalCount": len(found), "Messages": messages})


class Resend(Vendor):
    """https://resend.com/docs/api-reference/emails/send-batch-emails and …/api-reference/errors"""

    name = "resend"
    sends = r"/emails/batch$"
    most = 100
    as_a_whole = False  # with permissive validation, which our client asks for

    @staticmethod
    def _error(status: int, name: str, message: str) -> Reply:
        return reply(status, {"statusCode": status, "name": name, "message": message})

    words: ClassVar = {
        "busy": _error(429, "rate_limit_exceeded", "Too many requests."),
        "quota": _error(429, "daily_quota_exceeded", "You have reached your daily email sending quota."),
        "unauthorized": _error(403, "invalid_api_key", "API key is invalid."),
        "unknown": _error(418, "surprise", "A surprise."),
    }

    def items(self, document: Any) -> Sequence[Any]:
        emails: list[Any] = document
        return emails

    def address(self, item: Any) -> str:
        to = item["to"]
        return bare(to if isinstance(to, str) else to[0])

    def accepted(self, call: Call, refused: Collection[int]) -> Reply:
        ids = [{"id": f"re-{key}"} for place, key in enumerate(call.keys) if place not in refused]
        errors = [{"index": place, "message": "Invalid `to` field."} for place in sorted(refused)]
        return reply(200, {"data": ids, "errors": errors} if errors else {"data": ids})

    def idempotency(self, request: Request, document: Any) -> str:
        """https://resend.com/docs/dashboard/emails/idempotency-keys"""
        return request.headers.get("idempotency-key", "")

    def repeated(self, call: Call, refused: Collection[int], *, is_under_way: bool) -> Reply:
        """https://resend.com/docs/api-reference/errors, under concurrent_idempotent_requests"""
        if not is_under_way:
            return self.accepted(call, refused)
        told = "Same idempotency key used while original request is still in progress."
        return self._error(409, "concurrent_idempotent_requests", told)

    def other_body(self) -> Reply:
        told = "This idempotency key has been used on a request with a different payload."
        return self._error(409, "invalid_idempotent_request", told)


class Brevo(Vendor):
    """https://developers.brevo.com/reference/send-transac-email"""

    name = "brevo"
    sends = r"/smtp/email$"
    most = 2000
    one_by_one = False

    words: ClassVar = {
        "busy": reply(429, {"code": "too_many_requests", "message": "Too many requests"}),
        "quota": reply(402, {"code": "not_enough_credits", "message": "You do not have enough credits"}),
        "unauthorized": reply(401, {"code": "unauthorized", "message": "Key not found"}),
        "unknown": reply(418, {"code": "surprise", "message": "a surprise"}),
    }

    def items(self, document: Any) -> Sequence[Any]:
        versions: list[Any] = document["messageVersions"]
        return versions

    def address(self, item: Any) -> str:
        return str(item["to"][0]["email"])

    def accepted(self, call: Call, refused: Collection[int]) -> Reply:
        return reply(201, {"messageIds": [f"<{key}@smtp-relay.mailin.fr>" for key in call.keys]})

    def bad_address(self, call: Call, place: int) -> Reply:
        return reply(400, {"code": "invalid_parameter", "message": "email is not valid in to"})

    def idempotency(self, request: Request, document: Any) -> str:
        """https://developers.brevo.com/docs/heterogenous-versions-batch-emails"""
        return str(document.get("headers", {}).get("idempotencyKey", ""))

    def repeated(self, call: Call, refused: Collection[int], *, is_under_way: bool) -> Reply:
        """An error, by the same page: within 30 minutes it "returns a duplicate_parameter error"."""
        return self.other_body()

    def other_body(self) -> Reply:
        return reply(400, {"code": "duplicate_parameter", "message": "idempotencyKey already used"})

    def other(self, request: Request, ledger: Ledger) -> Reply | None:
        """https://developers.brevo.com/reference/get-email-event-report"""
        if not request.path.endswith("/smtp/statistics/events"):
            return None
        events = [
            {
                "email": one.address,
                "date": "2026-11-23T10:00:00.000+00:00",
                "messageId": f"<{one.key}@smtp-relay.mailin.fr>",
                "event": "requests",
                "tag": one.request,
            }
            for one in asked_for(request, ledger, self.name)
        ]
        return reply(200, {"events": events} if events else {})


class Mailjet(Vendor):
    """https://dev.mailjet.com/email/guides/send-api-v31/"""

    name = "mailjet"
    sends = r"/v3\.1/send$"
    most = 50
    as_a_whole = False

    @staticmethod
    def _error(status: int, code: str, message: str) -> Reply:
        told = {"ErrorIdentifier": "e-1", "ErrorCode": code, "StatusCode": status, "ErrorMessage": message}
        return reply(status, told)

    words: ClassVar = {
        "busy": _error(429, "mj-0029", "Too many requests."),
        "quota": _error(403, "mj-0016", "Your account has reached its daily sending limit."),
        "unauthorized": _error(401, "mj-0002", "API key authentication/authorization failure."),
        "unknown": _error(418, "xx-9999", "A surprise."),
    }

    def items(self, document: Any) -> Sequence[Any]:
        messages: list[Any] = document["Messages"]
        return messages

    def address(self, item: Any) -> str:
        return str(item["To"][0]["Email"])

    def accepted(self, call: Call, refused: Collection[int]) -> Reply:
        """The good ones are sent even when one is bad, and the whole is then a 400."""
        messages = [
            _mailjet_refusal(to) if place in refused else _mailjet_success(key, to)
            for place, (key, to) in enumerate(zip(call.keys, call.addresses, strict=True))
        ]
        return reply(400 if refused else 200, {"Messages": messages})

    def other(self, request: Request, ledger: Ledger) -> Reply | None:
        """https://dev.mailjet.com/email/reference/messages/"""
        if not request.path.endswith("/REST/message"):
            return None
        found = asked_for(request, ledger, self.name)
        rows = [{"ID": _number(one.key), "UUID": one.key, "Status": "sent"} for one in found]
        return reply(200, {"Count": len(rows), "Data": rows, "Total": len(rows)})


def _mailjet_success(key: str, to: str) -> dict[str, Any]:
    number = _number(key)
    to_ = {"Email": to, "MessageUUID": key, "MessageID": number, "MessageHref": f"/v3/REST/message/{number}"}
    return {"Status": "success", "CustomID": key, "To": [to_], "Cc": [], "Bcc": []}


def _mailjet_refusal(to: str) -> dict[str, Any]:
    error = {
        "ErrorIdentifier": "e-1",
        "ErrorCode": "mj-0013",
        "StatusCode": 400,
        "ErrorMessage": f'"{to}" is an invalid email address.',
        "ErrorRelatedTo": ["To[0].Email"],
    }
    return {"Status": "error", "Errors": [error]}


def _number(key: str) -> int:
    """A number for an id, as Mailjet has them."""
    campaign, recipient, _ = key.split("-")
    return int(campaign) * 10**10 + int(recipient)


class Sparkpost(Vendor):
    """https://developers.sparkpost.com/api/transmissions/"""

    name = "sparkpost"
    sends = r"/v1/transmissions/?$"
    most = 2000  # advised (developers.sparkpost.com), the only figure there is

    @staticmethod
    def _errors(status: int, code: str, message: str) -> Reply:
        return reply(status, {"errors": [{"code": code, "message": message}]})

    words: ClassVar = {
        "busy": _errors(429, "1", "Too many requests"),
        "quota": _errors(420, "2102", "Exceed Sending Limit (daily)"),
        "unauthorized": reply(401, {"errors": [{"message": "Unauthorized."}]}),
        "unknown": _errors(418, "9999", "a surprise"),
    }

    def items(self, document: Any) -> Sequence[Any]:
        recipients: list[Any] = document["recipients"]
        return recipients

    def address(self, item: Any) -> str:
        address = item["address"]
        return bare(address if isinstance(address, str) else address["email"])

    def accepted(self, call: Call, refused: Collection[int]) -> Reply:
        """Counts only: it does not say who was rejected."""
        counts = {
            "total_rejected_recipients": len(refused),
            "total_accepted_recipients": len(call.keys) - len(refused),
        }
        return reply(200, {"results": {**counts, "id": call.id}})

    def bad_address(self, call: Call, place: int) -> Reply:
        told = {"code": "1300", "message": "invalid data format/type"}
        return reply(400, {"errors": [{**told, "description": "Invalid recipient address"}]})

    def other(self, request: Request, ledger: Ledger) -> Reply | None:
        """https://developers.sparkpost.com/api/events/"""
        if not request.path.endswith("/events/message"):
            return None
        query = dict(parse_qsl(request.query))
        first = 0 if query.get("cursor", "initial") == "initial" else int(query["cursor"])
        size = int(query.get("per_page", 1000))
        found = asked_for(request, ledger, self.name)
        results = [
            {
                "type": "injection",
                "rcpt_meta": {"delivery": one.key},
                "rcpt_to": one.address,
                "campaign_id": one.request,
                "transmission_id": f"call-{one.key}",
            }
            for one in found[first : first + size]
        ]
        again = urlencode({**query, "cursor": str(first + size)})
        more = [{"href": f"{request.path}?{again}", "rel": "next"}] if len(found) > first + size else []
        return reply(200, {"results": results, "total_count": len(found), "links": more})


class Mailersend(Vendor):
    """https://developers.mailersend.com/api/v1/email.html#send-bulk-emails"""

    name = "mailersend"
    sends = r"/bulk-email$"
    most = 500
    one_by_one = False

    words: ClassVar = {
        "busy": reply(429, {"message": "Too Many Attempts."}),
        "quota": reply(422, {"message": "The account's email quota is used up. #MS42204", "errors": {}}),
        "unauthorized": reply(401, {"message": "Unauthenticated."}),
        "unknown": reply(418, {"message": "A surprise. #MS99999"}),
    }

    def items(self, document: Any) -> Sequence[Any]:
        messages: list[Any] = document
        return messages

    def address(self, item: Any) -> str:
        return str(item["to"][0]["email"])

    def accepted(self, call: Call, refused: Collection[int]) -> Reply:
        told = {"message": "The bulk email is being processed.", "bulk_email_id": call.id}
        return reply(202, told)

    def bad_address(self, call: Call, place: int) -> Reply:
        said = "The email must be a valid email address. #MS42208"
        errors = {f"{place}.to.0.email": [said]}
        return reply(422, {"message": "The given data was invalid.", "errors": errors})

    def other(self, request: Request, ledger: Ledger) -> Reply | None:
        """https://developers.mailersend.com/api/v1/email.html#get-bulk-email-status"""
        if not (asked := re.search(r"/bulk-email/(call-(.+))$", request.path)):
            return None
        first = ledger.taken.get(asked[2], [])
        sent = ledger.taken.get(first[0].request, first) if first else []
        data = {
            "id": asked[1],
            "state": "completed",
            "total_recipients_count": len(sent),
            "suppressed_recipients_count": 0,
            "suppressed_recipients": None,
            "validation_errors_count": 0,
            "validation_errors": None,
            "messages_id": [f"ms-{one.key}" for one in sent],
        }
        return reply(200, {"data": data})


VENDORS: Mapping[str, Vendor] = {
    vendor.name: vendor
    for vendor in (
        Ses(),
        Sendgrid(),
        Mailgun(),
        Postmark(),
        Resend(),
        Brevo(),
        Mailjet(),
        Sparkpost(),
        Mailersend(),
    )
}


def said(vendor: Vendor, effect: str) -> Reply:
    """A vendor's words for a fault."""
    if effect == "error":
        return reply(500, {"message": "Internal Server Error"})
    return page(502) if effect == "gateway" else vendor.words[effect]


def asked_for(request: Request, ledger: Ledger, vendor: str) -> list[Taken]:
    """What was accepted of the delivery keys, request keys and addresses in a look-up's query."""
    query = unquote_plus(request.query)
    wanted = {match[0] for pattern in (KEY, UUID) for match in pattern.finditer(query)}
    found = [one for key in sorted(wanted) for one in ledger.taken.get(key, ()) if one.vendor == vendor]
    address = dict(parse_qsl(request.query)).get("recipient")
    return [one for one in found if address in (None, one.address)]


# The addresses of a line `"Name, with a comma" <ada@example.org>, bob@example.org`.
ADDRESSES = re.compile(r'(?:"[^"]*" *)?<?([^\s<>,"]+@[^\s<>,"]+)>?')


def bare(address: str) -> str:
    """`ada@example.org` of `Ada <ada@example.org>`."""
    return address.rpartition("<")[2].rstrip(">").strip()


def fields(request: Request) -> dict[str, list[bytes]]:
    """The fields of a form, multipart (RFC 7578) or URL-encoded."""
    found: dict[str, list[bytes]] = {}
    kind = request.headers.get("content-type", "")
    if "boundary=" not in kind:
        for name, value in parse_qsl(request.body.decode(), keep_blank_values=True):
            found.setdefault(name, []).append(value.encode())
        return found
    boundary = b"--" + kind.partition("boundary=")[2].strip('"').encode()
    for part in request.body.split(boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        named = re.search(rb'name="([^"]*)"', head)
        found.setdefault(named[1].decode() if named else "", []).append(content.removesuffix(b"\r\n"))
    return found
