-- Credits and sessions: the few things that must be exact however many replicas and edges act at once.
-- Law: a session only moves forward and ends once; whatever ends a model without a forecast gives its credit back in
-- the same transaction; an amount is booked once under its name. Locks: request, session, account, in this order.

-- Books an amount. Returns the balance after it, that of the first booking where `p_what` is booked already, and null
-- where the account has not enough.
create or replace function credit_move(
    p_account uuid, p_amount integer, p_kind text, p_what text, p_session uuid
) returns integer
language plpgsql as $$
declare
    v_last credit_entry;
    v_balance integer;
begin
    perform from account where account_id = p_account for no key update; -- bookings of one account go one by one
    select balance into v_balance from credit_entry where account_id = p_account and what = p_what;
    if found then
        return v_balance;
    end if;
    select * into v_last from credit_entry where account_id = p_account order by entry_no desc limit 1;
    v_balance := coalesce(v_last.balance, 0) + p_amount;
    if v_balance < 0 then
        return null;
    end if;
    insert into credit_entry (account_id, entry_no, amount, balance, kind, what, session_id)
    values (p_account, coalesce(v_last.entry_no, 0) + 1, p_amount, v_balance, p_kind, p_what, p_session);
    return v_balance;
end;
$$;

create or replace function session_rank(p_state text) returns integer language sql immutable as $$
    select case p_state when 'QUEUED' then 0 when 'RESEARCHING' then 1 when 'GENERATING' then 2 else 3 end
$$;

-- Moves one model of a session forward. Returns whether it moved: what came late or twice changes nothing.
create or replace function session_advance(
    p_session uuid, p_model text, p_state text, p_reason text, p_predictions text[], p_by_edge boolean
) returns boolean
language plpgsql as $$
declare
    v_session prediction_session;
    v_model prediction_session_model;
begin
    select * into v_session from prediction_session where session_id = p_session for update;
    select * into v_model from prediction_session_model where session_id = p_session and model = p_model;
    if not found or session_rank(p_state) <= session_rank(v_model.state) then
        return false;
    end if;
    update prediction_session_model set
        state = p_state, moved_at = clock_timestamp(), reason = left(p_reason, 1000),
        prediction_ids = coalesce(p_predictions, '{}')
    where session_id = p_session and model = p_model;
    insert into prediction_session_event (session_id, event_no, model, state, reason)
    select p_session, coalesce(max(event_no), 0) + 1, p_model, p_state, left(p_reason, 1000)
    from prediction_session_event where session_id = p_session;
    update prediction_session set
        moved_at = clock_timestamp(),
        started_at = coalesce(started_at, case when p_by_edge then clock_timestamp() end),
        ended_at = case when not exists (
            select from prediction_session_model where session_id = p_session and session_rank(state) < 3
        ) then clock_timestamp() end
    where session_id = p_session;
    if p_state in ('FAILED', 'CANCELLED') and v_model.charged > 0 then
        perform credit_move(v_session.account_id, v_model.charged, 'refund',
                            format('refund:%s:%s', p_session, p_model), p_session);
    end if;
    perform pg_notify('session_moved', p_session::text);
    return true;
end;
$$;

-- Ends every model that is still open. Returns how many.
create or replace function session_end_open(p_session uuid, p_state text, p_reason text) returns integer
language sql as $$
    select count(*) filter (where session_advance(session_id, model, p_state, p_reason, '{}', false))::integer
    from (
        select session_id, model from prediction_session_model
        where session_id = p_session and session_rank(state) < 3 order by place
    ) as still_open
$$;

create or replace function session_step_landed() returns trigger
language plpgsql as $$
begin
    perform session_advance(new.session_id, new.model, new.state, new.reason, new.prediction_ids, true);
    return null;
end;
$$;

-- No edge took it in time, or the one that did said no. An older request than the newest decides nothing.
create or replace function session_request_ended() returns trigger
language plpgsql as $$
begin
    perform session_end_open(session_id, 'FAILED',
        case new.state when 'expired' then 'no edge was online in time' else coalesce(new.reason, 'the edge said no') end)
    from prediction_session where request_id = new.request_id;
    return null;
end;
$$;

-- Asks the edges for a session.
create or replace function session_ask(p_session uuid, p_within interval) returns void
language plpgsql as $$
declare
    v_request uuid;
    v_body jsonb;
    v_try integer;
begin
    select jsonb_build_object('session_id', s.session_id, 'market_key', s.market_key, 'models',
               (select jsonb_agg(m.model order by m.place) from prediction_session_model as m
                where m.session_id = s.session_id and session_rank(m.state) < 3)), s.n_asked
    into strict v_body, v_try from prediction_session as s where s.session_id = p_session;
    v_request := edge_ask('session', v_body, format('%s:%s', p_session, v_try), p_within);
    update prediction_session set request_id = v_request where session_id = p_session;
end;
$$;

-- Takes a session back that no edge has begun. Returns how many models were ended; 0: it is under way or over.
create or replace function session_cancel(p_account uuid, p_session uuid) returns integer
language plpgsql as $$
declare
    v_request uuid;
begin
    select request_id into v_request from prediction_session where session_id = p_session and account_id = p_account;
    -- The trigger would call it failed; the asker has called it off, and that ends it first.
    perform from edge_request where request_id = v_request and state = 'waiting' for update;
    if not found then
        return 0;
    end if;
    perform from prediction_session where session_id = p_session for update;
    declare
        v_ended integer := session_end_open(p_session, 'CANCELLED', 'called off before an edge took it');
    begin
        update edge_request set state = 'expired', finished_at = now(), reason = 'called off' where request_id = v_request;
        return v_ended;
    end;
end;
$$;

-- What stands still is asked for again, then given up. One at a time over all workers. Returns counts.
create or replace function session_recover(p_stuck interval, p_most_asks integer) returns jsonb
language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
declare
    v_session prediction_session;
    v_expired integer := 0;
    v_again integer := 0;
    v_given_up integer := 0;
begin
    if not pg_try_advisory_xact_lock(x'0DD5F'::integer) then
        return jsonb_build_object('expired', 0, 'again', 0, 'given_up', 0);
    end if;
    update edge_request set state = 'expired', finished_at = now(), reason = 'nobody took it in time'
    where kind = 'session' and state in ('waiting', 'leased') and expires_at <= now()
        and (leased_until is null or leased_until <= now());
    get diagnostics v_expired = row_count;
    for v_session in
        select s.* from prediction_session as s
        where s.ended_at is null and s.moved_at < now() - p_stuck and not exists (
            select from edge_request as r where r.request_id = s.request_id
            and (r.state in ('waiting', 'leased') or r.finished_at > now() - p_stuck)
        )
        order by s.session_id
    loop
        if v_session.n_asked < p_most_asks then
            update prediction_session set n_asked = n_asked + 1, moved_at = clock_timestamp()
            where session_id = v_session.session_id;
            perform session_ask(v_session.session_id, p_stuck);
            v_again := v_again + 1;
        else
            perform session_end_open(v_session.session_id, 'FAILED',
                format('nothing was heard of it, %s edges were asked', v_session.n_asked));
            v_given_up := v_given_up + 1;
        end if;
    end loop;
    return jsonb_build_object('expired', v_expired, 'again', v_again, 'given_up', v_given_up);
end;
$$;
