"""The ledger's tables. Addresses are not here: they are the audience's (`subscribers.schema`)."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from subscribers.schema import Identity, Instant, metadata

# What is known of each content file (or feed), so that a scan reads only what changed.
page = Table(
    "page",
    metadata,
    Column("path", Text, primary_key=True),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("data", LargeBinary),  # articles.Page as it dumps itself; null: the file could not be read
    Column("problems", JSON, nullable=False),
    Column("article", ForeignKey("article.id")),  # the article it is a page of, once that was public
    Column("changes_at", Instant),  # when its state changes by itself
)
Index("ix_page_changes_at", page.c.changes_at)
Index("ix_page_article", page.c.article)

article = Table(
    "article",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("sequence", BigInteger, nullable=False, unique=True),
    Column("path", Text, nullable=False),  # of the page that speaks for it
    Column("url", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("published_at", Instant, nullable=False),
    Column("content_hash", LargeBinary, nullable=False),
    Column("is_public", Boolean, nullable=False),  # at the last scan
    Column("first_public_at", Instant, nullable=False),
    Column("told", LargeBinary),  # hash of all that a post can say of it; null: as it was before posts had it
)

# Every address an article was ever known under, so that a renamed page is not new.
address = Table(
    "address",
    metadata,
    Column("url", Text, primary_key=True),
    Column("article", ForeignKey("article.id"), nullable=False),
)

# An article that waits for the public site to show it; till then it has no row, or no new number.
gate = Table(
    "gate",
    metadata,
    Column("key", Text, primary_key=True),
    Column("title", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("banner", Text),
    Column("qr", Text),
    Column("since", Instant, nullable=False),
    Column("ask_at", Instant, nullable=False),  # when the site is next asked
    Column("asked", Integer, nullable=False),  # how often it was
    Column("answered", JSON, nullable=False),  # those of the addresses that did answer
    Column("reason", Text),  # why it does not pass
    Column("passed_at", Instant),  # from when on it may be numbered
)

# Facts about the whole site: the fingerprint its pages were read under, the last sequence number.
fact = Table(
    "fact",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# A newsletter or a channel since it was first seen in the configuration.
channel = Table(
    "channel",
    metadata,
    Column("name", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("start", BigInteger, nullable=False),  # the sequence number beyond which it announces
    Column("handled_at", Instant, nullable=False),  # the last slot that was planned, dropped or merged
)

campaign = Table(
    "campaign",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("channel", ForeignKey("channel.name"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("slot", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("priority", Integer, nullable=False, server_default="20"),  # lower goes first
    Column("through", BigInteger, nullable=False),
    Column("candidates", BigInteger, nullable=False, default=0),
    Column("excluded", JSON, nullable=False, default=dict),
    Column("overlaps", Boolean, nullable=False, default=False),  # readers who have it may stand before it
    Column("audience", BigInteger),  # confirmed readers of its list when it was planned, of every cadence
    Column("approved_at", Instant),
    Column("approved_content", Text),  # the hash of what a person approved
    Column("reason", Text),
    Column(
        "aged", JSON(none_as_null=True)
    ),  # what is kept of its deliveries in the end; null: they are there
    Column("notice", Text),  # what it asks of single readers, who come one by one; null: an edition or a post
    # A person went on with it although it was paused for how it was received.
    Column("overruled", Boolean, nullable=False, default=False, server_default=false()),
    Column("tallied", Boolean, nullable=False, default=False, server_default=false()),  # see tally
    UniqueConstraint("channel", "slot"),
    CheckConstraint("kind IN ('newsletter', 'post')", name="kind"),
)
Index("ix_campaign_state", campaign.c.state)
Index(
    "ix_campaign_untallied",
    campaign.c.id,
    sqlite_where=campaign.c.tallied.is_(False),
    postgresql_where=campaign.c.tallied.is_(False),
)

rendition = Table(
    "rendition",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),  # the Digest or Post, as JSON, compressed
)

rendition_article = Table(
    "rendition_article",
    metadata,
    Column("article", ForeignKey("article.id"), primary_key=True),
    Column("rendition", ForeignKey("rendition.hash"), primary_key=True),
    Column("role", Text, nullable=False),
    sqlite_with_rowid=False,
)

batch = Table(
    "batch",
    metadata,
    Column("campaign", ForeignKey("campaign.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("rendition", ForeignKey("rendition.hash"), nullable=False),
    Column("recipients", Text, nullable=False),  # a JSON array of subscriber ids, ascending
    Column("size", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False, default=0),
    Column("provider", Text),  # whom it goes or went to; null while queued: the first that is not held up
    Column("called_at", Instant),  # first under its key; null once that call is known to have done nothing
    Column("receipt", Text),  # the provider's id for the whole call
    Column("due_at", Instant, nullable=False),
    Column("lease_owner", Text),
    Column("lease_until", Instant),
    Column("reason", Text),
    Column("kept", JSON),  # what its provider noted between the calls that make a post
    CheckConstraint(
        "state IN ('queued', 'sending', 'accepted', 'refused', 'skipped', 'unclear')", name="state"
    ),
    sqlite_with_rowid=False,
)
Index(
    "ix_batch_waiting",
    batch.c.campaign,
    batch.c.due_at,
    batch.c.number,
    sqlite_where=batch.c.state == "queued",
    postgresql_where=batch.c.state == "queued",
)
Index(
    "ix_batch_open",
    batch.c.campaign,
    batch.c.state,
    sqlite_where=batch.c.state.in_(["queued", "sending", "unclear"]),
    postgresql_where=batch.c.state.in_(["queued", "sending", "unclear"]),
)
Index("ix_batch_rendition", batch.c.rendition)

delivery = Table(
    "delivery",
    metadata,
    Column("campaign", BigInteger, primary_key=True, autoincrement=False),
    Column("recipient", BigInteger, primary_key=True, autoincrement=False),  # subscriber id; 0: the channel
    Column("batch", Integer, nullable=False),
    Column("state", Text),  # null: as its batch
    Column("receipt", Text),  # an id of its own
    Column("reason", Text),
    Column("outcome", Integer),  # model.Outcome: what its provider reported since
    # No foreign keys: a million rows are written by one statement that made their campaign and batches.
    sqlite_with_rowid=False,
)
Index(
    "ix_delivery_differing",
    delivery.c.campaign,
    delivery.c.batch,
    delivery.c.recipient,
    sqlite_where=delivery.c.state.is_not(None),
    postgresql_where=delivery.c.state.is_not(None),
)

# How a provider is doing: every worker sees what one of them learnt.
provider = Table(
    "provider",
    metadata,
    Column("name", Text, primary_key=True),
    Column("failures", Integer, nullable=False, default=0),  # calls in a row without an answer of use
    Column("held_until", Instant),  # nobody calls it before
    Column("is_down", Boolean, nullable=False, default=False),  # so others are to take over meanwhile
    Column("reason", Text),
)

# What has gone through a provider lately, counted in small steps of time: see delivery.quota.
quota = Table(
    "quota",
    metadata,
    Column("name", Text, primary_key=True),  # the provider's, or the sending domain that is warmed up
    Column("counts", Text, primary_key=True),  # messages or calls
    Column("seconds", Integer, primary_key=True),  # of the window
    Column("history", Text, nullable=False),  # JSON: [[step, count], …], ascending
)

# An article's post on a channel, and what of it can be seen there.
post = Table(
    "post",
    metadata,
    Column("campaign", ForeignKey("campaign.id"), primary_key=True),  # in whose slot its article had its turn
    Column("channel", Text, nullable=False),
    Column("article", ForeignKey("article.id"), nullable=False),
    Column("rendition", Text, nullable=False),  # hash of what is to be seen, or will be
    Column("told", LargeBinary, nullable=False),  # hash of all of the article that a post can say
    Column("state", Text, nullable=False),  # planned, up, gone
    Column("receipt", JSON),  # the network's
    Column("roundup", BigInteger),  # the campaign that names it among others; null: it has a post of its own
    CheckConstraint("state IN ('planned', 'up', 'gone')", name="state"),
)
Index("ix_post_article", post.c.article)
Index("ix_post_roundup", post.c.roundup)

# What opens an account, where the network changes it from time to time; sealed with the configured key.
credential = Table(
    "credential",
    metadata,
    Column("account", Text, primary_key=True),
    Column("sealed", LargeBinary),
    Column("expires_at", Instant),
    Column("renewing_until", Instant),  # one worker at a time makes the next
)

# What a person has to be told, once.
alert = Table(
    "alert",
    metadata,
    Column("key", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("raised_at", Instant, nullable=False),
    Column("told_at", Instant),  # in the log
    Column("sent_at", Instant),  # to the people in [alerts]
    Column("held_until", Instant),  # somebody is sending it, or it failed and is tried again then
    Column("tries", Integer, nullable=False, default=0, server_default="0"),
    Column("cleared_at", Instant),  # it is so no more
)

# What a provider reported of one message, as it said it and in our words.
event = Table(
    "event",
    metadata,
    Column("number", Identity, primary_key=True),  # in the order of their coming
    Column("provider", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("type", Text, nullable=False),  # model.EventType
    Column("said", Text, nullable=False),  # what the vendor calls it
    Column("occurred_at", Instant, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("campaign", BigInteger),  # with recipient: the delivery; null: of no message of ours
    Column("recipient", BigInteger),
    Column("address_hash", LargeBinary),
    Column("message_id", Text),
    Column("bounce_class", Text),
    Column("reject_reason", Text),
    Column("by", Text),
    Column("link", Text),
    Column("description", Text),
    Column("user_agent", Text),
    Column("raw", LargeBinary),  # names the address; null once its person is erased
    Column("applied_at", Instant),  # null: nothing followed from it yet
    UniqueConstraint("provider", "id"),
)
Index(
    "ix_event_waiting",
    event.c.number,
    sqlite_where=event.c.applied_at.is_(None),
    postgresql_where=event.c.applied_at.is_(None),
)
Index("ix_event_recipient", event.c.recipient, event.c.campaign)
Index("ix_event_address_hash", event.c.address_hash)

# Where the recipients of a campaign are that is over: added up once, so that nobody counts them again.
tally = Table(
    "tally",
    metadata,
    Column("campaign", BigInteger, primary_key=True, autoincrement=False),
    Column("provider", Text, primary_key=True),  # empty: none
    Column("state", Text, primary_key=True),  # model.DeliveryState; gap: candidates that are nowhere
    Column("count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# How many events of each kind took effect, for each campaign.
report = Table(
    "report",
    metadata,
    Column("campaign", BigInteger, primary_key=True, autoincrement=False),  # 0: no message of ours
    Column("provider", Text, primary_key=True),
    Column("type", Text, primary_key=True),
    Column("bounce_class", Text, primary_key=True),  # empty: none
    Column("count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# When each kind of work was last done, by whichever process.
pulse = Table(
    "pulse",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("seconds", Float),  # that it took
)

# Readers who are to be sent what they missed before they came.
welcome = Table(
    "welcome",
    metadata,
    Column("newsletter", Text, primary_key=True),
    Column("subscriber", BigInteger, primary_key=True, autoincrement=False),
    Column("asked_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)

# What other programs told, by the ids of their messages, so that each is done once.
heard = Table(
    "heard",
    metadata,
    Column("id", Text, primary_key=True),
    Column("heard_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)
Index("ix_heard_heard_at", heard.c.heard_at)

# States that campaigns came to, until they are passed on to the hooks that want to know.
news = Table(
    "news",
    metadata,
    Column("number", Identity, primary_key=True),
    Column("campaign", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
)

# What is to be told, one hook each. It names readers by number; their address is looked up when it is told.
outgoing = Table(
    "outgoing",
    metadata,
    Column("number", Identity, primary_key=True),
    Column("hook", Text, nullable=False),  # its name in the configuration
    Column("id", Text, nullable=False),  # the same at every attempt, and at every hook
    Column("type", Text, nullable=False),
    Column("data", JSON, nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Column("kept_at", Instant, nullable=False),
    Column("state", Text, nullable=False, default="waiting"),
    Column("attempt", Integer, nullable=False, default=0),
    Column("due_at", Instant, nullable=False),  # while it is being told: when it may be told again
    Column("reason", Text),
    UniqueConstraint("hook", "id"),
    CheckConstraint("state IN ('waiting', 'told', 'given up')", name="state"),
)
Index(
    "ix_outgoing_waiting",
    outgoing.c.hook,
    outgoing.c.due_at,
    outgoing.c.number,
    sqlite_where=outgoing.c.state == "waiting",
    postgresql_where=outgoing.c.state == "waiting",
)
Index("ix_outgoing_kept_at", outgoing.c.kept_at)

# Who may use the API. Of a token only its hash is known.
api_token = Table(
    "api_token",
    metadata,
    Column("id", Identity, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("hash", LargeBinary, nullable=False, unique=True),  # SHA-256
    Column("scopes", Text, nullable=False),  # with spaces between
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("used_at", Instant),  # to the hour
)

# What was done for whoever may ask for it again, not knowing whether it was.
api_request = Table(
    "api_request",
    metadata,
    Column("token", ForeignKey("api_token.id"), primary_key=True),
    Column("key", Text, primary_key=True),  # that the asker made up
    Column("asked", LargeBinary, nullable=False),  # SHA-256
    Column("recipients", BigInteger),  # whom it concerned
    Column("at", Instant, nullable=False),
    sqlite_with_rowid=False,
)

media = Table(
    "media",
    metadata,
    Column("key", Text, primary_key=True),  # what was wanted: address and recipe
    Column("picture", JSON, nullable=False),
)

tables = metadata  # the ledger and the audience live in one database, so that one transaction covers both
