-- The first few keys of each operation.
select
    operation,
    destination_key,
from (
    select
        operation,
        destination_key,
        row_number() over (partition by operation order by destination_key) as sample_number,
    from plan_changes
    where blocked_by is null
) as numbered
where sample_number <= $samples
order by operation, destination_key
