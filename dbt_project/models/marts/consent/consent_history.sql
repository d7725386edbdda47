with consent_events as (

    select * from {{ ref('int_consent_events') }}

),

consent_history as (

    select
        consent_event_id,
        identifier_key,
        identifier_type,
        channel,
        purpose,
        consent_status as status,
        capture_method,
        legal_basis,
        policy_version,
        source_system,
        source_record,
        consent_changed_at,
        recorded_at
    from consent_events

)

select * from consent_history
