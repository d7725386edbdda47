-- One row: operations that would leave now and were not in the stored plan, and those of the stored plan that would
-- not leave now. Opt-outs are in neither.
with

present as (

    select md5_number_lower(operation || ':' || destination_key || ':' || payload_hash) as operation_hash,
    from plan_changes
    where
        blocked_by is null
        and not is_opt_out

),

planned as (

    select operation_hash
    from planned_before

)

select
    (
        select count(*)
        from present
        anti join planned
            on planned.operation_hash = present.operation_hash
    ) as came,
    (
        select count(*)
        from planned
        anti join present
            on present.operation_hash = planned.operation_hash
    ) as gone
