-- Every subscriber key and e-mail address of the incoming rows that is not known yet.
with carried as (
    select 'sfmc_subscriber_key' as identifier_type, subscriber_key as raw_value
    from incoming
    union
    select 'email' as identifier_type, email_address as raw_value
    from incoming
)

select
    carried.identifier_type,
    carried.raw_value,
    cast(null as varchar) as country,
    cast($seen_at as timestamp) as first_seen_at,
    $batch_id as batch_id,
from carried
anti join raw.identifiers
    on carried.identifier_type = identifiers.identifier_type
    and carried.raw_value = identifiers.raw_value
where carried.raw_value is not null
order by carried.identifier_type, carried.raw_value
