-- Every (type, value) that the accepted events carry for the first time, with the earliest event that did.
with fresh as (
    select
        accepted.position,
        accepted.received_at,
        accepted.batch_id,
        accepted.user_id,
        accepted.anonymous_id,
    from accepted
    anti join duplicates on accepted.position = duplicates.position
),

described as (
    select
        fields.identifier_type,
        fields.value_path,
        fields.type_path,
        accepted.properties,
        accepted.position,
        accepted.received_at,
        accepted.batch_id,
    from accepted
    inner join fields on accepted.event_name = fields.event_name and accepted.version = fields.version
    anti join duplicates on accepted.position = duplicates.position
),

carried as (
    select 'user_id' as identifier_type, user_id as raw_value, null as country, position, received_at, batch_id
    from fresh
    union all
    select 'anonymous_id', anonymous_id, null, position, received_at, batch_id
    from fresh
    union all
    select
        coalesce(identifier_type, json_extract_string(properties, type_path)),
        json_extract_string(properties, value_path),
        json_extract_string(properties, '$.country'),
        position,
        received_at,
        batch_id,
    from described
),

carried_first as (
    select
        identifier_type,
        raw_value,
        arg_min(country, position) as country,
        min(received_at) as first_seen_at,
        arg_min(batch_id, position) as batch_id,
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
