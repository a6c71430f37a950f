"""What each type of mail provider needs and can do, known before any of its code is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """A type of `[providers.NAME]`."""

    at: str  # its class, below `distributor.providers.email`
    needs: tuple[str, ...] = ()  # settings without which it cannot work
    takes: tuple[str, ...] = ()  # settings that it knows besides
    regions: tuple[str, ...] = ()  # those it knows by name, besides its first
    inline_pictures: bool = True  # takes pictures inside its mails
    one_click: bool = True  # carries each reader's own List-Unsubscribe (RFC 8058)


VENDORS: Mapping[str, Vendor] = {
    # Its API marks no attachment as inline: https://anymail.dev/en/stable/esps/brevo/ (read 2026-11-23)
    "brevo": Vendor(at="brevo:Brevo", needs=("key",), inline_pictures=False),
    "mailgun": Vendor(at="mailgun:Mailgun", needs=("key", "domain"), takes=("region",), regions=("eu",)),
    # Headers of one's own need its Professional plan: https://www.mailersend.com/help/custom-headers
    "mailersend": Vendor(at="mailersend:MailerSend", needs=("key",), one_click=False),
    "mailjet": Vendor(at="mailjet:Mailjet", needs=("key", "secret")),
    "outbox": Vendor(at="outbox:Outbox", takes=("path",)),
    "postmark": Vendor(at="postmark:Postmark", needs=("key",), takes=("stream",)),
    # No attachments in a batch: https://resend.com/docs/api-reference/emails/send-batch-emails
    "resend": Vendor(at="resend:Resend", needs=("key",), inline_pictures=False),
    "sendgrid": Vendor(at="sendgrid:SendGrid", needs=("key",), takes=("region",), regions=("eu",)),
    "ses": Vendor(at="ses:Ses", needs=("region", "key", "secret"), takes=("configuration_set",)),
    "smtp": Vendor(
        at="smtp:Smtp", needs=("host",), takes=("port", "security", "username", "password", "dkim")
    ),
    # It puts its own List-Unsubscribe into everything that is not declared transactional, and a newsletter is
    # not: https://support.sparkpost.com/docs/user-guide/remove-list-unsubscribe-header (read 2026-11-23)
    "sparkpost": Vendor(
        at="sparkpost:SparkPost", needs=("key",), takes=("region",), regions=("eu",), one_click=False
    ),
}

COMMON = frozenset({"type", "base_url", "limits", "warm_up"})  # settings of every type
