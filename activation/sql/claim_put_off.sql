-- A member of the new batch that was put off before.
update outcomes
set
    state = 'in_flight',
    batch_id = :batch_id,
    reason = null,
    ledger_seq = :ledger_seq
where
    operation_number = :operation_number
    and state = 'deferred'
