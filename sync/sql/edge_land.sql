-- Landing one kind of record, set by set: edge_land(kind, rows) -> how many were new.
-- Law: the natural key decides (first kept); a bad value raises and edge_apply finds the row; order is irrelevant,
-- so a market known only by its key gets a stub. Left joins on purpose: a missing key must raise, not vanish.

create or replace function edge_stub_markets(p_rows jsonb) returns void
language sql as $$
    insert into market (market_key, venue)
    select key, split_part(key, ':', 1)
    from (select distinct value ->> 'market_key' as key from jsonb_array_elements(p_rows)) as named
    where key is not null and not exists (select from market where market_key = key)
    order by key -- the same order everywhere: two streams wait for each other instead of deadlocking
    on conflict do nothing
$$;

create or replace function edge_land_markets(p_rows jsonb) returns integer
language plpgsql as $$
declare
    v_inserted integer;
begin
    perform edge_stub_markets(p_rows);

    insert into market_revision (market_id, fetched_at, title, status, close_time, resolution, rules_hash)
    select m.market_id, edge_stamp(x.fetched_at), x.title, x.status, edge_time(x.close_time), x.resolution,
           sha256(convert_to(x.rules_text, 'UTF8'))
    from jsonb_to_recordset(p_rows) as x (
        market_key text, fetched_at text, title text, status text, close_time text, resolution text, rules_text text
    )
    left join market as m using (market_key)
    order by m.market_id
    on conflict do nothing;
    get diagnostics v_inserted = row_count;

    update market as m set
        venue = n.venue, venue_market_id = n.venue_market_id, title = n.title, status = n.status,
        fetched_at = n.at, event_id = n.event_id, event_title = n.event_title, series_id = n.series_id,
        proposition = n.proposition, outcome_labels = coalesce(n.outcome_labels, '{}'),
        token_ids = coalesce(n.token_ids, '{}'), category = n.category, rules_text = n.rules_text, url = n.url,
        tick_size = n.tick_size, mutually_exclusive = n.mutually_exclusive, open_set = n.open_set,
        open_time = edge_time(n.open_time), close_time = edge_time(n.close_time),
        expected_time = edge_time(n.expected_time), closed_time = edge_time(n.closed_time),
        resolution = n.resolution, resolution_value = n.resolution_value, extra = n.extra
    from (
        select distinct on (x.market_key) x.*, edge_stamp(x.fetched_at) as at,
               edge_extra(e.value, 'venue', 'venue_market_id', 'title', 'status', 'fetched_at', 'event_id',
                          'event_title', 'series_id', 'proposition', 'outcome_labels', 'token_ids', 'category',
                          'rules_text', 'url', 'tick_size', 'mutually_exclusive', 'open_set', 'open_time',
                          'close_time', 'expected_time', 'closed_time', 'resolution', 'resolution_value') as extra
        from jsonb_array_elements(p_rows) as e (value),
             jsonb_to_record(e.value) as x (
                 market_key text, venue text, venue_market_id text, title text, status text, fetched_at text,
                 event_id text, event_title text, series_id text, proposition text, outcome_labels text[],
                 token_ids text[], category text, rules_text text, url text, tick_size float8,
                 mutually_exclusive boolean, open_set boolean, open_time text, close_time text, expected_time text,
                 closed_time text, resolution text, resolution_value float8
             )
        order by x.market_key, edge_stamp(x.fetched_at) desc
    ) as n
    where m.market_key = n.market_key and (m.fetched_at is null or n.at > m.fetched_at);

    return v_inserted;
end;
$$;

-- Unknown fields of a quote are dropped: this is the one table with millions of rows, and the edge keeps the raw reply.
create or replace function edge_land_quotes(p_rows jsonb) returns integer
language plpgsql as $$
declare
    v_inserted integer;
begin
    perform edge_stub_markets(p_rows);
    perform price_partition(day)
    from (
        select distinct (edge_stamp(fetched_at) at time zone 'UTC')::date as day
        from (select distinct value ->> 'fetched_at' as fetched_at from jsonb_array_elements(p_rows)) as instants
    ) as days
    where day is not null;

    with wire as materialized (
        select * from jsonb_to_recordset(p_rows) as x (
            market_key text, fetched_at text, bid float8, ask float8, last_price float8, mid float8,
            volume_24h float8, open_interest float8, liquidity_usd float8
        )
    ), instants as materialized ( -- a page of quotes shares one stamp: read each once, not 5,000 times
        select fetched_at, edge_stamp(fetched_at) as at from (select distinct fetched_at from wire) as texts
    ), incoming as materialized (
        select m.market_id, i.at as fetched_at,
               w.bid, w.ask, w.last_price, w.mid, w.volume_24h, w.open_interest, w.liquidity_usd
        from wire as w
        left join instants as i using (fetched_at)
        left join market as m using (market_key)
    ), landed as (
        insert into price_snapshot
            (market_id, fetched_at, bid, ask, last_price, mid, volume_24h, open_interest, liquidity_usd)
        select * from incoming
        on conflict do nothing
        returning 1
    ), newest as (
        insert into price_latest as l
            (market_id, fetched_at, bid, ask, last_price, mid, volume_24h, open_interest, liquidity_usd)
        select distinct on (market_id) * from incoming
        order by market_id, fetched_at desc
        on conflict (market_id) do update set
            fetched_at = excluded.fetched_at, bid = excluded.bid, ask = excluded.ask,
            last_price = excluded.last_price, mid = excluded.mid, volume_24h = excluded.volume_24h,
            open_interest = excluded.open_interest, liquidity_usd = excluded.liquidity_usd
        where excluded.fetched_at > l.fetched_at -- a backlog drains late: newer wins
    )
    select count(*) into v_inserted from landed;
    return v_inserted;
end;
$$;

create or replace function edge_land_patterns(p_rows jsonb) returns integer
language plpgsql as $$
declare
    v_inserted integer;
begin
    perform edge_stub_markets(p_rows);
    insert into pattern (pattern_id, market_id, detector, score, evidence, detected_at, extra)
    select x.pattern_id, m.market_id, x.detector, x.score, x.evidence, edge_stamp(x.detected_at),
           edge_extra(e.value, 'pattern_id', 'detector', 'score', 'evidence', 'detected_at')
    from jsonb_array_elements(p_rows) as e (value),
         jsonb_to_record(e.value) as x (
             pattern_id text, market_key text, detector text, score smallint, evidence jsonb, detected_at text
         )
         left join market as m using (market_key)
    on conflict do nothing;
    get diagnostics v_inserted = row_count;
    return v_inserted;
end;
$$;

create or replace function edge_land_insights(p_rows jsonb) returns integer
language plpgsql as $$
declare
    v_inserted integer;
begin
    perform edge_stub_markets(p_rows);
    insert into insight (
        insight_id, market_id, pattern_id, detector, recommendation, confidence, one_liner, reasoning,
        edge_explanation, risk_factors, suggested_position, time_sensitivity, actionable, model, prompt_version,
        cost_usd, created_at, expires_at, clamps, bid, ask, extra
    )
    select x.insight_id, m.market_id, x.pattern_id, x.detector, x.recommendation, x.confidence, x.one_liner,
           x.reasoning, x.edge_explanation, x.risk_factors, x.suggested_position, x.time_sensitivity, x.actionable,
           x.model, x.prompt_version, x.cost_usd, edge_stamp(x.created_at), edge_time(x.expires_at),
           coalesce(x.clamps, '{}'), x.bid, x.ask,
           edge_extra(e.value, 'insight_id', 'pattern_id', 'detector', 'recommendation', 'confidence', 'one_liner',
                      'reasoning', 'edge_explanation', 'risk_factors', 'suggested_position', 'time_sensitivity',
                      'actionable', 'model', 'prompt_version', 'cost_usd', 'created_at', 'expires_at', 'clamps',
                      'bid', 'ask')
    from jsonb_array_elements(p_rows) as e (value),
         jsonb_to_record(e.value) as x (
             insight_id text, market_key text, pattern_id text, detector text, recommendation text,
             confidence smallint, one_liner text, reasoning text, edge_explanation text, risk_factors text[],
             suggested_position text, time_sensitivity text, actionable boolean, model text, prompt_version text,
             cost_usd numeric, created_at text, expires_at text, clamps text[], bid float8, ask float8
         )
         left join market as m using (market_key)
    on conflict do nothing;
    get diagnostics v_inserted = row_count;
    return v_inserted;
end;
$$;

create or replace function edge_land_predictions(p_rows jsonb) returns integer
language plpgsql as $$
declare
    v_inserted integer;
begin
    perform edge_stub_markets(p_rows);
    insert into prediction (
        prediction_id, market_id, experiment, experiment_version, run_day, probability_yes, saw_price, predicted_at,
        model, prompt_version, confidence, rationale, initial_price, initial_bid, initial_ask, chain_seq,
        previous_hash, record_hash, extra
    )
    select x.prediction_id, m.market_id, x.experiment, x.experiment_version, x.run_day, x.probability_yes,
           x.saw_price, edge_stamp(x.predicted_at), x.model, x.prompt_version, x.confidence, x.rationale,
           x.initial_price, x.initial_bid, x.initial_ask, x.chain_seq, x.previous_hash, x.record_hash,
           edge_extra(e.value, 'prediction_id', 'experiment', 'experiment_version', 'run_day', 'probability_yes',
                      'saw_price', 'predicted_at', 'model', 'prompt_version', 'confidence', 'rationale',
                      'initial_price', 'initial_bid', 'initial_ask', 'chain_seq', 'previous_hash', 'record_hash')
    from jsonb_array_elements(p_rows) as e (value),
         jsonb_to_record(e.value) as x (
             prediction_id text, market_key text, experiment text, experiment_version text, run_day date,
             probability_yes float8, saw_price boolean, predicted_at text, model text, prompt_version text,
             confidence smallint, rationale text, initial_price float8, initial_bid float8, initial_ask float8,
             chain_seq bigint, previous_hash text, record_hash text
         )
         left join market as m using (market_key)
    on conflict do nothing;
    get diagnostics v_inserted = row_count;
    return v_inserted;
end;
$$;

create or replace function edge_land_checks(p_rows jsonb) returns integer
language plpgsql as $$
declare
    v_inserted integer;
begin
    perform edge_stub_markets(p_rows);
    insert into prediction_check (
        prediction_id, checked_at, market_id, movement_direction, predicted_probability, hours_since_prediction,
        closed, resolved, predicted_confidence, yes_price, no_price, abs_delta, convergence_rate,
        cumulative_convergence, signed_move, extra
    )
    select x.prediction_id, edge_stamp(x.checked_at), m.market_id, x.movement_direction, x.predicted_probability,
           x.hours_since_prediction, x.closed, x.resolved, x.predicted_confidence, x.yes_price, x.no_price,
           x.abs_delta, x.convergence_rate, x.cumulative_convergence, x.signed_move,
           edge_extra(e.value, 'prediction_id', 'checked_at', 'movement_direction', 'predicted_probability',
                      'hours_since_prediction', 'closed', 'resolved', 'predicted_confidence', 'yes_price',
                      'no_price', 'abs_delta', 'convergence_rate', 'cumulative_convergence', 'signed_move')
    from jsonb_array_elements(p_rows) as e (value),
         jsonb_to_record(e.value) as x (
             prediction_id text, market_key text, checked_at text, movement_direction text,
             predicted_probability float8, hours_since_prediction float8, closed boolean, resolved boolean,
             predicted_confidence smallint, yes_price float8, no_price float8, abs_delta float8,
             convergence_rate float8, cumulative_convergence float8, signed_move float8
         )
         left join market as m using (market_key)
    on conflict do nothing;
    get diagnostics v_inserted = row_count;
    return v_inserted;
end;
$$;

-- A digest speaks of many markets by key and stands for itself: it needs none of them to be here.
create or replace function edge_land_digests(p_rows jsonb) returns integer
language plpgsql as $$
declare
    v_inserted integer;
begin
    insert into digest (
        digest_id, day, created_at, sentiment, summary, top_picks, avoid, watch, arbitrage, markdown, n_considered,
        n_dropped, model, prompt_version, cost_usd, extra
    )
    select x.digest_id, x.day, edge_stamp(x.created_at), x.sentiment, x.summary, x.top_picks, x.avoid, x.watch,
           x.arbitrage, x.markdown, x.n_considered, x.n_dropped, x.model, x.prompt_version, x.cost_usd,
           edge_extra(e.value, 'digest_id', 'day', 'created_at', 'sentiment', 'summary', 'top_picks', 'avoid', 'watch',
                      'arbitrage', 'markdown', 'n_considered', 'n_dropped', 'model', 'prompt_version', 'cost_usd')
    from jsonb_array_elements(p_rows) as e (value),
         jsonb_to_record(e.value) as x (
             digest_id text, day date, created_at text, sentiment text, summary text, top_picks jsonb, avoid jsonb,
             watch jsonb, arbitrage jsonb, markdown text, n_considered integer, n_dropped integer, model text,
             prompt_version text, cost_usd numeric
         )
    on conflict do nothing;
    get diagnostics v_inserted = row_count;
    return v_inserted;
end;
$$;

create or replace function edge_refuse_kind(p_kind text) returns integer
language plpgsql as $$
begin
    raise exception using errcode = 'invalid_parameter_value', message = format('unknown kind: %s', left(p_kind, 60));
end;
$$;

create or replace function edge_land(p_kind text, p_rows jsonb) returns integer
language plpgsql as $$
begin
    return case p_kind
        when 'market' then edge_land_markets(p_rows)
        when 'quote' then edge_land_quotes(p_rows)
        when 'pattern' then edge_land_patterns(p_rows)
        when 'insight' then edge_land_insights(p_rows)
        when 'prediction' then edge_land_predictions(p_rows)
        when 'check' then edge_land_checks(p_rows)
        when 'digest' then edge_land_digests(p_rows)
        else edge_refuse_kind(p_kind)
    end;
end;
$$;
