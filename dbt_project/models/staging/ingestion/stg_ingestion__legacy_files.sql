with legacy_files as (

    select * from {{ source('raw', 'legacy_files') }}

),

renamed as (

    select
        -- ids
        file_sha256,

        -- strings
        system as legacy_system,
        archive_name,
        member_name,
        kind as file_kind,
        status as file_status,
        code,
        reason,

        -- numerics
        row_count,

        -- timestamps
        loaded_at
    from legacy_files

)

select * from renamed
