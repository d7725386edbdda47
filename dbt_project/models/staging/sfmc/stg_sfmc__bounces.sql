with legacy_sfmc__bounces as (

    select * from {{ source('raw', 'legacy_sfmc__bounces') }}

),

-- overlapping extracts carry the same row again, under the same row_id
rows_once as (

    {{ deduplicate('legacy_sfmc__bounces', 'row_id', 'file_sha256, line') }}

),

renamed as (

    select
        -- ids
        row_id,
        client_id as account_id,
        send_id,
        subscriber_key,
        subscriber_id,
        list_id,
        batch_id as send_batch_id,

        -- strings
        email_address as raw_email,
        bounce_category,
        smtp_code,

        -- timestamps
        {{ sfmc_timestamp('event_date') }} as bounced_at
    from rows_once

)

select * from renamed
