-- What acknowledged has of each key before this transaction changes it.
insert into formers (operation_number, former_hash, former_payload)
select
    members.operation_number,
    acknowledged.payload_hash,
    acknowledged.payload
from members
inner join acknowledged
    on acknowledged.sync_name = members.sync_name
    and acknowledged.destination_key = members.destination_key
where
    members.batch_id = :batch_id
    and members.state = 'delivered'
    and members.ledger_seq = :ledger_seq
