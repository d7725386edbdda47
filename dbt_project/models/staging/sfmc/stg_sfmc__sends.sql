with legacy_sfmc__sent as (

    select * from {{ source('raw', 'legacy_sfmc__sent') }}

),

-- overlapping extracts carry the same row again, under the same row_id
rows_once as (

    {{ deduplicate('legacy_sfmc__sent', 'row_id', 'file_sha256, line') }}

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
        triggered_send_external_key,

        -- timestamps
        {{ sfmc_timestamp('event_date') }} as sent_at
    from rows_once

)

select * from renamed
