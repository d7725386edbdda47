with contact_points_decided as (

    select * from {{ ref('int_contact_points_decided') }}

),

contact_points as (

    select
        canonical_id,
        channel,
        purpose,
        identifier_type,
        identifier_key,
        identifier_value,
        decision,
        rule,
        preference_rank = 1 as is_preferred,
        identity_tier,
        country_code,
        policy_version,
        consent_event_id,
        last_seen_at
    from contact_points_decided

)

select * from contact_points
