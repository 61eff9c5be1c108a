-- What the cloud's ledger says of one stream, for the edge to hold against its own file.

create or replace function edge_audit(p_stream uuid, p_from bigint) returns jsonb
language sql stable security definer
set search_path = pg_catalog, public, pg_temp
set timezone = 'UTC' as $$
    select jsonb_build_object(
        'known', exists (select from edge_stream where stream = p_stream),
        'acked', (select edge_ranges(coalesce(acked, '{}')) from edge_stream where stream = p_stream),
        'rows', coalesce(sum(hi - lo + 1), 0), 'batches', count(*), 'inserted', coalesce(sum(inserted), 0),
        'already_known', coalesce(sum(known), 0), 'quarantined', coalesce(sum(quarantined), 0),
        'set_aside', (select count(*) from edge_quarantine where stream = p_stream),
        'ledger', (
            select coalesce(jsonb_agg(jsonb_build_array(lo, hi, encode(digest, 'hex')) order by lo), '[]')
            from (select * from edge_batch where stream = p_stream and hi >= p_from order by lo limit 20000) as recent
        )
    ) from edge_batch where stream = p_stream
$$;
