-- Landing one kind of record, set by set: edge_land(kind, rows) -> how many were new.
-- Law: the natural key decides (first kept); a bad value raises and edge_apply finds the row; order is irrelevant,
-- so a market known only by its key gets a stub. Left joins on purpose: a missing key must raise, not vanish.

create or replace function edge_stub_keys(p_keys text[]) returns void
language sql as $$
    insert into market (market_key, venue)
    select key, split_part(key, ':', 1)
    from (select distinct key from unnest(p_keys) as given (key)) as named
    where key is not null and not exists (select from market where market_key = key)
    order by key -- the same order everywhere: two streams wait for each other instead of deadlocking
    on conflict do nothing
$$;

create or replace function edge_stub_markets(p_rows jsonb) returns void
language sql as $$
    select edge_stub_keys(array(select value ->> 'market_key' from jsonb_array_elements(p_rows)))
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

-- The numbers of these markets, in this order; null where a key is missing, which no table takes. Planned for the keys
-- given: a plan for any list would look up 5,000 one by one where a hash of the markets takes a third of the time. And for
-- an index in memory: at the price of a disk's random pages 1,000 of 100,000 markets would be hashed for (32 ms, not 5).
create or replace function edge_market_ids(p_keys text[]) returns integer[]
language plpgsql set plan_cache_mode = force_custom_plan set random_page_cost = 1.1 as $$
declare
    v_ids integer[];
begin
    for v_attempt in 1..2 loop
        select array_agg(m.market_id order by k.n) into v_ids
        from unnest(p_keys) with ordinality as k (market_key, n) left join market as m using (market_key);
        exit when array_position(v_ids, null) is null;
        perform edge_stub_keys(p_keys);
    end loop;
    return v_ids;
end;
$$;

-- Whether any of these is newer than the newest known. A backlog drains late, and most of its batches stop here.
create or replace function edge_is_news(p_ids integer[], p_at timestamptz[]) returns boolean
language plpgsql stable set plan_cache_mode = force_custom_plan as $$
begin
    return exists (
        select from unnest(p_ids, p_at) as q (market_id, fetched_at)
        where not exists (
            select from price_latest as known where known.market_id = q.market_id and known.fetched_at >= q.fetched_at
        )
    );
end;
$$;

-- The quotes among the rows of a batch, read straight from its text and once: a tree would be built for every row only
-- to be taken apart again, and this is the one kind that comes by the million. Others are counted and left alone.
-- Unknown fields of a quote are dropped: the edge keeps the raw reply.
create or replace function edge_land_quotes(
    p_rows json, out n_rows integer, out n_quotes integer, out inserted integer
)
language plpgsql as $$
declare
    v_keys text[];
    v_ids integer[];
    v_at timestamptz[];
    v_bid float8[];
    v_ask float8[];
    v_last_price float8[];
    v_mid float8[];
    v_volume_24h float8[];
    v_open_interest float8[];
    v_liquidity_usd float8[];
begin
    with wire as materialized (
        select * from json_to_recordset(p_rows) as x (
            kind text, market_key text, fetched_at text, bid float8, ask float8, last_price float8, mid float8,
            volume_24h float8, open_interest float8, liquidity_usd float8
        )
    ), instants as materialized ( -- a page of quotes shares one stamp: read each once, not 5,000 times
        select fetched_at, edge_stamp(fetched_at) as at
        from (select distinct fetched_at from wire where kind = 'quote') as texts
    )
    select (select count(*) from wire), count(*), array_agg(w.market_key), array_agg(i.at), array_agg(w.bid),
           array_agg(w.ask), array_agg(w.last_price), array_agg(w.mid), array_agg(w.volume_24h),
           array_agg(w.open_interest), array_agg(w.liquidity_usd)
    into n_rows, n_quotes, v_keys, v_at, v_bid, v_ask, v_last_price, v_mid, v_volume_24h, v_open_interest,
         v_liquidity_usd
    from wire as w left join instants as i using (fetched_at)
    where w.kind = 'quote';

    v_ids := edge_market_ids(v_keys);
    perform price_receive(array(select distinct at from unnest(v_at) as instants (at)), v_ids);
    begin
        -- Without `on conflict` a third cheaper: nearly always every row is new.
        insert into price_snapshot
            (market_id, fetched_at, bid, ask, last_price, mid, volume_24h, open_interest, liquidity_usd)
        select * from unnest(
            v_ids, v_at, v_bid, v_ask, v_last_price, v_mid, v_volume_24h, v_open_interest, v_liquidity_usd
        );
        get diagnostics inserted = row_count;
    exception when unique_violation then
        insert into price_snapshot
            (market_id, fetched_at, bid, ask, last_price, mid, volume_24h, open_interest, liquidity_usd)
        select * from unnest(
            v_ids, v_at, v_bid, v_ask, v_last_price, v_mid, v_volume_24h, v_open_interest, v_liquidity_usd
        )
        on conflict do nothing;
        get diagnostics inserted = row_count;
    end;

    if not edge_is_news(v_ids, v_at) then
        return;
    end if;
    insert into price_latest as l
        (market_id, fetched_at, bid, ask, last_price, mid, volume_24h, open_interest, liquidity_usd)
    select distinct on (q.market_id) q.*
    from unnest(
        v_ids, v_at, v_bid, v_ask, v_last_price, v_mid, v_volume_24h, v_open_interest, v_liquidity_usd
    ) as q (market_id, fetched_at, bid, ask, last_price, mid, volume_24h, open_interest, liquidity_usd)
    -- Newer wins. Asked before the upsert too: one that changes nothing still writes a lock per row.
    where not exists (
        select from price_latest as known where known.market_id = q.market_id and known.fetched_at >= q.fetched_at
    )
    order by q.market_id, q.fetched_at desc
    on conflict (market_id) do update set
        fetched_at = excluded.fetched_at, bid = excluded.bid, ask = excluded.ask,
        last_price = excluded.last_price, mid = excluded.mid, volume_24h = excluded.volume_24h,
        open_interest = excluded.open_interest, liquidity_usd = excluded.liquidity_usd
    where excluded.fetched_at > l.fetched_at;
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
        cost_usd, created_at, expires_at, clamps, bid, ask, what_happened, why_it_matters, leave_it_if,
        probability_yes, edge, extra
    )
    select x.insight_id, m.market_id, x.pattern_id, x.detector, x.recommendation, x.confidence, x.one_liner,
           x.reasoning, x.edge_explanation, x.risk_factors, x.suggested_position, x.time_sensitivity, x.actionable,
           x.model, x.prompt_version, x.cost_usd, edge_stamp(x.created_at), edge_time(x.expires_at),
           coalesce(x.clamps, '{}'), x.bid, x.ask, x.what_happened, x.why_it_matters, x.leave_it_if,
           x.probability_yes, x.edge,
           edge_extra(e.value, 'insight_id', 'pattern_id', 'detector', 'recommendation', 'confidence', 'one_liner',
                      'reasoning', 'edge_explanation', 'risk_factors', 'suggested_position', 'time_sensitivity',
                      'actionable', 'model', 'prompt_version', 'cost_usd', 'created_at', 'expires_at', 'clamps',
                      'bid', 'ask', 'what_happened', 'why_it_matters', 'leave_it_if', 'probability_yes', 'edge')
    from jsonb_array_elements(p_rows) as e (value),
         jsonb_to_record(e.value) as x (
             insight_id text, market_key text, pattern_id text, detector text, recommendation text,
             confidence smallint, one_liner text, reasoning text, edge_explanation text, risk_factors text[],
             suggested_position text, time_sensitivity text, actionable boolean, model text, prompt_version text,
             cost_usd numeric, created_at text, expires_at text, clamps text[], bid float8, ask float8,
             what_happened text, why_it_matters text, leave_it_if text, probability_yes float8, edge float8
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
        model, prompt_version, confidence, rationale, initial_price, initial_bid, initial_ask, initial_seen_at,
        chain, chain_seq, previous_hash, record_hash, extra
    )
    select x.prediction_id, m.market_id, x.experiment, x.experiment_version, x.run_day, x.probability_yes,
           x.saw_price, edge_stamp(x.predicted_at), x.model, x.prompt_version, x.confidence, x.rationale,
           x.initial_price, x.initial_bid, x.initial_ask, edge_time(x.initial_seen_at), x.chain, x.chain_seq,
           x.previous_hash, x.record_hash,
           edge_extra(e.value, 'prediction_id', 'experiment', 'experiment_version', 'run_day', 'probability_yes',
                      'saw_price', 'predicted_at', 'model', 'prompt_version', 'confidence', 'rationale',
                      'initial_price', 'initial_bid', 'initial_ask', 'initial_seen_at', 'chain', 'chain_seq',
                      'previous_hash', 'record_hash')
    from jsonb_array_elements(p_rows) as e (value),
         jsonb_to_record(e.value) as x (
             prediction_id text, market_key text, experiment text, experiment_version text, run_day date,
             probability_yes float8, saw_price boolean, predicted_at text, model text, prompt_version text,
             confidence smallint, rationale text, initial_price float8, initial_bid float8, initial_ask float8,
             initial_seen_at text, chain text, chain_seq bigint, previous_hash text, record_hash text
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

create or replace function edge_land_matches(p_rows jsonb) returns integer
language plpgsql as $$
declare
    v_inserted integer;
begin
    insert into market_match (
        match_id, kalshi_key, polymarket_key, relation, yes_maps_to, judged_by, judged_at, score, by_time, reasons,
        differences, rules_hash, model, prompt_version, extra
    )
    select x.match_id, x.kalshi_key, x.polymarket_key, x.relation, x.yes_maps_to, x.judged_by,
           edge_stamp(x.judged_at), x.score, coalesce(x.by_time, false), coalesce(x.reasons, '{}'),
           coalesce(x.differences, '[]'), x.rules_hash, x.model, x.prompt_version,
           edge_extra(e.value, 'match_id', 'kalshi_key', 'polymarket_key', 'relation', 'yes_maps_to', 'judged_by',
                      'judged_at', 'score', 'by_time', 'reasons', 'differences', 'rules_hash', 'model',
                      'prompt_version')
    from jsonb_array_elements(p_rows) as e (value),
         jsonb_to_record(e.value) as x (
             match_id text, kalshi_key text, polymarket_key text, relation text, yes_maps_to text, judged_by text,
             judged_at text, score float8, by_time boolean, reasons text[], differences jsonb, rules_hash text,
             model text, prompt_version text
         )
    on conflict do nothing;
    get diagnostics v_inserted = row_count;
    return v_inserted;
end;
$$;

-- How a package stands is what the newest look says; each look counts once.
create or replace function edge_land_arbitrages(p_rows jsonb) returns integer
language plpgsql as $$
declare
    v_inserted integer;
begin
    insert into arbitrage as a (
        arbitrage_id, arbitrage_kind, status, detected_at, computed_at, legs, size, payout_usd, cost_usd, gross_usd,
        fees_usd, net_usd, net_edge, confidence, steps, risks, reasons, assumptions, annualised, pays_at, match_id,
        ended_reason, extra
    )
    select distinct on (x.arbitrage_id)
           x.arbitrage_id, x.arbitrage_kind, x.status, edge_stamp(x.detected_at), edge_stamp(x.computed_at), x.legs,
           x.size, x.payout_usd, x.cost_usd, x.gross_usd, x.fees_usd, x.net_usd, x.net_edge, x.confidence, x.steps,
           x.risks, coalesce(x.reasons, '{}'), coalesce(x.assumptions, '{}'), x.annualised, edge_time(x.pays_at),
           x.match_id, x.ended_reason,
           edge_extra(e.value, 'arbitrage_id', 'arbitrage_kind', 'status', 'detected_at', 'computed_at', 'legs',
                      'size', 'payout_usd', 'cost_usd', 'gross_usd', 'fees_usd', 'net_usd', 'net_edge', 'confidence',
                      'steps', 'risks', 'reasons', 'assumptions', 'annualised', 'pays_at', 'match_id', 'ended_reason')
    from jsonb_array_elements(p_rows) as e (value),
         jsonb_to_record(e.value) as x (
             arbitrage_id text, arbitrage_kind text, status text, detected_at text, computed_at text, legs jsonb,
             size numeric, payout_usd numeric, cost_usd numeric, gross_usd numeric, fees_usd numeric,
             net_usd numeric, net_edge float8, confidence smallint, steps text[], risks text[], reasons text[],
             assumptions text[], annualised float8, pays_at text, match_id text, ended_reason text
         )
    order by x.arbitrage_id, edge_stamp(x.computed_at) desc
    on conflict (arbitrage_id) do update set
        status = excluded.status, computed_at = excluded.computed_at, legs = excluded.legs, size = excluded.size,
        payout_usd = excluded.payout_usd, cost_usd = excluded.cost_usd, gross_usd = excluded.gross_usd,
        fees_usd = excluded.fees_usd, net_usd = excluded.net_usd, net_edge = excluded.net_edge,
        confidence = excluded.confidence, steps = excluded.steps, risks = excluded.risks, reasons = excluded.reasons,
        assumptions = excluded.assumptions, annualised = excluded.annualised, pays_at = excluded.pays_at,
        match_id = excluded.match_id, ended_reason = excluded.ended_reason, extra = excluded.extra
    where excluded.computed_at > a.computed_at; -- a backlog drains late: newer wins

    insert into arbitrage_look (arbitrage_id, computed_at, status, net_usd, net_edge)
    select x.arbitrage_id, edge_stamp(x.computed_at), x.status, x.net_usd, x.net_edge
    from jsonb_to_recordset(p_rows) as x (
        arbitrage_id text, computed_at text, status text, net_usd numeric, net_edge float8
    )
    on conflict do nothing;
    get diagnostics v_inserted = row_count;
    return v_inserted;
end;
$$;

-- A horizon a market did not live to see is due in the future: due_at is a time, not a stamp.
create or replace function edge_land_marks(p_rows jsonb) returns integer
language plpgsql as $$
declare
    v_inserted integer;
begin
    perform edge_stub_markets(p_rows);
    insert into prediction_mark (
        prediction_id, horizon, market_id, due_at, marked_at, missing, seen_at, bid, ask, mid, signal, signed_move,
        signed_move_exec, extra
    )
    select x.prediction_id, x.horizon, m.market_id, edge_time(x.due_at), edge_stamp(x.marked_at), x.missing,
           edge_time(x.seen_at), x.bid, x.ask, x.mid, x.signal, x.signed_move, x.signed_move_exec,
           edge_extra(e.value, 'prediction_id', 'horizon', 'due_at', 'marked_at', 'missing', 'seen_at', 'bid', 'ask',
                      'mid', 'signal', 'signed_move', 'signed_move_exec')
    from jsonb_array_elements(p_rows) as e (value),
         jsonb_to_record(e.value) as x (
             prediction_id text, market_key text, horizon text, due_at text, marked_at text, missing text,
             seen_at text, bid float8, ask float8, mid float8, signal boolean, signed_move float8,
             signed_move_exec float8
         )
         left join market as m using (market_key)
    on conflict do nothing;
    get diagnostics v_inserted = row_count;
    return v_inserted;
end;
$$;

create or replace function edge_land_scores(p_rows jsonb) returns integer
language plpgsql as $$
declare
    v_inserted integer;
begin
    perform edge_stub_markets(p_rows);
    insert into prediction_score (
        prediction_id, market_id, scored_at, resolution, resolution_value, excluded, brier_score, log_score,
        market_brier_score, day_before_brier_score, extra
    )
    select x.prediction_id, m.market_id, edge_stamp(x.scored_at), x.resolution, x.resolution_value, x.excluded,
           x.brier_score, x.log_score, x.market_brier_score, x.day_before_brier_score,
           edge_extra(e.value, 'prediction_id', 'scored_at', 'resolution', 'resolution_value', 'excluded',
                      'brier_score', 'log_score', 'market_brier_score', 'day_before_brier_score')
    from jsonb_array_elements(p_rows) as e (value),
         jsonb_to_record(e.value) as x (
             prediction_id text, market_key text, scored_at text, resolution text, resolution_value float8,
             excluded text, brier_score float8, log_score float8, market_brier_score float8,
             day_before_brier_score float8
         )
         left join market as m using (market_key)
    on conflict do nothing;
    get diagnostics v_inserted = row_count;
    return v_inserted;
end;
$$;

create or replace function edge_land_benchmark_passes(p_rows jsonb) returns integer
language plpgsql as $$
declare
    v_inserted integer;
begin
    insert into benchmark_pass (
        pass_id, checked_at, status, n_active, n_paused, n_completed, n_checks, n_converging, n_diverging, n_stable,
        n_overshot, n_stale, n_settled, n_marks, n_scores, n_excluded, mean_rate, max_rate, convergence_percentage,
        extra
    )
    select x.pass_id, edge_stamp(x.checked_at), x.status, x.n_active, x.n_paused, x.n_completed, x.n_checks,
           x.n_converging, x.n_diverging, x.n_stable, x.n_overshot, x.n_stale, x.n_settled, x.n_marks, x.n_scores,
           x.n_excluded, x.mean_rate, x.max_rate, x.convergence_percentage,
           edge_extra(e.value, 'pass_id', 'checked_at', 'status', 'n_active', 'n_paused', 'n_completed', 'n_checks',
                      'n_converging', 'n_diverging', 'n_stable', 'n_overshot', 'n_stale', 'n_settled', 'n_marks',
                      'n_scores', 'n_excluded', 'mean_rate', 'max_rate', 'convergence_percentage')
    from jsonb_array_elements(p_rows) as e (value),
         jsonb_to_record(e.value) as x (
             pass_id text, checked_at text, status text, n_active integer, n_paused integer, n_completed integer,
             n_checks integer, n_converging integer, n_diverging integer, n_stable integer, n_overshot integer,
             n_stale integer, n_settled integer, n_marks integer, n_scores integer, n_excluded integer,
             mean_rate float8, max_rate float8, convergence_percentage float8
         )
    on conflict do nothing;
    get diagnostics v_inserted = row_count;
    return v_inserted;
end;
$$;

create or replace function edge_land_benchmark_reports(p_rows jsonb) returns integer
language plpgsql as $$
declare
    v_inserted integer;
begin
    insert into benchmark_report (report_id, scope, made_at, body, extra)
    select x.report_id, x.scope, edge_stamp(x.made_at), x.body,
           edge_extra(e.value, 'report_id', 'scope', 'made_at', 'body')
    from jsonb_array_elements(p_rows) as e (value),
         jsonb_to_record(e.value) as x (report_id text, scope text, made_at text, body jsonb)
    on conflict do nothing;
    get diagnostics v_inserted = row_count;
    return v_inserted;
end;
$$;

-- A signal carries what it speaks of: market and prediction by key, the forecaster's record whole.
create or replace function edge_land_signals(p_rows jsonb) returns integer
language plpgsql as $$
declare
    v_inserted integer;
begin
    insert into signal (
        signal_id, market_key, signal_kind, prediction_id, experiment, experiment_version, model, side, summary,
        probability, bid, ask, cost, edge, believed, kelly_fraction, assumptions, record, evidence, created_at,
        expires_at, extra
    )
    select x.signal_id, x.market_key, x.signal_kind, x.prediction_id, x.experiment, x.experiment_version, x.model,
           x.side, x.summary, x.probability, x.bid, x.ask, x.cost, x.edge, x.believed, x.kelly_fraction, x.assumptions,
           x.record, x.evidence, edge_stamp(x.created_at), edge_time(x.expires_at),
           edge_extra(e.value, 'signal_id', 'market_key', 'signal_kind', 'prediction_id', 'experiment',
                      'experiment_version', 'model', 'side', 'summary', 'probability', 'bid', 'ask', 'cost', 'edge',
                      'believed', 'kelly_fraction', 'assumptions', 'record', 'evidence', 'created_at', 'expires_at')
    from jsonb_array_elements(p_rows) as e (value),
         jsonb_to_record(e.value) as x (
             signal_id text, market_key text, signal_kind text, prediction_id text, experiment text,
             experiment_version text, model text, side text, summary text, probability float8, bid float8, ask float8,
             cost float8, edge float8, believed float8, kelly_fraction float8, assumptions text[], record jsonb,
             evidence jsonb, created_at text, expires_at text
         )
    on conflict do nothing;
    get diagnostics v_inserted = row_count;
    return v_inserted;
end;
$$;

-- A trigger of the cloud moves the session; here a step is a row like any other.
create or replace function edge_land_session_steps(p_rows jsonb) returns integer
language plpgsql as $$
declare
    v_inserted integer;
begin
    insert into session_step (step_id, session_id, model, state, made_at, reason, prediction_ids, extra)
    select x.step_id, x.session_id, x.model, x.state, edge_stamp(x.made_at), x.reason, coalesce(x.prediction_ids, '{}'),
           edge_extra(e.value, 'step_id', 'session_id', 'model', 'state', 'made_at', 'reason', 'prediction_ids')
    from jsonb_array_elements(p_rows) as e (value),
         jsonb_to_record(e.value) as x (
             step_id text, session_id uuid, model text, state text, made_at text, reason text, prediction_ids text[]
         )
    order by x.session_id, edge_stamp(x.made_at)
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
        when 'quote' then (edge_land_quotes(p_rows::json)).inserted
        when 'pattern' then edge_land_patterns(p_rows)
        when 'insight' then edge_land_insights(p_rows)
        when 'prediction' then edge_land_predictions(p_rows)
        when 'check' then edge_land_checks(p_rows)
        when 'digest' then edge_land_digests(p_rows)
        when 'match' then edge_land_matches(p_rows)
        when 'arbitrage' then edge_land_arbitrages(p_rows)
        when 'signal' then edge_land_signals(p_rows)
        when 'mark' then edge_land_marks(p_rows)
        when 'score' then edge_land_scores(p_rows)
        when 'benchmark_pass' then edge_land_benchmark_passes(p_rows)
        when 'benchmark_report' then edge_land_benchmark_reports(p_rows)
        when 'session_step' then edge_land_session_steps(p_rows)
        else edge_refuse_kind(p_kind)
    end;
end;
$$;
