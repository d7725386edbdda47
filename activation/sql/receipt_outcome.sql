-- What became of one accepted operation. Whoever closed it first has closed it: a second answer to the same receipt
-- changes nothing.
update outcomes
set
    state = :state,
    reason = :reason,
    attempts = attempts + :attempt,
    not_before = :not_before,
    finished_at = :finished_at,
    ledger_seq = :ledger_seq
where
    operation_number = :operation_number
    and batch_id = :batch_id
    and receipt = :receipt
    and state in ('accepted', 'in_doubt')
