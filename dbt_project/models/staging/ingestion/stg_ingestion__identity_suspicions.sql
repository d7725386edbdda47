with identity_suspicions as (

    select * from {{ source('raw', 'identity_suspicions') }}

),

renamed as (

    select
        -- ids
        from_key,
        to_key,
        rules_hash,

        -- strings
        agreement,

        -- numerics
        score,

        -- timestamps
        suspected_at,
        matched_at
    from identity_suspicions

)

select * from renamed
