with definitions as (

    select * from {{ source('raw', 'definitions') }}

),

renamed as (

    select
        -- ids
        content_hash,

        -- strings
        kind as definition_kind,
        name as definition_name,
        version as definition_version,
        content,

        -- timestamps
        loaded_at
    from definitions

)

select * from renamed
