-- The first few keys of each operation, with their payload.
select
    operation,
    destination_key,
    payload,
from (
    select
        operation,
        destination_key,
        payload,
        row_number() over (partition by operation order by destination_key) as sample_number,
    from plan_changes
    where blocked_by is null
) as numbered
where sample_number <= $samples
order by operation, destination_key
