-- Desired minus acknowledged. A key that is wanted but invalid keeps what it has: it is neither updated nor removed.
create or replace temp table plan_changes as
with

compared as (

    select
        case
            when plan_desired.destination_key is null then 'remove'
            when plan_desired.invalid_code is not null then null
            when plan_acknowledged.destination_key is null then 'add'
            when plan_desired.payload_hash <> plan_acknowledged.payload_hash then 'update'
        end as operation,
        coalesce(plan_desired.destination_key, plan_acknowledged.destination_key) as destination_key,
        coalesce(plan_desired.canonical_id, plan_acknowledged.canonical_id) as canonical_id,
        coalesce(plan_desired.identifier_key, plan_acknowledged.identifier_key) as identifier_key,
        plan_desired.payload,
        coalesce(plan_desired.payload_hash, plan_acknowledged.payload_hash) as payload_hash,
    from (select * from plan_desired where destination_key is not null) as plan_desired
    full outer join plan_acknowledged
        on plan_acknowledged.destination_key = plan_desired.destination_key

),

changes as (

    select
        *,
        sha256($sync_name || ':' || destination_key) as destination_key_hash,
    from compared
    where operation is not null

),

unsettled as (

    select distinct destination_key_hash
    from plan_blocked
    where is_unsettled

),

rejected as (

    select distinct
        destination_key_hash,
        payload_hash,
    from plan_blocked
    where not is_unsettled

),

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

)

select
    changes.operation,
    changes.destination_key,
    changes.canonical_id,
    changes.identifier_key,
    changes.payload,
    changes.payload_hash,
    changes.operation = 'remove' and opt_outs.identifier_key is not null as is_opt_out,
    case
        when unsettled.destination_key_hash is not null then 'in_doubt'
        when rejected.destination_key_hash is not null and changes.operation <> 'remove' then 'rejected_before'
    end as blocked_by,
from changes
left join unsettled
    on unsettled.destination_key_hash = changes.destination_key_hash
left join rejected
    on rejected.destination_key_hash = changes.destination_key_hash
    and rejected.payload_hash = changes.payload_hash
left join opt_outs
    on opt_outs.identifier_key = changes.identifier_key
