-- The intents of a sync that can be claimed, now or later.
select intents.operation_number
from sync_runs
inner join intents
    on intents.operation_number between sync_runs.next_operation and sync_runs.last_operation
where
    sync_runs.sync_name = :sync_name
    and sync_runs.rest = 'planned'
union all
select outcomes.operation_number
from outcomes
where
    outcomes.sync_name = :sync_name
    and outcomes.state = 'deferred'
