select
    destination_key,
    payload_hash,
    payload
from acknowledged
where
    sync_name = :sync_name
    and destination_key > :after
order by destination_key
limit :rows
