"""Amazon SES v2: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendBulkEmail.html"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email.utils import formataddr
from typing import Any

import httpx
import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from distributor.config import Provider, mailbox
from distributor.errors import AccountTrouble, Refused, SendError, SomeRefused, TryLater, Unclear
from distributor.model import (
    Answer,
    Batch,
    BounceClass,
    Digest,
    Email,
    Event,
    EventType,
    Picture,
    RejectReason,
)
from distributor.providers import hooks, http
from distributor.providers.email.mime import Sender, ascii_address, list_id, one_click_headers
from distributor.providers.email.readers import Blank, blanks, marks, values
from distributor.providers.email.sns import Sns
from distributor.providers.protocol import Allowance, EmailLimits, Hook, Media
from distributor.providers.reasons import reason
from distributor.slots import translate

BASE_URL = "https://email.{region}.amazonaws.com"


@dataclass(frozen=True, slots=True)
class Ses:
    """One template for all and a few values for each: SES fills them in."""

    settings: Provider
    transport: httpx.AsyncBaseTransport | None = None

    # 50 entries a call: https://docs.aws.amazon.com/ses/latest/dg/send-personalized-email-api.html. No
    # operation has an idempotency key or finds a message by our own (sesv2 2019-09-27 in botocore 1.44.5).
    # How many messages a second and a day is told by each account: `allowance`.
    limits = EmailLimits(recipients_per_call=50)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Calls]:
        settings = self.settings
        base_url = settings.base_url or BASE_URL.format(region=settings.region)
        auth = Signed(settings.key.get_secret_value(), settings.secret.get_secret_value(), settings.region)
        async with http.client(base_url, auth=auth, transport=self.transport) as opened:
            yield Calls(opened, settings.configuration_set)


class Signed(httpx.Auth):
    """Signature Version 4, made by Amazon's own signer."""

    requires_request_body = True

    def __init__(self, key: str, secret: str, region: str) -> None:
        self._signer = SigV4Auth(Credentials(key, secret), "ses", region)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        unsigned = AWSRequest(method=request.method, url=str(request.url), data=request.content)
        self._signer.add_auth(unsigned)
        request.headers.update(dict(unsigned.headers))
        yield request


@dataclass(frozen=True, slots=True)
class Calls:
    """SES, while there are connections to it."""

    _http: httpx.AsyncClient
    _configuration_set: str

    async def send(
        self, batch: Batch, digest: Digest, emails: Sequence[Email], *, sender: Sender, media: Media
    ) -> Answer:
        told = payload(batch, digest, emails, sender, media)
        if self._configuration_set:
            told["ConfigurationSetName"] = self._configuration_set
        answer = await http.post(self._http, "/v2/email/outbound-bulk-emails", told, judge=judge)
        return results(http.body(answer), emails, pause=http.pause(answer))

    async def allowance(self) -> Allowance:
        """What the account may send in its region.

        Raises:
            AccountTrouble: it may send nothing now, or the key may not ask (`ses:GetAccount`).
        """
        return allowed(await http.get(self._http, "/v2/email/account", judge=judge))


# --- what is asked ---


def payload(
    batch: Batch, digest: Digest, emails: Sequence[Email], sender: Sender, media: Media
) -> dict[str, Any]:
    open_ = blanks(digest, variable)
    asked: dict[str, Any] = {
        "FromEmailAddress": named(sender.from_),
        "DefaultEmailTags": [{"Name": "batch", "Value": batch.key}],
        "DefaultContent": {"Template": template(digest, sender, media)},
        "BulkEmailEntries": [entry(email, open_) for email in emails],
    }
    return asked | ({"ReplyToAddresses": [named(sender.reply_to)]} if sender.reply_to else {})


def template(digest: Digest, sender: Sender, media: Media) -> dict[str, Any]:
    """What all have in common; an entry adds its own headers to these (API_BulkEmailEntry)."""
    common: dict[str, Any] = {
        "TemplateContent": {
            "Subject": literal(digest.subject),
            "Html": translate(digest.html, marks("html", mark), literal),
            "Text": translate(digest.text, marks("text", mark), literal),
        },
        "TemplateData": orjson.dumps(LITERALS).decode(),
        "Headers": [{"Name": "List-Id", "Value": list_id(sender)}],
    }
    pictures = [attachment(picture, media) for picture in digest.pictures]
    return common | ({"Attachments": pictures} if pictures else {})


def attachment(picture: Picture, media: Media) -> dict[str, str]:
    """SES takes pictures in a bulk call since 2025: https://docs.aws.amazon.com/ses/latest/dg/attachments.html"""
    return {
        "FileName": picture.name,
        "ContentType": picture.media_type,
        "ContentDisposition": "INLINE",
        "ContentId": picture.hash,
        "ContentTransferEncoding": "BASE64",
        "RawContent": b64encode(media(picture)).decode(),
    }


def entry(email: Email, open_: Sequence[Blank]) -> dict[str, Any]:
    """One reader's part. A variable without a value would fail after SES accepted it, so all are here.

    SES writes values as they are, in HTML too (read November 2026:
    https://docs.aws.amazon.com/ses/latest/dg/send-personalized-email-advanced.html).
    """
    data = orjson.dumps(LITERALS | values(email, open_)).decode()
    return {
        "Destination": {"ToAddresses": [ascii_address(email.address)]},
        "ReplacementTags": [{"Name": "delivery", "Value": email.key}],
        "ReplacementHeaders": [{"Name": n, "Value": v} for n, v in one_click_headers(email).items()],
        "ReplacementEmailContent": {"ReplacementTemplate": {"ReplacementTemplateData": data}},
    }


def named(text: str) -> str:
    """A sender in ASCII; SES wants other names as encoded words (RFC 2047)."""
    name, address = mailbox(text)
    return formataddr((name, address)) if address.isascii() else address


def mark(part: str, slot: str) -> str:
    return f"{{{{{variable(part, slot)}}}}}"


def variable(part: str, slot: str) -> str:
    """Letters only: a template inside a call may not even have "_" (aws/aws-sdk-js-v3 #6657, 2024)."""
    return part + slot.title().replace("_", "")


# An inline template knows nothing but variables, so what could be read as one is the value of one.
LITERALS = {"opening": "{", "closing": "}", "backslash": "\\"}
_WRITTEN = {character: f"{{{{{name}}}}}" for name, character in LITERALS.items()}
_SYNTAX = re.compile(r"[{}\\](?:[{}\\]+|\Z|(?<=\A.))")  # in Handlebars a backslash before a mark hides it


def literal(text: str) -> str:
    """What stands between two marks, so that SES reads nothing into it."""
    return _SYNTAX.sub(lambda found: "".join(map(_WRITTEN.__getitem__, found[0])), text)


# --- what is answered ---


def over_quota(said: str) -> AccountTrouble:
    """The quota is of the last 24 hours, at every moment: in an hour there is some again."""
    return AccountTrouble(said, after=3600)


ERRORS: Mapping[str, Callable[[str], SendError]] = {
    # of a call: API_SendBulkEmail and CommonErrors of the reference, read November 2026
    "AccessDeniedException": AccountTrouble,
    "AccountSuspendedException": AccountTrouble,
    "IncompleteSignature": AccountTrouble,
    "MailFromDomainNotVerifiedException": AccountTrouble,
    "NotAuthorized": AccountTrouble,
    "NotFoundException": AccountTrouble,  # there is no such configuration set
    "RequestExpired": AccountTrouble,  # the clock of this machine is wrong
    "SendingPausedException": AccountTrouble,
    "LimitExceededException": TryLater,
    "ThrottlingException": TryLater,  # a 400: /ses/latest/dg/manage-sending-quotas-errors.html
    "BadRequestException": Refused,
    "MessageRejected": Refused,
    # of one message: API_BulkEmailEntryResult, whose text and list of values spell two of them differently
    "ACCOUNT_SENDING_PAUSED": AccountTrouble,
    "ACCOUNT_SUSPENDED": AccountTrouble,
    "CONFIGURATION_SET_DOES_NOT_EXIST": AccountTrouble,
    "CONFIGURATION_SET_NOT_FOUND": AccountTrouble,
    "CONFIGURATION_SET_SENDING_PAUSED": AccountTrouble,
    "INVALID_SENDING_POOL_NAME": AccountTrouble,
    "MAIL_FROM_DOMAIN_NOT_VERIFIED": AccountTrouble,
    "ACCOUNT_DAILY_QUOTA_EXCEEDED": over_quota,
    "ACCOUNT_THROTTLED": TryLater,
    "TRANSIENT_FAILURE": TryLater,
    "INVALID_PARAMETER": Refused,
    "MESSAGE_REJECTED": Refused,
    "TEMPLATE_DOES_NOT_EXIST": Refused,
    "TEMPLATE_NOT_FOUND": Refused,
    "FAILED": Unclear,  # SES does not say how far it came
}

BY_WORDS: Sequence[tuple[str, frozenset[str], Callable[[str], SendError]]] = (
    # The sender's address or, in the sandbox, a reader's: "Email address is not verified. The following …"
    (
        "not verified",
        frozenset({"MessageRejected", "MESSAGE_REJECTED", "BadRequestException"}),
        AccountTrouble,
    ),
    ("Daily message quota", frozenset({"ThrottlingException", "ACCOUNT_THROTTLED"}), over_quota),
    # "Missing final '@domain'", "Illegal address": somebody's, and nobody says whose.
    ("address", frozenset({"BadRequestException"}), SomeRefused),
    ("domain", frozenset({"BadRequestException"}), SomeRefused),
)


def failure(kind: str, said: str) -> SendError | None:
    """What SES's name for a failure means; None: not a name that is known here."""
    for words, kinds, error in BY_WORDS:
        if kind in kinds and words.lower() in said.lower():
            return error(said)
    return ERRORS[kind](said) if kind in ERRORS else None


def judge(answer: httpx.Response) -> SendError | None:
    """SES names a failure of the call in a header, as AWS's REST JSON services do: `Name:http://…`."""
    if answer.is_success:
        return None
    return failure(answer.headers.get("x-amzn-errortype", "").partition(":")[0], http.said(answer))


def results(body: Any, emails: Sequence[Email], *, pause: float = 0) -> Answer:
    """What became of each message, inside an accepted call; the order is ours.

    Raises:
        TryLater: of none of them anything came, and of all of them it may.
    """
    with http.reading(body):
        told = [
            (e.recipient, r["Status"], r) for e, r in zip(emails, body["BulkEmailEntryResults"], strict=True)
        ]
    accepted = {who: result.get("MessageId", "") for who, status, result in told if status == "SUCCESS"}
    failed = {who: _failure(status, result) for who, status, result in told if status != "SUCCESS"}
    later = {who: error for who, error in failed.items() if isinstance(error, TryLater)}
    if later and len(later) == len(emails):
        raise max(later.values(), key=lambda error: error.after or 0)
    return Answer(
        receipts=accepted,
        refused={who: str(error) for who, error in failed.items() if isinstance(error, Refused)},
        later={who: str(error) for who, error in later.items()},
        unclear={who: str(error) for who, error in failed.items() if isinstance(error, Unclear)},
        pause=max([pause, *(error.after or 1 for error in later.values())]),
    )


def _failure(status: str, result: Mapping[str, Any]) -> SendError:
    said = reason(f"{status}: {result.get('Error') or ''}").rstrip(": ")
    return failure(status, said) or Unclear(said)


def allowed(body: Any) -> Allowance:
    """https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetAccount.html; -1 a day is no limit."""
    with http.reading(body):
        quota = body["SendQuota"]
        per_second, per_day = float(quota["MaxSendRate"]), float(quota["Max24HourSend"])
        used = int(quota["SentLast24Hours"])
        status, is_enabled = body.get("EnforcementStatus", "HEALTHY"), body.get("SendingEnabled", True)
    if status == "SHUTDOWN" or not is_enabled:
        raise AccountTrouble(
            f"the account may not send: EnforcementStatus {status}, SendingEnabled {is_enabled}"
        )
    return Allowance(per_second=per_second, per_day=per_day if per_day >= 0 else None, used=used)


# --- what it reports (read 2026-11-23) ---
# https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html

Kind = tuple[EventType, BounceClass | None, RejectReason | None]

EVENTS: Mapping[str, tuple[EventType, str, str]] = {  # eventType -> ours, where it is told, and of whom
    "Send": (EventType.SENT, "send", ""),
    "Reject": (EventType.REJECTED, "reject", ""),  # SES found a virus
    "Rendering Failure": (EventType.FAILED, "failure", ""),
    "Delivery": (EventType.DELIVERED, "delivery", "recipients"),
    "DeliveryDelay": (EventType.DEFERRED, "deliveryDelay", "delayedRecipients"),
    "Bounce": (EventType.BOUNCED, "bounce", "bouncedRecipients"),
    "Complaint": (EventType.COMPLAINED, "complaint", "complainedRecipients"),
    "Open": (EventType.OPENED, "open", ""),
    "Click": (EventType.CLICKED, "click", ""),
    "Subscription": (EventType.UNKNOWN, "subscription", ""),  # see _subscription
}
BOUNCES: Mapping[str, RejectReason] = {  # bounceSubType -> ours; the class is that of the bounceType
    "NoEmail": RejectReason.INVALID,
    "OnAccountSuppressionList": RejectReason.BLOCKED,
    "CustomTimeoutExceeded": RejectReason.TIMED_OUT,
    "ContentRejected": RejectReason.SPAM,
    "AttachmentRejected": RejectReason.BLOCKED,
    "MessageTooLarge": RejectReason.OTHER,
}  # any other: BOUNCED
NO_COMPLAINTS = frozenset(
    {"not-spam", "auth-failure"}
)  # complaintFeedbackType: not against us, not of a reader
REST: Mapping[EventType, Kind] = {
    EventType.REJECTED: (EventType.REJECTED, None, RejectReason.OTHER),
    EventType.FAILED: (EventType.FAILED, None, RejectReason.OTHER),
    EventType.DEFERRED: (EventType.DEFERRED, "soft", None),
}

MOST_RECIPIENTS = 50  # of a message
GREETING = "Successfully validated SNS topic"  # when a topic is made the destination of events; no JSON
SUBSCRIBED = "AmazonSnsSubscriptionSucceeded"  # the same, for the notifications of an identity


@dataclass(frozen=True, slots=True)
class SesWebhook:
    """Reports through SNS, which signs; or through EventBridge, which brings a password or a token."""

    settings: Provider
    transport: httpx.AsyncBaseTransport | None = None
    stops_with = 400
    _sns: Sns = field(default_factory=Sns, init=False, repr=False)

    async def events(self, hook: Hook) -> Sequence[Event]:
        settings = self.settings.webhook
        if "x-amz-sns-message-type" not in hook.headers:
            hooks.known_by_password_or_token(hook, settings)
            return from_event_bridge(hook)
        said = await self._sns.notification(hook, topics=settings.topics, transport=self.transport)
        if said is None or said.text.startswith(GREETING):
            return ()
        told = hooks.only(replace(hook, body=said.text.encode()))
        if told.get("notificationType") == SUBSCRIBED:
            return ()
        with hooks.reading():
            return events_of(
                told, id_=said.id, said=told.get("eventType") or told["notificationType"], hook=hook
            )


def from_event_bridge(hook: Hook) -> list[Event]:
    """https://docs.aws.amazon.com/eventbridge/latest/ref/events-ref-ses.html (read 2026-11-23)"""
    told = hooks.only(hook)
    with hooks.reading():
        id_, name = hooks.own_id(told.get("id")), told["detail-type"]
        detail = hooks.object_of(told["detail"])
        id_ = id_ or hooks.id_of(hooks.raw_of(told))
        return events_of(detail, id_=id_, said=detail.get("eventType") or name, hook=hook)


def events_of(told: Mapping[str, Any], *, id_: str, said: Any, hook: Hook) -> list[Event]:
    """One event for each reader whom it names."""
    said = hooks.text_of(said)
    type_, place, _ = EVENTS.get(said, (EventType.UNKNOWN, "", ""))
    about, mail = hooks.object_of(told.get(place)), hooks.object_of(told.get("mail"))
    kind, agent = kind_of(said, about), hooks.text_of(about.get("userAgent"))
    readers = readers_of(said, about, mail)
    common = Event(
        type=kind[0],
        id=hooks.own_id(id_),
        occurred_at=hooks.when(about.get("timestamp") or mail.get("timestamp"), hook.received_at),
        said=named_in_full(said, about),
        key=_key(mail),
        message_id=hooks.text_of(mail.get("messageId")),
        reject_reason=kind[2],
        bounce_class=kind[1],
        link=hooks.text_of(about.get("link"), most=2000),
        user_agent=agent,
        by=hooks.hand(agent) if type_ in (EventType.OPENED, EventType.CLICKED) else None,
        raw=hooks.raw_of(told),
    )
    return [
        replace(
            common,
            id=common.id if len(readers) == 1 else hooks.id_of(common.id, address),
            address=address,
            description=description,
        )
        for address, description in readers
    ]


def kind_of(said: str, about: Mapping[str, Any]) -> Kind:
    type_ = EVENTS.get(said, (EventType.UNKNOWN, "", ""))[0]
    if said == "Bounce":
        class_: BounceClass = "hard" if about.get("bounceType") == "Permanent" else "soft"
        return (type_, class_, BOUNCES.get(hooks.text_of(about.get("bounceSubType")), RejectReason.BOUNCED))
    if said == "Complaint":
        is_one = hooks.text_of(about.get("complaintFeedbackType")) not in NO_COMPLAINTS
        return (type_, None, RejectReason.SPAM) if is_one else (EventType.UNKNOWN, None, None)
    if said == "Subscription":
        return _subscription(about)
    return REST.get(type_, (type_, None, None))


def _subscription(about: Mapping[str, Any]) -> Kind:
    """With SES's own list management a reader leaves a topic or everything, or comes back."""
    now, before = (_left(about.get(name)) for name in ("newTopicPreferences", "oldTopicPreferences"))
    if now - before:
        return (EventType.UNSUBSCRIBED, None, RejectReason.UNSUBSCRIBED)
    return (EventType.SUBSCRIBED if before - now else EventType.UNKNOWN, None, None)


def _left(preferences: Any) -> set[str]:
    """The topics that somebody does not want; "" stands for all."""
    told = hooks.object_of(preferences)
    topics = told.get("topicSubscriptionStatus")
    listed = [hooks.object_of(one) for one in (topics if isinstance(topics, list) else [topics])]
    left = {
        hooks.text_of(one.get("topicName")) for one in listed if one.get("subscriptionStatus") == "OptOut"
    }
    return left | ({""} if told.get("unsubscribeAll") is True else set())


def readers_of(said: str, about: Mapping[str, Any], mail: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Addresses, and what was said of each. Who of several readers opened a message SES does not say."""
    names = ("smtpResponse", "reason", "errorMessage", "complaintFeedbackType", "delayType")
    general = next((text for name in names if (text := hooks.text_of(about.get(name)))), "")
    listed = about.get(EVENTS.get(said, (EventType.UNKNOWN, "", ""))[2]) or mail.get("destination")
    found = [_reader(one, general) for one in listed] if isinstance(listed, list) else []
    if said in ("Open", "Click", "Subscription") and len(found) > 1:
        return [("", general)]
    return found[:MOST_RECIPIENTS] or [("", general)]


def _reader(told: Any, general: str) -> tuple[str, str]:
    if not isinstance(told, dict):
        return hooks.text_of(told), general
    return hooks.text_of(told.get("emailAddress")), hooks.text_of(told.get("diagnosticCode")) or general


def named_in_full(said: str, about: Mapping[str, Any]) -> str:
    names = ("bounceType", "bounceSubType", "complaintFeedbackType", "complaintSubType")
    return " ".join([said, *filter(None, (hooks.text_of(about.get(name)) for name in names))])


def _key(mail: Mapping[str, Any]) -> str:
    """A tag has a list of values. Notifications of an identity come without tags."""
    values = hooks.object_of(mail.get("tags")).get("delivery")
    return hooks.text_of(values[0] if isinstance(values, list) and values else values)
