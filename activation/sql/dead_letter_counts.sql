-- By sync, state and reason; of one sync or run, or of all where none is named.
select
    sync_name,
    state,
    reason,
    count(*) as operations,
    min(planned_at) as oldest_at,
    max(planned_at) as newest_at
from dead_letters
where
    sync_name = coalesce(:sync_name, sync_name)
    and sync_run_id = coalesce(:sync_run_id, sync_run_id)
group by sync_name, state, reason
order by sync_name, state, reason
