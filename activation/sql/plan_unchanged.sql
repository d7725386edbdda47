-- Keys that the destination has as they are wanted, in a mode that does nothing about some of those that differ.
select count(*) as unchanged
from plan_desired
inner join plan_acknowledged
    on plan_acknowledged.destination_key = plan_desired.destination_key
    and plan_acknowledged.payload_hash <> 'unknown'
    and ($on_changed is null or plan_acknowledged.payload_hash = plan_desired.payload_hash)
where plan_desired.invalid_code is null
