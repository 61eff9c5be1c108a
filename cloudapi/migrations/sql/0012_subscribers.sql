-- Subscribers: what they pay, watch, are mailed and notified of; who did what; what is switched on.
-- The task queue's own tables come with the library (see the revision). Whatever names an account is the account's.
set local lock_timeout = '2s';
set local statement_timeout = '60s';

-- ---------------------------------------------------------------- billing

create table billing_customer (
    account_id uuid primary key references account,
    customer_id text not null unique check (length(customer_id) <= 255),
    created_at timestamptz not null default now()
);

-- Numbers the readings of a subscription: of two at once the later begun one is kept.
create sequence subscription_reading as bigint;

-- What Stripe said last, read again at every event; what a tier is owed to.
create table subscription (
    account_id uuid primary key references account,
    customer_id text not null,
    subscription_id text,                          -- null: none that gives anything
    status text not null,                          -- Stripe's word
    tier text not null check (tier in ('basic', 'premium', 'pro')),
    period_end_at timestamptz,
    trial_end_at timestamptz,
    grace_until timestamptz,                       -- a payment failed: the tier stays until then
    ends_at_period_end boolean not null default false,
    reading bigint not null,
    read_at timestamptz not null
);
create index subscription_grace on subscription (grace_until) where grace_until is not null;
create index subscription_period on subscription (period_end_at) where period_end_at is not null;

-- An event is a hint. Its id comes first and once: that is the guard against replays.
create table stripe_event (
    event_id text primary key check (length(event_id) <= 255),
    account_id uuid,                               -- null until known; no reference: an account may go
    event_type text not null,
    customer_id text,
    received_at timestamptz not null default now(),
    processed_at timestamptz,
    outcome text
);
create index stripe_event_waiting on stripe_event (received_at) where processed_at is null;

-- One trial per account and per means of payment. The fingerprint outlives the account: that is its use.
create table trial_use (
    fingerprint text primary key,                  -- Stripe's for a card
    account_id uuid,
    used_at timestamptz not null default now()
);

-- ---------------------------------------------------------------- watch lists and the daily mail

create table watch_entry (
    watch_id uuid primary key,
    account_id uuid not null references account,
    kind text not null check (kind in ('market', 'category', 'keyword')),
    subject text not null check (length(subject) between 1 and 200),
    min_move double precision not null check (min_move between 0 and 1),   -- of the mid within a day
    min_confidence smallint not null check (min_confidence between 0 and 100),
    created_at timestamptz not null default now(),
    unique (account_id, kind, subject)
);

create table mail_preference (
    account_id uuid primary key references account,
    time_zone text not null default 'UTC' check (length(time_zone) <= 64),
    hour smallint not null default 7 check (hour between 0 and 23),        -- of the reader's day
    is_on boolean not null default true,
    off_why text check (off_why in ('asked', 'unsubscribed', 'bounced')),
    unsubscribe_key text not null unique check (length(unsubscribe_key) between 32 and 64), -- opens nothing else
    changed_at timestamptz not null default now()
);

create table mail_daily (
    account_id uuid not null references account,
    day date not null,                             -- of the reader
    -- sending: handed to the mail server and no answer seen; never sent a second time
    state text not null default 'due' check (state in ('due', 'sending', 'sent', 'empty', 'bounced', 'failed')),
    due_at timestamptz not null default now(),
    n_attempts smallint not null default 0,
    sent_at timestamptz,
    answer text,                                   -- the mail server's last refusal
    primary key (account_id, day)
);
create index mail_daily_due on mail_daily (due_at) where state = 'due';

-- When the next mail may leave, for all workers together: the provider's cap.
create table mail_pace (
    only_one boolean primary key default true check (only_one),
    next_at timestamptz not null default now()
);
insert into mail_pace default values;

-- ---------------------------------------------------------------- webhooks and notifications

create table webhook_endpoint (
    endpoint_id uuid primary key,
    account_id uuid not null references account,
    url text not null check (length(url) <= 2000),
    topics text[] not null check (cardinality(topics) > 0),
    watched_only boolean not null,
    secret text not null,                          -- signs; shown once
    created_at timestamptz not null default now(),
    failing_since timestamptz,                     -- the first failure after the last success
    disabled_at timestamptz,
    disabled_why text
);
create index webhook_endpoint_account on webhook_endpoint (account_id);

create table webhook_message (
    message_id uuid primary key,
    endpoint_id uuid not null references webhook_endpoint on delete cascade,
    account_id uuid not null references account,
    event_ref text not null check (length(event_ref) <= 200),
    topic text not null,
    body text not null,                            -- the very bytes that are signed
    state text not null default 'pending' check (state in ('pending', 'delivered', 'dead')),
    n_attempts smallint not null default 0,
    created_at timestamptz not null default now(),
    next_at timestamptz not null default now(),
    delivered_at timestamptz,
    last_status smallint,
    last_error text,
    unique (endpoint_id, event_ref)                -- an event is told once
);
create index webhook_message_pending on webhook_message (next_at) where state = 'pending';
create index webhook_message_endpoint on webhook_message (endpoint_id, created_at desc, message_id desc);

create table notification_channel (
    channel_id uuid primary key,
    account_id uuid not null references account,
    kind text not null check (kind in ('slack', 'discord', 'telegram', 'ntfy')),
    address text not null,                         -- holds the service's token: never shown again
    topics text[] not null check (cardinality(topics) > 0),
    watched_only boolean not null,
    per_hour smallint not null check (per_hour between 1 and 60),
    created_at timestamptz not null default now(),
    n_failures smallint not null default 0,        -- in a row
    disabled_at timestamptz,
    disabled_why text
);
create index notification_channel_account on notification_channel (account_id);

create table notification (
    channel_id uuid not null references notification_channel on delete cascade,
    account_id uuid not null references account,
    event_ref text not null check (length(event_ref) <= 200),
    title text not null,
    body text not null,
    state text not null default 'pending' check (state in ('pending', 'sending', 'sent', 'failed', 'skipped')),
    n_attempts smallint not null default 0,
    next_at timestamptz not null default now(),
    sent_at timestamptz,
    last_error text,
    primary key (channel_id, event_ref)            -- an event is told once
);
create index notification_pending on notification (next_at) where state = 'pending';
create index notification_sent on notification (channel_id, sent_at) where sent_at is not null;

-- How far the live feed has been handed on to webhooks and channels.
create table courier_cursor (
    only_one boolean primary key default true check (only_one),
    event_id bigint not null
);
insert into courier_cursor (event_id) select coalesce(max(event_id), 0) from live_event;

-- ---------------------------------------------------------------- audit, switches

-- Who did what, never with a secret or an address of e-mail. Rows of a deleted account stay, without its id.
create table audit_log (
    audit_id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    account_id uuid,
    actor text not null check (actor in ('account', 'operator', 'stripe', 'worker')),
    action text not null check (length(action) <= 60),
    detail jsonb not null default '{}'
);
create index audit_log_account on audit_log (account_id, audit_id desc);

-- A switch without a row is on.
create table feature_flag (
    name text primary key,
    is_on boolean not null,
    share smallint not null default 100 check (share between 0 and 100),   -- of accounts, when on
    note text not null default '',
    changed_at timestamptz not null default now()
);
