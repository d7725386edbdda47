-- One row per address and channel that may not be contacted, with the most standing reason.
with

suppressions as (

    select
        identifier_key,
        coalesce(channel, '*') as channel,
        'suppressed' as reason,
        suppressed_at as denied_at,
    from marts.suppressions

),

withdrawals as (

    select
        identifier_key,
        coalesce(channel, '*') as channel,
        'withdrawn' as reason,
        last_changed_at as denied_at,
    from marts.consent_states
    where is_withdrawn

),

denials as (

    select * from suppressions
    union all
    select * from withdrawals

)

select
    identifier_key,
    channel,
    min(reason) as reason,
    coalesce(epoch_us(min(denied_at)), 0) as denied_at,
from denials
where identifier_key is not null
group by identifier_key, channel
