-- One row: everything a plan says in numbers.
select
    (select count(*) from plan_changes where operation = 'add' and blocked_by is null) as adds,
    (select count(*) from plan_changes where operation = 'update' and blocked_by is null) as updates,
    (select count(*) from plan_changes where operation = 'remove' and blocked_by is null) as removes,
    (select count(*) from plan_changes where operation = 'erase' and blocked_by is null) as erases,
    (select count(*) from plan_changes where operation = 'send' and blocked_by is null) as sends,
    (select count(*) from plan_forgotten) as forgotten,
    (select count(*) from plan_changes where is_foreign and blocked_by is null) as foreigners,
    (select count(*) from plan_changes where is_opt_out and blocked_by is null) as opt_outs,
    (select coalesce(sum(row_count), 0) from plan_desired)::bigint as desired_rows,
    (select count(*) from plan_desired where invalid_code is null) as desired,
    (select coalesce(sum(row_count), 0) from plan_desired where invalid_code is not null)::bigint as invalid_rows,
    (select count(*) from plan_acknowledged) as acknowledged,
    (
        select count(*)
        from plan_desired
        inner join plan_acknowledged
            on plan_acknowledged.destination_key = plan_desired.destination_key
            and ($on_changed is null or plan_acknowledged.payload_hash = plan_desired.payload_hash)
        where plan_desired.invalid_code is null
    ) as unchanged,
    (
        select coalesce(bit_xor(md5_number(operation || ':' || destination_key || ':' || payload_hash)), 0)::varchar
        from plan_changes
        where
            blocked_by is null
            and not is_opt_out
    ) as fingerprint_to_approve,
    (
        select coalesce(bit_xor(md5_number(operation || ':' || destination_key || ':' || payload_hash)), 0)::varchar
        from plan_changes
        where blocked_by is null
    ) as fingerprint
