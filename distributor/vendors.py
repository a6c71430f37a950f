"""What each mail provider and each network needs and can do, known before any of its code is imported."""

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
    hook: str = ""  # the class of its webhook, below `distributor.providers.email`
    signs_with: tuple[str, ...] = ()  # settings of `webhook`, each enough to know its events by


VENDORS: Mapping[str, Vendor] = {
    # Its API marks no attachment as inline: https://anymail.dev/en/stable/esps/brevo/ (read 2026-11-23)
    "brevo": Vendor(
        at="brevo:Brevo",
        needs=("key",),
        inline_pictures=False,
        hook="brevo:BrevoWebhook",
        signs_with=("password", "token"),
    ),
    "mailgun": Vendor(
        at="mailgun:Mailgun",
        needs=("key", "domain"),
        takes=("region",),
        regions=("eu",),
        hook="mailgun:MailgunWebhook",
        signs_with=("secret",),
    ),
    # Headers of one's own need its Professional plan: https://www.mailersend.com/help/custom-headers
    "mailersend": Vendor(
        at="mailersend:MailerSend",
        needs=("key",),
        one_click=False,
        hook="mailersend:MailerSendWebhook",
        signs_with=("secret",),
    ),
    "mailjet": Vendor(
        at="mailjet:Mailjet",
        needs=("key", "secret"),
        hook="mailjet:MailjetWebhook",
        signs_with=("password",),
    ),
    "outbox": Vendor(at="outbox:Outbox", takes=("path",)),
    "postmark": Vendor(
        at="postmark:Postmark",
        needs=("key",),
        takes=("stream",),
        hook="postmark:PostmarkWebhook",
        signs_with=("password",),
    ),
    # No attachments in a batch: https://resend.com/docs/api-reference/emails/send-batch-emails
    "resend": Vendor(
        at="resend:Resend",
        needs=("key",),
        inline_pictures=False,
        hook="resend:ResendWebhook",
        signs_with=("secret",),
    ),
    "sendgrid": Vendor(
        at="sendgrid:SendGrid",
        needs=("key",),
        takes=("region",),
        regions=("eu",),
        hook="sendgrid:SendGridWebhook",
        signs_with=("public_key",),
    ),
    "ses": Vendor(
        at="ses:Ses",
        needs=("region", "key", "secret"),
        takes=("configuration_set",),
        hook="ses:SesWebhook",
        signs_with=("topics", "token", "password"),
    ),
    "smtp": Vendor(
        at="smtp:Smtp",
        needs=("host",),
        takes=("port", "security", "username", "password", "dkim", "connections"),
    ),
    # It puts its own List-Unsubscribe into everything that is not declared transactional, and a newsletter is
    # not: https://support.sparkpost.com/docs/user-guide/remove-list-unsubscribe-header (read 2026-11-23)
    "sparkpost": Vendor(
        at="sparkpost:SparkPost",
        needs=("key",),
        takes=("region",),
        regions=("eu",),
        one_click=False,
        hook="sparkpost:SparkPostWebhook",
        signs_with=("password", "token"),
    ),
}

COMMON = frozenset({"type", "base_url", "limits", "warm_up", "webhook"})  # settings of every type


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network, as the account of a `[channels.NAME]`."""

    at: str  # its class, below `distributor.providers.social`
    account: str  # what `account` is there, for a person
    needs: tuple[str, ...] = ()  # settings without which an account cannot work
    takes: tuple[str, ...] = ()  # settings that it knows besides
    edits: bool = False  # a post can be changed where it stands
    deletes: bool = True
    replies: bool = False  # a post can answer another one: corrections, and threads
    fetches: bool = False  # it fetches pictures from an address of ours


NETWORKS: Mapping[str, Network] = {
    # A changed record is taken, and clients go on showing the first: snarfed/bridgy-fed #947
    "bluesky": Network(
        at="bluesky:Bluesky", account='a handle, like "news.example"', needs=("key",), replies=True
    ),
    "mastodon": Network(
        at="mastodon:Mastodon",
        account='a name and its server, like "@news@social.example"',
        needs=("key",),
        takes=("visibility",),
        edits=True,
        replies=True,
    ),
    # Since 2026 a program may reply only where the author called for it: docs.x.com, integrate.
    "x": Network(
        at="x:X",
        account='a name, like "@news"',
        needs=("key",),
        takes=("key_secret", "client_id", "client_secret", "refresh_key", "monthly_budget"),
    ),
    "linkedin": Network(
        at="linkedin:LinkedIn",
        account='"urn:li:person:…" or "urn:li:organization:…"',
        needs=("key",),
        takes=("client_id", "client_secret", "refresh_key", "version", "expires"),
        edits=True,
    ),
    "facebook": Network(
        at="facebook:Facebook",
        account="the page's id",
        needs=("key",),
        takes=("version", "expires"),
        edits=True,
    ),
    "instagram": Network(
        at="instagram:Instagram",
        account="the account's id",
        needs=("key",),
        takes=("version", "expires"),
        deletes=False,
        fetches=True,
    ),
    "threads": Network(
        at="threads:Threads",
        account="the account's id",
        needs=("key",),
        takes=("expires",),
        replies=True,
        fetches=True,
    ),
    "telegram": Network(
        at="telegram:Telegram",
        account='a channel, like "@news", or a chat\'s id',
        needs=("key",),
        edits=True,
        replies=True,
    ),
    "discord": Network(
        at="discord:Discord",
        account="a channel's id, with a bot's key; or any name, with a webhook",
        takes=("key", "webhook"),
        edits=True,
    ),
    "slack": Network(
        at="slack:Slack",
        account="a channel's id, like C0123456789",
        needs=("key",),
        edits=True,
        replies=True,
    ),
}

OUTBOX = "outbox"  # the account that is a folder
ACCOUNT_SETTINGS = frozenset(
    {
        "key",
        "key_secret",
        "client_id",
        "client_secret",
        "refresh_key",
        "webhook",
        "version",
        "visibility",
        "expires",
        "monthly_budget",
    }
)  # those that not every network knows
