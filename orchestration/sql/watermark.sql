-- One row: receipt time of the newest event that the marts of this moment have seen.
select max(received_at) as newest_received_at
from raw.events
where received_at <= $as_of
