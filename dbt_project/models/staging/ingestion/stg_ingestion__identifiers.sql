with identifiers as (

    select * from {{ source('raw', 'identifiers') }}

),

renamed as (

    select
        -- ids
        identifier_key,
        key_id,
        batch_id,

        -- strings
        identifier_type,
        raw_value,
        normalised_value as identifier_value,
        invalid_reason,

        -- booleans
        is_valid,

        -- timestamps
        first_seen_at
    from identifiers

)

select * from renamed
