-- The next operations of one lane, each with what forbids it, if anything: that it is too late, a denial, or a cap. What
-- was put off comes before what was not claimed yet, of which :first to :last are this lane's.
-- Removals and erasures (lane 0) always pass.
with

put_off as (

    select
        operation_number,
        attempts
    from outcomes
    where
        sync_name = :sync_name
        and lane = :lane
        and state = 'deferred'
        and not_before <= :now
    order by operation_number
    limit :limit

),

fresh as (

    select
        operation_number,
        0 as attempts
    from intents
    where operation_number between :first and :last
    order by operation_number
    limit :limit

),

due as (

    select *
    from put_off
    union all
    select *
    from fresh
    order by operation_number
    limit :limit

),

candidates as (

    select
        due.operation_number,
        intents.sync_run_id,
        intents.operation_id,
        intents.operation,
        intents.destination_key,
        intents.payload,
        intents.canonical_id,
        intents.identifier_key,
        due.attempts,
        intents.expires_at
    from due
    inner join intents
        on intents.operation_number = due.operation_number

)

select
    operation_number,
    operation_id,
    operation,
    destination_key,
    payload,
    canonical_id,
    attempts,
    case
        when :lane = 0 then null
        when expires_at <= :now then 'too_late'
        else coalesce(
            (
                select 'denied_' || min(denials.reason)
                from denials
                where
                    denials.identifier_key = candidates.identifier_key
                    and denials.channel in (:channel, '*')
            ),
            (
                select 'denied_' || min(denials.reason)
                from denials
                where
                    denials.canonical_id = candidates.canonical_id
                    and denials.channel in (:channel, '*')
            ),
            (
                select 'capped'
                from caps
                where
                    caps.channel = :channel
                    and caps.max_operations <= (
                        select count(*)
                        from cap_uses
                        where
                            cap_uses.channel = :channel
                            and cap_uses.canonical_id = candidates.canonical_id
                            and cap_uses.used_at > :now - caps.window_seconds * 1000000
                    )
            )
        )
    end as denial,
    identifier_key,
    sync_run_id
from candidates
order by operation_number
