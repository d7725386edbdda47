-- What is the same for all of a run stands in its own row, and is not copied with each operation.
select
    operations.operation_id,
    operations.sync_run_id,
    operations.operation,
    operations.holds,
    operations.destination_key,
    operations.canonical_id,
    operations.identifier_key,
    operations.state,
    operations.reason,
    operations.attempts,
    operations.batch_id,
    operations.receipt,
    operations.finished_at,
    operations.superseded_at,
    operations.payload_hash,
    operations.ledger_seq
from sync_runs
inner join operations
    on operations.operation_number between sync_runs.first_operation and sync_runs.last_operation
where
    sync_runs.ledger_seq > :since
    and operations.ledger_seq > :since
