-- One hash per operation of the plan last made; opt-outs leave whatever becomes of it.
select
    operation,
    md5_number_lower(operation || ':' || destination_key || ':' || payload_hash) as operation_hash,
from plan_changes
where
    blocked_by is null
    and not is_opt_out
order by operation_hash
