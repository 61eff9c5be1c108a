-- Which edge's record a prediction belongs to: two machines keep one each, and their numbers are the same.
set local lock_timeout = '2s';
set local statement_timeout = '60s';

alter table prediction add column chain text check (length(chain) between 1 and 100);
create index prediction_chain on prediction (chain, chain_seq);
