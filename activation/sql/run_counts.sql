-- One row per state and reason of one run's operations; a run's operations are one range of numbers.
select
    operations.state,
    operations.reason,
    count(*) as operations
from sync_runs
inner join operations
    on operations.operation_number between sync_runs.first_operation and sync_runs.last_operation
where sync_runs.sync_run_id = ?
group by operations.state, operations.reason
