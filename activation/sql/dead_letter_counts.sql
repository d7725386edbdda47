-- Operations that ended badly and were not planned again since, by sync, state and reason.
select
    operations.sync_name,
    operations.state,
    operations.reason,
    count(*) as operations,
    min(sync_runs.planned_at) as oldest_at,
    max(sync_runs.planned_at) as newest_at
from operations
inner join sync_runs
    on sync_runs.sync_run_id = operations.sync_run_id
where
    operations.sync_name = coalesce(:sync_name, operations.sync_name)
    and operations.state in ('rejected', 'expired', 'in_doubt')
    and operations.superseded_at is null
group by operations.sync_name, operations.state, operations.reason
order by operations.sync_name, operations.state, operations.reason
