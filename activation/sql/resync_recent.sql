-- How much was acknowledged too late for a list to know of it.
select count(*)
from acknowledged
where
    sync_name = :sync_name
    and (ledger_seq > :ledger_seq or acknowledged_at > :moment)
