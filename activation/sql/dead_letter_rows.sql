-- The newest of one sync or run, one by one.
select
    operation_id,
    sync_run_id,
    operation,
    destination_key,
    state,
    reason
from dead_letters
where
    sync_name = :sync_name
    and sync_run_id = coalesce(:sync_run_id, sync_run_id)
order by operation_number desc
limit :limit
