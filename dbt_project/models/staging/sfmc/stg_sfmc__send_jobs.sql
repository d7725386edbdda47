with legacy_sfmc__send_jobs as (

    select * from {{ source('raw', 'legacy_sfmc__send_jobs') }}

),

-- overlapping extracts carry the same row again, under the same row_id
rows_once as (

    {{ deduplicate('legacy_sfmc__send_jobs', 'row_id', 'file_sha256, line') }}

),

renamed as (

    select
        -- ids
        row_id,
        client_id as account_id,
        send_id,

        -- strings
        subject,
        email_name,
        from_email,
        job_status,

        -- timestamps
        {{ sfmc_timestamp('sent_time') }} as sent_at
    from rows_once

)

select * from renamed
