-- The members of a batch whose receipts have no answer yet.
select
    outcomes.operation_number,
    intents.operation_id,
    intents.operation,
    intents.destination_key,
    intents.payload,
    outcomes.receipt,
    outcomes.state,
    outcomes.reason
from outcomes
inner join intents
    on intents.operation_number = outcomes.operation_number
where
    outcomes.batch_id = :batch_id
    and outcomes.state in ('accepted', :or_state)
    and outcomes.receipt is not null
order by outcomes.operation_number
