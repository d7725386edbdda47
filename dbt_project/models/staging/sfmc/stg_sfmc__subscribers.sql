with legacy_sfmc__subscribers as (

    select * from {{ source('raw', 'legacy_sfmc__subscribers') }}

),

-- overlapping extracts carry the same row again, under the same row_id
rows_once as (

    {{ deduplicate('legacy_sfmc__subscribers', 'row_id', 'file_sha256, line') }}

),

renamed as (

    select
        -- ids
        row_id,
        client_id as account_id,
        subscriber_key,
        subscriber_id,

        -- strings
        email_address as raw_email,
        status as subscriber_status,

        -- timestamps
        {{ sfmc_timestamp('date_held') }} as held_at,
        {{ sfmc_timestamp('date_created') }} as created_at,
        {{ sfmc_timestamp('date_unsubscribed') }} as unsubscribed_at
    from rows_once

)

select * from renamed
