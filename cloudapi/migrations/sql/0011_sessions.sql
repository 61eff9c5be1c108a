-- Predictions on demand, and the credits they cost. The functions over these tables stand in sessions.sql.
set local lock_timeout = '2s';
set local statement_timeout = '60s';

-- ---------------------------------------------------------------- credits

-- The balance is what the newest entry says; there is no other place it could be changed in.
create table credit_entry (
    account_id uuid not null references account,
    entry_no integer not null check (entry_no > 0),    -- 1, 2, 3 … within an account
    amount integer not null check (amount <> 0),
    balance integer not null check (balance >= 0),     -- after this entry
    kind text not null check (kind in ('grant', 'purchase', 'charge', 'refund', 'correction')),
    what text not null check (length(what) between 1 and 200), -- what it is for: booked once, however often it is said
    session_id uuid,
    made_at timestamptz not null default now(),
    primary key (account_id, entry_no),
    unique (account_id, what)
);

create function credit_entry_follows() returns trigger
language plpgsql as $$
declare
    v_last credit_entry;
begin
    select * into v_last from credit_entry where account_id = new.account_id order by entry_no desc limit 1;
    if new.entry_no <> coalesce(v_last.entry_no, 0) + 1
        or new.balance <> coalesce(v_last.balance, 0) + new.amount then
        raise exception using errcode = 'check_violation', message = 'a credit entry must follow the one before it';
    end if;
    return new;
end;
$$;
create function credit_entry_stays() returns trigger
language plpgsql as $$
begin
    raise exception using errcode = 'check_violation', message = 'a credit entry is never changed; book another one';
end;
$$;
create trigger credit_entry_follows before insert on credit_entry
    for each row execute function credit_entry_follows();
create trigger credit_entry_stays before update or delete on credit_entry
    for each row execute function credit_entry_stays();

-- ---------------------------------------------------------------- sessions

create table prediction_session (
    session_id uuid primary key,
    account_id uuid not null references account,
    market_key text not null check (length(market_key) between 3 and 200),
    shadow boolean not null default false,             -- run and compared, neither charged nor promised
    asked_at timestamptz not null default now(),
    expires_at timestamptz not null,                   -- if no edge has begun by then, it is given up
    request_id uuid,                                   -- the newest request to the edges
    n_asked integer not null default 1,                -- how often the edges were asked
    started_at timestamptz,                            -- the first step of an edge landed
    moved_at timestamptz not null default now(),
    ended_at timestamptz,
    told_at timestamptz                                -- its end was handed to webhooks and channels
);
create index prediction_session_untold on prediction_session (ended_at)
    where ended_at is not null and told_at is null and not shadow;
create index prediction_session_own on prediction_session (account_id, session_id desc);
create index prediction_session_open on prediction_session (moved_at) where ended_at is null;
create index prediction_session_started on prediction_session (started_at) where started_at is not null;

create table prediction_session_model (
    session_id uuid not null references prediction_session on delete cascade,
    model text not null check (length(model) between 1 and 100),
    place smallint not null,                           -- as it was asked for
    state text not null default 'QUEUED' check (state in (
        'QUEUED', 'RESEARCHING', 'GENERATING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    charged integer not null check (charged >= 0),     -- credits taken at acceptance
    moved_at timestamptz not null default now(),
    reason text,
    prediction_ids text[] not null default '{}',
    primary key (session_id, model)
);

-- Every move a reader is told of, numbered within its session: what a stream replays.
create table prediction_session_event (
    session_id uuid not null references prediction_session on delete cascade,
    event_no integer not null,
    model text not null,
    state text not null,
    reason text,
    at timestamptz not null default now(),
    primary key (session_id, event_no)
);

-- As the edges sent them; a trigger moves the session. No reference: the cloud may have gone back in time.
create table session_step (
    step_id text primary key check (length(step_id) between 1 and 200),
    session_id uuid not null,
    model text not null check (length(model) between 1 and 100),
    state text not null check (state in ('QUEUED', 'RESEARCHING', 'GENERATING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    made_at timestamptz not null,
    reason text,
    prediction_ids text[] not null default '{}',
    extra jsonb,
    landed_at timestamptz not null default now()
);
create index session_step_session on session_step (session_id);

-- Bodies are made anew by sessions.sql, which is applied after this file.
create function session_step_landed() returns trigger language plpgsql as $$ begin return null; end; $$;
create function session_request_ended() returns trigger language plpgsql as $$ begin return null; end; $$;
create trigger session_step_landed after insert on session_step
    for each row execute function session_step_landed();
create trigger session_request_ended after update of state on edge_request
    for each row when (new.kind = 'session' and new.state in ('failed', 'expired') and old.state <> new.state)
    execute function session_request_ended();
