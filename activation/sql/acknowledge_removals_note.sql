insert into acknowledged_removals (sync_name, destination_key, ledger_seq)
select
    sync_name,
    destination_key,
    :ledger_seq
from members
where
    batch_id = :batch_id
    and state = 'delivered'
    and ledger_seq = :ledger_seq
    and holds = 0
