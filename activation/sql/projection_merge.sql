-- Replace changed rows by key. A removed key goes first: it may have been acknowledged again since.
delete from activation.sync_runs
using changed_sync_runs
where sync_runs.sync_run_id = changed_sync_runs.sync_run_id;

insert into activation.sync_runs by name
select * exclude (channel, definition_hash) from changed_sync_runs;

delete from activation.operations
using changed_operations
where operations.operation_id = changed_operations.operation_id;

insert into activation.operations by name
select
    changed_operations.* exclude (destination_key),
    changed_sync_runs.sync_name,
    changed_sync_runs.destination,
    changed_sync_runs.channel,
    changed_sync_runs.planned_at,
    changed_sync_runs.definition_hash,
    sha256(changed_sync_runs.sync_name || ':' || changed_operations.destination_key) as destination_key_hash,
from changed_operations
inner join changed_sync_runs
    on changed_sync_runs.sync_run_id = changed_operations.sync_run_id;

insert into activation.attempts by name
select * from changed_attempts;

delete from activation.acknowledged
using changed_removals
where
    acknowledged.sync_name = changed_removals.sync_name
    and acknowledged.destination_key = changed_removals.destination_key;

delete from activation.acknowledged
using changed_acknowledged
where
    acknowledged.sync_name = changed_acknowledged.sync_name
    and acknowledged.destination_key = changed_acknowledged.destination_key;

insert into activation.acknowledged by name
select * from changed_acknowledged;

drop table changed_sync_runs;

drop table changed_operations;

drop table changed_attempts;

drop table changed_acknowledged;

drop table changed_removals
