-- Desired minus acknowledged, as the mode wants it: $on_new, $on_changed, $on_left and $on_opt_out name operations, or
-- are null where the mode does nothing. A key that is wanted but invalid keeps what it has: it is neither updated nor
-- removed. Nobody knows what the destination has of a key whose acknowledged hash is 'unknown': it is changed, or new in a
-- mode that changes nothing. plan_listed holds what the destination says it has, and nothing unless the mode takes all.
create or replace temp table plan_changes as
with

opt_outs as (

    select identifier_key
    from marts.suppressions
    where channel is null or channel = $channel
    union
    select identifier_key
    from marts.consent_states
    where
        is_withdrawn
        and (channel is null or channel = $channel)

),

compared as (

    select
        coalesce(plan_desired.destination_key, plan_acknowledged.destination_key) as destination_key,
        coalesce(plan_desired.canonical_id, plan_acknowledged.canonical_id) as canonical_id,
        coalesce(plan_desired.identifier_key, plan_acknowledged.identifier_key) as identifier_key,
        plan_desired.payload,
        plan_desired.lives,
        coalesce(plan_desired.payload_hash, plan_acknowledged.payload_hash) as payload_hash,
        plan_desired.destination_key is null as is_left,
        plan_desired.invalid_code is not null as is_invalid,
        plan_acknowledged.destination_key is null
        or ($on_changed is null and plan_acknowledged.payload_hash = 'unknown') as is_new,
        coalesce(plan_desired.payload_hash <> plan_acknowledged.payload_hash, false) as is_changed,
    from (select * from plan_desired where destination_key is not null) as plan_desired
    full outer join plan_acknowledged
        on plan_acknowledged.destination_key = plan_desired.destination_key

),

wanted as (

    select
        case
            when compared.is_left then
                coalesce(
                    cast($on_left as varchar),
                    case when opt_outs.identifier_key is not null then cast($on_opt_out as varchar) end
                )
            when compared.is_invalid then null
            when compared.is_new then cast($on_new as varchar)
            when compared.is_changed then cast($on_changed as varchar)
        end as operation,
        compared.destination_key,
        compared.canonical_id,
        compared.identifier_key,
        compared.payload,
        compared.lives,
        compared.payload_hash,
        compared.is_left,
        compared.is_left and opt_outs.identifier_key is not null as is_opt_out,
        false as is_foreign,
    from compared
    left join opt_outs
        on opt_outs.identifier_key = compared.identifier_key
    union all
    select
        'remove' as operation,
        plan_listed.destination_key,
        null as canonical_id,
        null as identifier_key,
        null as payload,
        null as lives,
        '' as payload_hash,
        true as is_left,
        false as is_opt_out,
        true as is_foreign,
    from plan_listed
    anti join plan_acknowledged
        on plan_acknowledged.destination_key = plan_listed.destination_key
    anti join plan_desired
        on plan_desired.destination_key = plan_listed.destination_key

),

changes as (

    select *
    from wanted
    where operation is not null

),

-- The warehouse knows operations by the hash of their key. Where nothing holds a key back the join ends with its first rows,
-- and hardly a key is hashed.
keys as (

    select
        destination_key,
        sha256($sync_name || ':' || destination_key) as destination_key_hash,
    from (
        select plan_desired.destination_key from plan_desired
        union all
        select plan_acknowledged.destination_key from plan_acknowledged
        union all
        select plan_listed.destination_key from plan_listed
    ) as any_key

),

blocked as (

    select
        keys.destination_key,
        plan_blocked.payload_hash,
        plan_blocked.is_unsettled,
    from plan_blocked
    inner join keys
        on keys.destination_key_hash = plan_blocked.destination_key_hash

),

unsettled as (

    select distinct destination_key
    from blocked
    where is_unsettled

),

rejected as (

    select distinct
        destination_key,
        payload_hash,
    from blocked
    where not is_unsettled

)

select
    changes.operation,
    changes.destination_key,
    changes.canonical_id,
    changes.identifier_key,
    case when changes.operation in ('add', 'update', 'send') then changes.payload end as payload,
    changes.lives,
    changes.payload_hash,
    changes.is_left,
    changes.is_opt_out,
    changes.is_foreign,
    case
        when unsettled.destination_key is not null then 'in_doubt'
        when rejected.destination_key is not null and not changes.is_opt_out then 'rejected_before'
    end as blocked_by,
from changes
left join unsettled
    on unsettled.destination_key = changes.destination_key
left join rejected
    on rejected.destination_key = changes.destination_key
    and rejected.payload_hash = changes.payload_hash
