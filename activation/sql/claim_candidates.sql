-- The next operations of one lane, each with what forbids it, if anything: that it is too late, a denial, or a cap.
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
        attempts,
        expires_at
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
    identifier_key
from candidates
order by operation_number
