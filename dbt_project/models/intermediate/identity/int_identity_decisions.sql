with decisions as (

    select * from {{ ref('stg_events__identity_decisions') }}

),

identifiers as (

    select * from {{ ref('int_identifiers_checked') }}
    where refused_because is null

),

decisions_with_keys as (

    select
        decisions.event_id,
        decisions.decision,
        decisions.reason,
        decisions.decided_by,
        decisions.decided_at,
        decisions.received_at,
        decisions.segment,
        decisions.line,
        least(from_identifiers.identifier_key, to_identifiers.identifier_key) as from_key,
        greatest(from_identifiers.identifier_key, to_identifiers.identifier_key) as to_key
    from decisions
    inner join identifiers as from_identifiers
        on
            decisions.from_type = from_identifiers.identifier_type
            and decisions.from_value = from_identifiers.raw_value
    inner join identifiers as to_identifiers
        on
            decisions.to_type = to_identifiers.identifier_type
            and decisions.to_value = to_identifiers.raw_value
    where from_identifiers.identifier_key <> to_identifiers.identifier_key

),

-- of several decisions about the same two identifiers, the one that stands last in the event log
last_decisions as (

    {{ deduplicate(
        'decisions_with_keys',
        'from_key, to_key',
        'received_at desc, segment desc, line desc, event_id desc'
    ) }}

),

standing as (

    select
        event_id,
        from_key,
        to_key,
        decision,
        reason,
        decided_by,
        decided_at
    from last_decisions
    where decision in ('join', 'keep_apart')

)

select * from standing
