-- One sealed batch, one statement, one transaction: rows, ledger and acked ranges change together or not at all.
-- Law: the row lock on the stream makes a second attempt wait and then find itself a duplicate; a bad row goes to
-- quarantine with its reason and never blocks its neighbours; inserted + known + quarantined = hi - lo + 1.

create or replace function edge_receipt(p_result text, p_reason text, p_batch edge_batch) returns jsonb
language sql stable as $$
    select jsonb_build_object(
        'result', p_result, 'reason', p_reason,
        'inserted', coalesce(p_batch.inserted, 0), 'known', coalesce(p_batch.known, 0),
        'quarantined', coalesce(p_batch.quarantined, 0), 'applied_at', p_batch.applied_at
    )
$$;

create or replace function edge_set_aside(p_stream uuid, p_seq bigint, p_kind text, p_reason text, p_payload text)
returns void
language sql as $$
    insert into edge_quarantine (stream, seq, kind, reason, payload)
    values (p_stream, p_seq, left(p_kind, 100), left(p_reason, 1000), p_payload)
$$;

-- The rows that have not landed, as trees. jsonb refuses a whole batch for one \u0000, so what it refuses is found and
-- set aside, row by row.
create or replace function edge_rest(p_stream uuid, p_lo bigint, p_rows json, p_without_quotes boolean)
returns table (seq bigint, value jsonb)
language plpgsql as $$
declare
    v_seqs bigint[];
    v_values jsonb[];
    v_each record;
begin
    begin
        select array_agg(p_lo + e.n - 1), array_agg(e.value::jsonb) into v_seqs, v_values
        from json_array_elements(p_rows) with ordinality as e (value, n)
        where not p_without_quotes or e.value ->> 'kind' is distinct from 'quote';
    exception when data_exception or program_limit_exceeded then
        v_seqs := '{}';
        v_values := '{}';
        for v_each in
            select p_lo + e.n - 1 as seq, e.value from json_array_elements(p_rows) with ordinality as e (value, n)
        loop
            begin
                if not p_without_quotes or v_each.value ->> 'kind' is distinct from 'quote' then
                    v_values := v_values || v_each.value::jsonb;
                    v_seqs := v_seqs || v_each.seq;
                end if;
            exception when data_exception or program_limit_exceeded then
                perform edge_set_aside(p_stream, v_each.seq, null, sqlstate || ': ' || sqlerrm, v_each.value::text);
            end;
        end loop;
    end;
    return query select * from unnest(v_seqs, v_values);
end;
$$;

-- One kind, fast: all its rows in one statement. If that raises, each half by itself, down to the one row that is bad:
-- one bad row among 5,000 costs some 26 statements, not 5,000.
create or replace function edge_land_or_set_aside(
    p_stream uuid, p_kind text, p_rows jsonb, p_seqs bigint[], out inserted integer, out quarantined integer
)
language plpgsql as $$
declare
    v_size constant integer := cardinality(p_seqs);
    v_half int4range;
    v_landed record;
begin
    inserted := edge_land(p_kind, p_rows);
    quarantined := 0;
exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
    inserted := 0;
    quarantined := 0;
    if v_size = 1 then
        perform edge_set_aside(p_stream, p_seqs[1], p_kind, sqlstate || ': ' || sqlerrm, (p_rows -> 0)::text);
        quarantined := 1;
        return;
    end if;
    for v_half in select * from (values (int4range(1, v_size / 2 + 1)), (int4range(v_size / 2 + 1, v_size + 1))) as h loop
        v_landed := edge_land_or_set_aside(
            p_stream, p_kind,
            jsonb_path_query_array(p_rows, format('$[%s to %s]', lower(v_half) - 1, upper(v_half) - 2)::jsonpath),
            p_seqs[lower(v_half):upper(v_half) - 1]
        );
        inserted := inserted + v_landed.inserted;
        quarantined := quarantined + v_landed.quarantined;
    end loop;
end;
$$;

-- Quotes, at once or not at all: null where one of them is bad, which is then looked for among the rest.
create or replace function edge_land_quotes_or_none(
    p_rows json, out n_rows integer, out n_quotes integer, out inserted integer
)
language plpgsql as $$
begin
    select * into n_rows, n_quotes, inserted from edge_land_quotes(p_rows);
exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
    n_rows := null;
    n_quotes := 0;
    inserted := 0;
end;
$$;

create or replace function edge_apply(
    p_stream uuid, p_fence bigint, p_lo bigint, p_hi bigint, p_digest bytea, p_schema_v integer, p_rows text
) returns jsonb
language plpgsql security definer
set search_path = pg_catalog, public, pg_temp
set timezone = 'UTC' as $$
declare
    v_stream edge_stream;
    v_batch edge_batch;
    v_range int8range;
    v_rows json;
    v_quotes record;
    v_part record;
    v_landed record;
    v_total constant bigint := p_hi - p_lo + 1;
    v_kinds jsonb := '{}';
begin
    if p_lo is null or p_hi is null or p_lo < 1 or p_hi < p_lo or p_rows is null then
        raise exception using errcode = '22023', message = format('not a batch: %s to %s', p_lo, p_hi);
    end if;
    if p_digest is distinct from sha256(convert_to(p_rows, 'UTF8')) then
        raise exception using errcode = '22023', message = format('batch %s to %s: digest is not that of its rows', p_lo, p_hi);
    end if;
    v_range := int8range(p_lo, p_hi, '[]');

    select * into v_stream from edge_stream where stream = p_stream for update;
    if not found then
        return edge_receipt('hold', 'the stream is not known here: say hello first', null);
    end if;
    if p_fence is distinct from v_stream.fence or v_stream.closed_at is not null then
        return edge_receipt('fenced', format('fence %s is not the present one: another writer took over', p_fence), null);
    end if;
    if v_stream.acked && v_range then
        select * into v_batch from edge_batch
        where stream = p_stream and lo = p_lo and hi = p_hi and digest = p_digest;
        if found then
            return edge_receipt('duplicate', null, v_batch);
        end if;
        return edge_receipt('conflict', format('%s to %s was applied with other content', p_lo, p_hi), null);
    end if;
    if p_schema_v is null or p_schema_v not between edge_schema_min() and edge_schema_max() then
        return edge_receipt('hold', format(
            'schema %s is not accepted here (%s to %s)', p_schema_v, edge_schema_min(), edge_schema_max()
        ), null);
    end if;
    if v_total > edge_max_rows() or octet_length(p_rows) > edge_max_bytes() then
        return edge_receipt('hold', format(
            '%s rows, %s bytes: the limits are %s and %s', v_total, octet_length(p_rows), edge_max_rows(), edge_max_bytes()
        ), null);
    end if;

    v_rows := p_rows::json;
    v_quotes := edge_land_quotes_or_none(v_rows);
    if coalesce(v_quotes.n_rows, json_array_length(v_rows)) <> v_total then
        raise exception using errcode = '22023', message = format('batch %s to %s does not hold %s rows', p_lo, p_hi, v_total);
    end if;
    v_batch.inserted := v_quotes.inserted;
    v_batch.known := v_quotes.n_quotes - v_quotes.inserted;
    if v_quotes.inserted > 0 then
        v_kinds := jsonb_build_object('quote', v_quotes.inserted);
    end if;
    for v_part in
        select value ->> 'kind' as kind, jsonb_agg(value order by seq) as members, array_agg(seq order by seq) as seqs
        from edge_rest(p_stream, p_lo, v_rows, v_quotes.n_quotes > 0)
        where v_quotes.n_quotes < v_total
        group by 1
    loop
        v_landed := edge_land_or_set_aside(p_stream, v_part.kind, v_part.members, v_part.seqs);
        v_batch.inserted := v_batch.inserted + v_landed.inserted;
        v_batch.known := v_batch.known + cardinality(v_part.seqs) - v_landed.inserted - v_landed.quarantined;
        if v_landed.inserted > 0 then
            v_kinds := v_kinds || jsonb_build_object(v_part.kind, v_landed.inserted);
        end if;
    end loop;
    select count(*) into v_batch.quarantined
    from edge_quarantine where stream = p_stream and seq between p_lo and p_hi;
    if v_batch.known < 0 or v_batch.inserted + v_batch.known + v_batch.quarantined <> v_total then
        raise exception using errcode = 'assert_failure', message = format('batch %s to %s does not add up', p_lo, p_hi);
    end if;

    insert into edge_batch (stream, lo, hi, digest, schema_v, inserted, known, quarantined, kinds)
    values (p_stream, p_lo, p_hi, p_digest, p_schema_v, v_batch.inserted, v_batch.known, v_batch.quarantined, v_kinds)
    returning * into v_batch;
    update edge_stream set acked = acked + int8multirange(v_range) where stream = p_stream;
    perform pg_notify('edge_landed', jsonb_build_object(
        'stamp', p_stream || ':' || p_lo, 'kinds', v_kinds, 'applied_at', v_batch.applied_at
    )::text);
    return edge_receipt('applied', null, v_batch);
end;
$$;
