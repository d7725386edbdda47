-- Every (type, value) that the accepted events carry for the first time, with the earliest event that did.
with fresh as (
    select accepted.*
    from accepted
    anti join duplicates on accepted.position = duplicates.position
),

carried as (
    select 'user_id' as identifier_type, user_id as raw_value, null as country, received_at, event_id, batch_id
    from fresh
    union all
    select 'anonymous_id', anonymous_id, null, received_at, event_id, batch_id
    from fresh
    union all
    select
        coalesce(fields.identifier_type, json_extract_string(fresh.properties, fields.type_path)),
        json_extract_string(fresh.properties, fields.value_path),
        json_extract_string(fresh.properties, '$.country'),
        fresh.received_at,
        fresh.event_id,
        fresh.batch_id,
    from fresh
    inner join fields on fresh.event_name = fields.event_name and fresh.version = fields.version
),

carried_first as (
    select
        identifier_type,
        raw_value,
        arg_min(country, row(received_at, event_id)) as country,
        min(received_at) as first_seen_at,
        arg_min(batch_id, row(received_at, event_id)) as batch_id,
    from carried
    where raw_value is not null
        and identifier_type is not null
    group by identifier_type, raw_value
)

select carried_first.*
from carried_first
anti join raw.identifiers
    on carried_first.identifier_type = identifiers.identifier_type
    and carried_first.raw_value = identifiers.raw_value
