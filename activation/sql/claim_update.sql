-- The candidates that were not denied, up to the last one that fits into the batch.
update operations
set
    state = 'in_flight',
    batch_id = :batch_id,
    reason = null,
    ledger_seq = :ledger_seq
where
    operation_number between :first and :last
    and sync_name = :sync_name
    and lane = :lane
    and state in ('planned', 'deferred')
    and not_before <= :now
