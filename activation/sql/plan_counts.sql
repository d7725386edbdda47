-- One row: everything a plan says in numbers.
with

planned as (

    select
        operation,
        is_foreign,
        is_opt_out,
        md5_number(operation || ':' || destination_key || ':' || payload_hash) as operation_hash,
    from plan_changes
    where blocked_by is null

),

counted as (

    select
        count(*) filter (operation = 'add') as adds,
        count(*) filter (operation = 'update') as updates,
        count(*) filter (operation = 'remove') as removes,
        count(*) filter (operation = 'erase') as erases,
        count(*) filter (operation = 'send') as sends,
        count(*) filter (is_foreign) as foreigners,
        count(*) filter (is_opt_out) as opt_outs,
        coalesce(bit_xor(operation_hash) filter (not is_opt_out), 0)::varchar as fingerprint_to_approve,
        coalesce(bit_xor(operation_hash), 0)::varchar as fingerprint,
    from planned

),

wanted as (

    select
        coalesce(sum(row_count), 0)::bigint as desired_rows,
        count(*) filter (invalid_code is null) as desired,
        coalesce(sum(row_count) filter (invalid_code is not null), 0)::bigint as invalid_rows,
    from plan_desired

)

select
    counted.*,
    wanted.*,
    (select count(*) from plan_forgotten) as forgotten,
    (select count(*) from plan_acknowledged) as acknowledged,
    (select count(*) from plan_changes where not is_left) as differing,
from counted
cross join wanted
