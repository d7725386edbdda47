-- The newest of one sync, one by one.
select
    operation_id,
    sync_run_id,
    operation,
    destination_key,
    state,
    reason
from dead_letters
where sync_name = :sync_name
order by operation_number desc
limit :limit
