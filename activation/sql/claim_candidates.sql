-- The next operations of one lane, each with the denial or cap that forbids it, if any.
-- Removals and erasures (lane 0) always pass.
with

candidates as (

    select
        operation_number,
        operation_id,
        operation,
        destination_key,
        payload,
        canonical_id,
        identifier_key,
        attempts
    from operations
    where
        sync_name = :sync_name
        and lane = :lane
        and state in ('planned', 'deferred')
        and not_before <= :now
    order by operation_number
    limit :limit

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
    end as denial
from candidates
order by operation_number
