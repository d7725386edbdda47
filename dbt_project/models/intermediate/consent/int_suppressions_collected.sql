with sfmc_subscribers as (

    select * from {{ ref('stg_sfmc__subscribers') }}
    where subscriber_status = 'Held'

),

identifiers as (

    select * from {{ ref('stg_ingestion__identifiers') }}
    where identifier_type = 'email' and is_valid

),

held as (

    select
        identifiers.identifier_key,
        identifiers.identifier_type,
        'email' as channel,
        'held' as reason,
        'sfmc' as source_system,
        sfmc_subscribers.row_id as source_record,
        sfmc_subscribers.held_at as suppressed_at
    from sfmc_subscribers
    inner join identifiers
        on sfmc_subscribers.raw_email = identifiers.raw_value

),

collected as (

    {{ deduplicate('held', 'identifier_key, channel, reason', 'suppressed_at, source_record') }}

)

select
    identifier_key,
    identifier_type,
    channel,
    reason,
    source_system,
    source_record,
    suppressed_at
from collected
