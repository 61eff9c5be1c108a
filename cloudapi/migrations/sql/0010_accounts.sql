-- People: accounts with a password, logins that can be ended, what they have used; and the live feed's ten minutes.
-- Nothing in these tables opens anything by itself: tokens, tickets and sessions are kept as SHA-256 only.
set local lock_timeout = '2s';
set local statement_timeout = '60s';

-- ---------------------------------------------------------------- accounts

alter table account
    add column email text check (email = lower(email) and length(email) between 3 and 254),
    add column password_hash text,                 -- argon2id; null: no password, keys only
    add column closed_at timestamptz;
create unique index account_email on account (email) where email is not null;

alter table api_key
    add column label text not null default '' check (length(label) <= 100),
    add column scopes text[] not null default '{read}',
    add column requests_per_minute integer check (requests_per_minute > 0); -- null: the tier's limit alone

-- A login on one device: its refresh tokens are one family, its browser session one cookie.
create table account_login (
    login_id uuid primary key,
    account_id uuid not null references account,
    session_hash bytea unique check (octet_length(session_hash) = 32), -- null: a login by tokens
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    ended_at timestamptz,
    ended_why text check (ended_why in ('logout', 'reused', 'password'))
);
create index account_login_account on account_login (account_id);

create table refresh_token (
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    login_id uuid not null references account_login on delete cascade,
    created_at timestamptz not null default now(),
    used_at timestamptz                            -- a second use is theft: the login ends
);
create index refresh_token_login on refresh_token (login_id);

-- Failed logins by subject, `account:<e-mail>` or `address:<network>`; one row each, forgotten after a quiet hour.
create table login_failure (
    subject text primary key check (length(subject) <= 300),
    n_failures integer not null,
    last_at timestamptz not null default now(),
    locked_until timestamptz
);

-- ---------------------------------------------------------------- requests

-- The answer to a POST that creates, for a day; never the secret it showed.
create table idempotency_key (
    account_id uuid not null references account,
    key text not null check (length(key) between 1 and 200),
    request_digest bytea not null check (octet_length(request_digest) = 32),
    status smallint not null,
    body text not null,
    created_at timestamptz not null default now(),
    primary key (account_id, key)
);
create index idempotency_key_age on idempotency_key (created_at);

-- Requests of a calendar month (UTC). Replicas take them in blocks, so the quota is never exceeded by any number of them.
create table account_usage (
    account_id uuid not null references account,
    month date not null check (extract(day from month) = 1),
    n_requests bigint not null default 0 check (n_requests >= 0),
    primary key (account_id, month)
) with (fillfactor = 70);

-- ---------------------------------------------------------------- live

create table live_ticket (
    ticket_hash bytea primary key check (octet_length(ticket_hash) = 32),
    account_id uuid not null references account,
    expires_at timestamptz not null
);

-- What the live feed tells, in the order of commit, kept for ten minutes so that any replica can replay it.
create table live_event (
    event_id bigint generated always as identity primary key,
    topic text not null,
    body text not null,
    at timestamptz not null default now()
);

-- The lock makes numbers appear in their order: without it a reader could pass a number that commits later.
create function live_tell(p_topic text, p_body text) returns void
language plpgsql as $$
begin
    perform pg_advisory_xact_lock(x'0DD5E'::integer);
    insert into live_event (topic, body) values (p_topic, p_body);
end;
$$;

create function live_market_rows() returns trigger
language plpgsql as $$
declare
    v_body text;
begin
    for v_body in
        select jsonb_build_object('data', jsonb_agg(jsonb_strip_nulls(to_jsonb(q)) order by q.market_key))::text
        from (
            select m.market_key, r.fetched_at, r.bid, r.ask, r.last_price, r.mid, r.volume_24h, r.open_interest,
                   r.liquidity_usd, (row_number() over (order by m.market_key) - 1) / 100 as part
            from landed as r join market as m using (market_id)
        ) as q
        group by q.part order by q.part
    loop
        perform live_tell('prices', v_body);
    end loop;
    return null;
end;
$$;

-- Rows that speak of a market by number, told by its key; internal columns stay inside.
create function live_rows() returns trigger
language plpgsql as $$
declare
    v_body text;
begin
    for v_body in
        select (jsonb_strip_nulls(to_jsonb(r) - '{market_id,extra,landed_at}'::text[])
                || case when to_jsonb(r) ? 'market_id'
                        then (select jsonb_build_object('market_key', m.market_key) from market as m
                              where m.market_id = (to_jsonb(r) ->> 'market_id')::integer)
                        else '{}' end)::text
        from landed as r
    loop
        perform live_tell(tg_argv[0], v_body);
    end loop;
    return null;
end;
$$;

-- A statement-level trigger with its rows takes one event each.
create trigger live_insert after insert on price_latest referencing new table as landed
    for each statement execute function live_market_rows();
create trigger live_update after update on price_latest referencing new table as landed
    for each statement execute function live_market_rows();
create trigger live_insert after insert on insight referencing new table as landed
    for each statement execute function live_rows('insight');
create trigger live_insert after insert on arbitrage referencing new table as landed
    for each statement execute function live_rows('arbitrage');
create trigger live_update after update on arbitrage referencing new table as landed
    for each statement execute function live_rows('arbitrage');
create trigger live_insert after insert on signal referencing new table as landed
    for each statement execute function live_rows('signal');
create trigger live_insert after insert on prediction referencing new table as landed
    for each statement execute function live_rows('prediction');
create trigger live_insert after insert on digest referencing new table as landed
    for each statement execute function live_rows('digest');

-- ---------------------------------------------------------------- counting that must be exact

-- Counts an attempt before the password is looked at, so that no number of parallel guesses gets past the limit.
-- Returns the seconds to wait, or 0 if this attempt may go on. From `p_free` failures on each one doubles the wait.
create function login_attempt(p_subject text, p_free integer) returns integer
language plpgsql as $$
declare
    v_now timestamptz;
    v_row login_failure;
begin
    insert into login_failure (subject, n_failures) values (p_subject, 0) on conflict do nothing;
    select * into v_row from login_failure where subject = p_subject for update;
    v_now := clock_timestamp(); -- not now(): this may have waited for the row
    if v_row.locked_until > v_now then
        return ceil(extract(epoch from v_row.locked_until - v_now));
    end if;
    v_row.n_failures := case when v_row.last_at < v_now - interval '1 hour' then 1 else v_row.n_failures + 1 end;
    update login_failure set
        n_failures = v_row.n_failures,
        last_at = v_now,
        locked_until = case when v_row.n_failures >= p_free
            then v_now + least(interval '1 hour', interval '30 seconds' * 2 ^ least(v_row.n_failures - p_free, 10)) end
    where subject = p_subject;
    return 0;
end;
$$;

-- Takes a block of this month's requests: a sixteenth of what is left, one by one at the end, nothing beyond the quota.
create function account_take(p_account uuid, p_month date, p_quota bigint, p_most bigint) returns bigint
language plpgsql as $$
declare
    v_used bigint;
    v_block bigint;
begin
    insert into account_usage (account_id, month) values (p_account, p_month) on conflict do nothing;
    select n_requests into v_used from account_usage where account_id = p_account and month = p_month for update;
    v_block := least(p_most, greatest(1, (p_quota - v_used) / 16), p_quota - v_used);
    if v_block <= 0 then
        return 0;
    end if;
    update account_usage set n_requests = v_used + v_block where account_id = p_account and month = p_month;
    return v_block;
end;
$$;
