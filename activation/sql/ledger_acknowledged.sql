select
    destination_key,
    canonical_id,
    identifier_key,
    payload_hash
from acknowledged
where sync_name = :sync_name
