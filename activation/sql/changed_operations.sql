select
    operations.operation_id,
    operations.sync_run_id,
    operations.sync_name,
    sync_runs.destination,
    operations.operation,
    operations.holds,
    operations.destination_key,
    operations.canonical_id,
    operations.identifier_key,
    sync_runs.channel,
    operations.state,
    operations.reason,
    operations.attempts,
    operations.batch_id,
    operations.receipt,
    sync_runs.planned_at,
    operations.finished_at,
    operations.superseded_at,
    sync_runs.definition_hash,
    operations.payload_hash,
    operations.ledger_seq
from sync_runs
inner join operations
    on operations.operation_number between sync_runs.first_operation and sync_runs.last_operation
where
    sync_runs.ledger_seq > :since
    and operations.ledger_seq > :since
