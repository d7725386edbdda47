delete from acknowledged
where (sync_name, destination_key) in (
    select
        sync_name,
        destination_key
    from members
    where
        batch_id = :batch_id
        and state = 'delivered'
        and ledger_seq = :ledger_seq
        and holds = 0
)
