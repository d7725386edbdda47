-- The operations to write as intents, removals first.
select
    operation,
    destination_key,
    canonical_id,
    identifier_key,
    payload,
    payload_hash,
    lives,
from plan_changes
where
    blocked_by is null
    and (is_opt_out or not $only_opt_outs)
order by operation not in ('remove', 'erase'), destination_key
