with members_gated as (

    select * from {{ ref('int_audience_members_gated') }}
    where chosen_identifier_key is not null

),

contact_points as (

    select * from {{ ref('contact_points') }}

),

memberships as (

    select
        members_gated.audience_name,
        members_gated.canonical_id,
        members_gated.channel,
        members_gated.purpose,
        contact_points.identifier_type,
        contact_points.identifier_key,
        contact_points.identifier_value,
        contact_points.rule as consent_rule,
        contact_points.consent_event_id
    from members_gated
    inner join contact_points
        on
            members_gated.canonical_id = contact_points.canonical_id
            and members_gated.channel = contact_points.channel
            and members_gated.purpose = contact_points.purpose
            and members_gated.chosen_identifier_key = contact_points.identifier_key

)

select * from memberships
