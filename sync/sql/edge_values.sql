-- Reading one value off the wire, stricter than a cast: PostgreSQL would take 'now', 'infinity' or a naive time.
-- Called only from edge_apply's family, which fixes search_path and timezone.

create or replace function edge_time(p_text text) returns timestamptz
language plpgsql stable as $$
begin
    if p_text !~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$' then
        raise exception using
            errcode = 'invalid_datetime_format',
            message = format('not an RFC 3339 time with its zone: %s', left(p_text, 60));
    end if;
    return p_text::timestamptz;
end;
$$;

-- An instant stamped by the edge. One far ahead of the cloud's clock would stay "newest" for ever, so it is refused.
create or replace function edge_stamp(p_text text) returns timestamptz
language plpgsql stable as $$
declare
    v_at constant timestamptz := edge_time(p_text);
begin
    if v_at < '2020-01-01T00:00:00Z' or v_at > now() + interval '1 day' then
        raise exception using
            errcode = 'datetime_field_overflow',
            message = format('%s is before 2020 or a day ahead of the cloud: check the clock of the edge', p_text);
    end if;
    return v_at;
end;
$$;

-- Fields of a record this schema does not know yet; null when there are none.
create or replace function edge_extra(p_row jsonb, variadic p_known text[]) returns jsonb
language sql immutable as $$
    select nullif(p_row - 'kind' - 'market_key' - p_known, '{}'::jsonb)
$$;
