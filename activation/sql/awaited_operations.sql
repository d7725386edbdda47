-- The members of a batch whose receipts have no answer yet.
select
    operation_number,
    operation_id,
    operation,
    destination_key,
    payload,
    receipt,
    state,
    reason
from operations
where
    batch_id = :batch_id
    and state in ('accepted', :or_state)
    and receipt is not null
order by operation_number
