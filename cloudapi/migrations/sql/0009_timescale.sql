-- Storage on TimescaleDB: a hypertable in place of the partitions, columns for closed days, a continuous aggregate.
-- Only while there are no prices: a partitioned table cannot become a hypertable, and rows would have to be copied.
set local lock_timeout = '2s';
set local statement_timeout = '60s';

create extension if not exists timescaledb;

do $$
begin
    if exists (select from price_snapshot) then
        raise exception using errcode = 'object_not_in_prerequisite_state',
            message = 'price_snapshot holds rows in native partitions: timescale is for a new database';
    end if;
end;
$$;

drop table price_snapshot;
create table price_snapshot (
    market_id integer not null,
    fetched_at timestamptz not null,
    bid double precision check (bid between 0 and 1),
    ask double precision check (ask between 0 and 1),
    last_price double precision check (last_price between 0 and 1),
    mid double precision check (mid between 0 and 1),
    volume_24h double precision check (volume_24h > '-infinity' and volume_24h < 'infinity'),
    open_interest double precision check (open_interest > '-infinity' and open_interest < 'infinity'),
    liquidity_usd double precision check (liquidity_usd > '-infinity' and liquidity_usd < 'infinity'),
    primary key (market_id, fetched_at)
);
select create_hypertable('price_snapshot', by_range('fetched_at', interval '1 day'), create_default_indexes => false);

alter table price_snapshot set (
    timescaledb.compress, timescaledb.compress_segmentby = 'market_id', timescaledb.compress_orderby = 'fetched_at desc'
);
select add_compression_policy('price_snapshot', compress_after => interval '2 days');

create materialized view price_1h
with (timescaledb.continuous, timescaledb.materialized_only = false) as
select
    market_id,
    time_bucket(interval '1 hour', fetched_at) as bucket,
    count(*)::integer as n,
    first(mid, fetched_at) filter (where mid is not null) as open,
    max(mid) as high,
    min(mid) as low,
    last(mid, fetched_at) filter (where mid is not null) as close,
    avg(mid) as average,
    max(fetched_at) as fetched_at,
    last(bid, fetched_at) as bid,
    last(ask, fetched_at) as ask,
    last(last_price, fetched_at) as last_price,
    last(mid, fetched_at) as mid
from price_snapshot
group by 1, 2
with no data;
-- No start: late rows of any age are rolled up again, only the hours they touched.
select add_continuous_aggregate_policy(
    'price_1h', start_offset => null, end_offset => interval '1 hour', schedule_interval => interval '5 minutes'
);
