with consent_states_derived as (

    select * from {{ ref('int_consent_states_derived') }}

),

consent_states as (

    select
        identifier_key,
        identifier_type,
        channel,
        purpose,
        consent_status as status,
        consent_status = 'withdrawn' as is_withdrawn,
        source_system,
        source_record,
        consent_event_id,
        cast(consent_event_count as bigint) as consent_event_count,
        consent_changed_at as last_changed_at
    from consent_states_derived

)

select * from consent_states
