-- Every subscriber key and e-mail address of the new rows that is not known yet. {files} are the Parquet files
-- of the new rows; an identifier belongs to the load of one of the files that carry it.
with incoming as (
    select subscriber_key, email_address, file_sha256
    from read_parquet([{files}], union_by_name = true)
),

carried as (
    select 'sfmc_subscriber_key' as identifier_type, subscriber_key as raw_value, file_sha256
    from incoming
    union all
    select 'email' as identifier_type, email_address as raw_value, file_sha256
    from incoming
),

carried_once as (
    select identifier_type, raw_value, min(file_sha256) as batch_id
    from carried
    where raw_value is not null
    group by identifier_type, raw_value
)

select
    carried_once.identifier_type,
    carried_once.raw_value,
    cast(null as varchar) as country,
    cast($seen_at as timestamp) as first_seen_at,
    carried_once.batch_id,
from carried_once
anti join raw.identifiers
    on carried_once.identifier_type = identifiers.identifier_type
    and carried_once.raw_value = identifiers.raw_value
order by carried_once.identifier_type, carried_once.raw_value
