-- Named indexes that earn their place; the tests of their plans say what for. Each statement by itself, outside a
-- transaction: nobody waits while they are built, and one that was cut short is made anew.
drop index concurrently if exists market_venue;
create index concurrently market_venue on market (venue, market_id desc);
drop index concurrently if exists insight_actionable;
create index concurrently insight_actionable on insight (created_at desc, insight_id desc)
    where actionable and confidence > 60;
