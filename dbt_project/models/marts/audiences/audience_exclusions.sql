with members_gated as (

    select * from {{ ref('int_audience_members_gated') }}

),

exclusions as (

    select
        audience_name,
        canonical_id,
        channel,
        purpose,
        exclusion_reason as reason
    from members_gated
    where chosen_identifier_key is null

)

select * from exclusions
