-- What acknowledged has of each key before this transaction changes it.
update operations
set
    former_hash = acknowledged.payload_hash,
    former_payload = acknowledged.payload
from acknowledged
where
    acknowledged.sync_name = operations.sync_name
    and acknowledged.destination_key = operations.destination_key
    and operations.batch_id = :batch_id
    and operations.state = 'delivered'
    and operations.ledger_seq = :ledger_seq
