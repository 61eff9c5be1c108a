-- The native storage backend: days of price_snapshot made ahead, packed when closed, opened again for late rows, taken
-- by retention; hours rolled up; readers that see all of it under the names the other backend has too.
-- Law: whoever writes into a day holds its lock shared, whoever packs or takes it holds it alone (price_day_lock), so
-- no row can land in a partition that is being packed. Functions the worker calls run as their owner.

create or replace function price_day_lock(p_day date) returns bigint
language sql immutable as $$
    select hashtextextended('price_day', 0) + (p_day - date '2000-01-01')
$$;

create or replace function price_partition(p_day date) returns boolean
language plpgsql set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' as $$
declare
    v_name constant text := 'price_snapshot_' || to_char(p_day, 'YYYYMMDD');
begin
    if to_regclass('public.' || v_name) is not null then
        return false;
    end if;
    -- One maker at a time; the second one finds the table when its turn comes.
    perform pg_advisory_xact_lock(hashtextextended('price_partition', 0));
    if to_regclass('public.' || v_name) is not null then
        return false;
    end if;
    -- Made beside and attached: readers of the other days are not locked out.
    execute format('create table public.%I (like public.price_snapshot including defaults including constraints)', v_name);
    execute format(
        'alter table public.price_snapshot attach partition public.%I for values from (%L) to (%L)',
        v_name, p_day::timestamptz, (p_day + 1)::timestamptz
    );
    return true;
end;
$$;

create or replace function ensure_partitions(p_back integer default 1, p_ahead integer default 7) returns integer
language sql security definer set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' as $$
    select count(*) filter (where price_partition(current_date + offset_days))::integer
    from generate_series(-least(p_back, 7), least(p_ahead, 30)) as offset_days -- others than the owner may ask
$$;

-- Days that have a partition, oldest first.
create or replace function price_days() returns setof date
language sql stable set search_path = pg_catalog, public, pg_temp as $$
    select to_date(right(c.relname, 8), 'YYYYMMDD')
    from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
    where i.inhparent = 'public.price_snapshot'::regclass and c.relname ~ '^price_snapshot_\d{8}$'
    order by 1
$$;

drop function if exists price_receive(timestamptz[], jsonb); -- an earlier release handed over the rows themselves

-- Called before quotes land: their days are there, packed market-days among them are rows again (so that the key finds
-- a row that is known), and hours that were rolled up are noted.
create or replace function price_receive(p_instants timestamptz[], p_markets integer[]) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' as $$
declare
    v_day date;
begin
    for v_day in select distinct i::date from unnest(p_instants) as i where i is not null order by 1 loop
        perform pg_advisory_xact_lock_shared(price_day_lock(v_day));
        perform price_partition(v_day);
        if v_day < current_date then
            perform price_unpack(v_day, p_markets);
        end if;
    end loop;
    insert into price_late (bucket)
    select distinct date_bin('1 hour', i, '2000-01-01T00:00:00Z') from unnest(p_instants) as i
    where i < now() - interval '2 hours' order by 1
    on conflict do nothing;
end;
$$;

create or replace function price_unpack(p_day date, p_markets integer[]) returns bigint
language sql set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' as $$
    with opened as (
        delete from price_day where day = p_day and market_id = any(p_markets) returning *
    ), put_back as (
        insert into price_snapshot
            (market_id, fetched_at, bid, ask, last_price, mid, volume_24h, open_interest, liquidity_usd)
        select o.market_id, p_day::timestamptz + u.at * interval '1 microsecond',
               u.bid, u.ask, u.last_price, u.mid, u.volume_24h, u.open_interest, u.liquidity_usd
        from opened as o, unnest(
            o.at, o.bid, o.ask, o.last_price, o.mid, o.volume_24h, o.open_interest, o.liquidity_usd
        ) as u (at, bid, ask, last_price, mid, volume_24h, open_interest, liquidity_usd)
        returning 1
    )
    select count(*) from put_back
$$;

-- A partition leaves: readers wait for the two catalogue changes alone, and those wait for nobody longer than half a
-- second. (detach concurrently is refused beside a default partition, which is the alarm we want to keep.)
create or replace function price_detach(p_day date) returns void
language plpgsql set search_path = pg_catalog, public, pg_temp set lock_timeout = '500ms' as $$
declare
    v_name constant text := 'price_snapshot_' || to_char(p_day, 'YYYYMMDD');
begin
    execute format('alter table public.price_snapshot detach partition public.%I', v_name);
    execute format('drop table public.%I', v_name);
end;
$$;

-- A closed day becomes one row per market. Returns: rows packed.
create or replace function price_pack(p_day date) returns bigint
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' set statement_timeout = '10min' as $$
declare
    v_packed bigint;
begin
    perform pg_advisory_xact_lock(price_day_lock(p_day));
    if to_regclass('public.price_snapshot_' || to_char(p_day, 'YYYYMMDD')) is null then
        return 0;
    end if;
    with days as (
        insert into price_day
        select market_id, p_day,
               array_agg((extract(epoch from fetched_at - p_day::timestamptz) * 1000000)::bigint order by fetched_at),
               array_agg(bid order by fetched_at), array_agg(ask order by fetched_at),
               array_agg(last_price order by fetched_at), array_agg(mid order by fetched_at),
               array_agg(volume_24h order by fetched_at), array_agg(open_interest order by fetched_at),
               array_agg(liquidity_usd order by fetched_at)
        from price_snapshot
        where fetched_at >= p_day::timestamptz and fetched_at < (p_day + 1)::timestamptz
        group by market_id
        order by market_id
        returning cardinality(at) as n
    )
    select coalesce(sum(n), 0) into v_packed from days;
    perform price_detach(p_day);
    return v_packed;
end;
$$;

-- Closed days that may be packed: rolled up, with no late rows owed.
create or replace function price_packable(p_before date) returns setof date
language sql stable security definer set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' as $$
    select day from price_days() as day, storage_backend
    where day < p_before and (day + 1)::timestamptz <= rolled_until and not exists (
        select from price_late where bucket >= day::timestamptz and bucket < (day + 1)::timestamptz
    )
$$;

-- Retention: days before this are gone, counted. Returns: rows taken.
create or replace function price_drop(p_before date) returns bigint
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' set statement_timeout = '10min' as $$
declare
    v_day date;
    v_rows bigint;
    v_taken bigint := 0;
begin
    for v_day in
        select day from price_days() as day where day < p_before
        union select day from price_day where day < p_before order by 1
    loop
        perform pg_advisory_xact_lock(price_day_lock(v_day));
        with packed as (delete from price_day where day = v_day returning cardinality(at) as n)
        select coalesce(sum(n), 0) into v_rows from packed;
        if to_regclass('public.price_snapshot_' || to_char(v_day, 'YYYYMMDD')) is not null then
            v_rows := v_rows + (
                select count(*) from price_snapshot
                where fetched_at >= v_day::timestamptz and fetched_at < (v_day + 1)::timestamptz
            );
            perform price_detach(v_day);
        end if;
        if v_rows > 0 then
            insert into price_dropped as d (day, n_rows) values (v_day, v_rows)
            on conflict (day) do update set n_rows = d.n_rows + excluded.n_rows, dropped_at = now();
        end if;
        delete from price_late where bucket < (v_day + 1)::timestamptz;
        v_taken := v_taken + v_rows;
    end loop;
    return v_taken;
end;
$$;

-- The hours from p_from to p_to, worked out anew from the rows; unchanged ones are not written. Returns: hours written.
create or replace function price_roll_hours(p_from timestamptz, p_to timestamptz) returns bigint
language sql set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' as $$
    with hours as (
        select market_id, date_bin('1 hour', fetched_at, '2000-01-01T00:00:00Z') as bucket, count(*)::integer as n,
               (array_agg(mid order by fetched_at) filter (where mid is not null))[1] as open,
               max(mid) as high, min(mid) as low,
               (array_agg(mid order by fetched_at desc) filter (where mid is not null))[1] as close,
               avg(mid) as average, max(fetched_at) as fetched_at
        from price_snapshot where fetched_at >= p_from and fetched_at < p_to
        group by 1, 2
    ), written as (
        insert into price_1h as old
        select h.*, s.bid, s.ask, s.last_price, s.mid
        from hours as h join price_snapshot as s using (market_id, fetched_at)
        where s.fetched_at >= p_from and s.fetched_at < p_to
        order by h.market_id, h.bucket
        on conflict (market_id, bucket) do update set
            n = excluded.n, open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
            average = excluded.average, fetched_at = excluded.fetched_at, bid = excluded.bid, ask = excluded.ask,
            last_price = excluded.last_price, mid = excluded.mid
        where excluded.n > old.n -- rows only ever join an hour; fewer means that retention was here
        returning 1
    )
    select count(*) from written
$$;

-- One step of rolling up: at most a day from where the last one ended, less what may have landed since (late rows are
-- noted only when they are two hours old), and all hours owed to late rows. The newest hour is left to the readers.
-- Returns: hours written, and whether all is done.
create or replace function price_roll_up(out n_hours bigint, out is_done boolean)
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp set timezone = 'UTC' set statement_timeout = '10min' as $$
declare
    v_end constant timestamptz := date_bin('1 hour', now(), '2000-01-01T00:00:00Z') - interval '1 hour';
    v_rolled timestamptz;
    v_from timestamptz;
    v_to timestamptz;
    v_bucket timestamptz;
begin
    select rolled_until into v_rolled from storage_backend for update;
    v_from := coalesce(v_rolled, (select min(day)::timestamptz from price_days() as day), v_end) - interval '2 hours';
    v_to := least(v_from + interval '26 hours', v_end + interval '2 hours');
    n_hours := price_roll_hours(v_from, v_to);
    is_done := v_to >= v_end;
    update storage_backend set rolled_until = least(v_to, v_end);
    if is_done then
        for v_bucket in delete from price_late where bucket < v_end returning bucket loop
            n_hours := n_hours + price_roll_hours(v_bucket, v_bucket + interval '1 hour');
        end loop;
    end if;
end;
$$;

-- ---------------------------------------------------------------- what readers see

-- Every quote there is. For counts, audits and exports; a request asks price_history.
create or replace view price_all as
select market_id, fetched_at, bid, ask, last_price, mid, volume_24h, open_interest, liquidity_usd from price_snapshot
union all
select d.market_id, (d.day::timestamp at time zone 'UTC') + u.at * interval '1 microsecond',
       u.bid, u.ask, u.last_price, u.mid, u.volume_24h, u.open_interest, u.liquidity_usd
from price_day as d, unnest(
    d.at, d.bid, d.ask, d.last_price, d.mid, d.volume_24h, d.open_interest, d.liquidity_usd
) as u (at, bid, ask, last_price, mid, volume_24h, open_interest, liquidity_usd);

-- One market from p_start (in) to p_end (out), wherever its days lie. No `set`, not definer: so that it is planned as
-- part of the query that asks, and arrays nobody asked for are not unfolded.
create or replace function price_history(p_market integer, p_start timestamptz, p_end timestamptz)
returns table (
    fetched_at timestamptz, bid double precision, ask double precision, last_price double precision,
    mid double precision
)
language sql stable as $$
    select s.fetched_at, s.bid, s.ask, s.last_price, s.mid
    from price_snapshot as s
    where s.market_id = p_market and s.fetched_at >= p_start and s.fetched_at < p_end
    union all
    select (d.day::timestamp at time zone 'UTC') + u.at * interval '1 microsecond', u.bid, u.ask, u.last_price, u.mid
    from price_day as d, unnest(d.at, d.bid, d.ask, d.last_price, d.mid) as u (at, bid, ask, last_price, mid)
    where d.market_id = p_market
      and d.day >= (p_start at time zone 'UTC')::date and d.day <= (p_end at time zone 'UTC')::date
      and (d.day::timestamp at time zone 'UTC') + u.at * interval '1 microsecond' >= p_start
      and (d.day::timestamp at time zone 'UTC') + u.at * interval '1 microsecond' < p_end
$$;

-- The newest quote of a market not after p_at and after p_floor.
create or replace function price_as_of(p_market integer, p_at timestamptz, p_floor timestamptz)
returns table (
    fetched_at timestamptz, bid double precision, ask double precision, last_price double precision,
    mid double precision, volume_24h double precision, open_interest double precision, liquidity_usd double precision
)
language sql stable as $$
    select * from (
        (
            select s.fetched_at, s.bid, s.ask, s.last_price, s.mid, s.volume_24h, s.open_interest, s.liquidity_usd
            from price_snapshot as s
            where s.market_id = p_market and s.fetched_at <= p_at and s.fetched_at > p_floor
            order by s.fetched_at desc limit 1
        )
        union all
        (
            select (d.day::timestamp at time zone 'UTC') + u.at * interval '1 microsecond' as fetched_at,
                   u.bid, u.ask, u.last_price, u.mid, u.volume_24h, u.open_interest, u.liquidity_usd
            from (
                select * from price_day as n
                where n.market_id = p_market
                  and n.day >= (p_floor at time zone 'UTC')::date and n.day <= (p_at at time zone 'UTC')::date
                  and (n.day::timestamp at time zone 'UTC') + n.at[1] * interval '1 microsecond' <= p_at
                order by n.day desc limit 1
            ) as d, unnest(
                d.at, d.bid, d.ask, d.last_price, d.mid, d.volume_24h, d.open_interest, d.liquidity_usd
            ) as u (at, bid, ask, last_price, mid, volume_24h, open_interest, liquidity_usd)
            where (d.day::timestamp at time zone 'UTC') + u.at * interval '1 microsecond' <= p_at
              and (d.day::timestamp at time zone 'UTC') + u.at * interval '1 microsecond' > p_floor
            order by u.at desc limit 1
        )
    ) as found
    order by found.fetched_at desc limit 1
$$;
