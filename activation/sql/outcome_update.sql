update operations
set
    state = :state,
    is_open = case when :state not in ('delivered', 'rejected') then 1 end,
    reason = :reason,
    receipt = coalesce(:receipt, receipt),
    attempts = attempts + :attempt,
    not_before = :not_before,
    finished_at = :finished_at,
    ledger_seq = :ledger_seq
where
    operation_number = :operation_number
    and batch_id = :batch_id
    and state in ('in_flight', 'accepted', 'in_doubt')
