with events_with_identifiers as (

    select * from {{ ref('int_events_with_identifiers') }}

),

identifiers_resolved as (

    select * from {{ ref('int_identifiers_resolved') }}

),

-- the strongest identifier that is known and not shared says whose event it is
identified as (

    select
        events_with_identifiers.event_id,
        events_with_identifiers.event_name,
        events_with_identifiers.source_system,
        events_with_identifiers.occurred_at,
        events_with_identifiers.received_at,
        coalesce(
            by_user_id.canonical_id,
            by_email.canonical_id,
            by_phone.canonical_id,
            by_anonymous_id.canonical_id
        ) as canonical_id
    from events_with_identifiers
    left join identifiers_resolved as by_user_id
        on events_with_identifiers.user_key = by_user_id.identifier_key
    left join identifiers_resolved as by_email
        on events_with_identifiers.email_key = by_email.identifier_key
    left join identifiers_resolved as by_phone
        on events_with_identifiers.phone_key = by_phone.identifier_key
    left join identifiers_resolved as by_anonymous_id
        on events_with_identifiers.anonymous_key = by_anonymous_id.identifier_key

)

select * from identified
