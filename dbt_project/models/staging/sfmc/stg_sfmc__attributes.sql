with legacy_sfmc__attributes as (

    select * from {{ source('raw', 'legacy_sfmc__attributes') }}

),

-- overlapping extracts carry the same row again, under the same row_id
rows_once as (

    {{ deduplicate('legacy_sfmc__attributes', 'row_id', 'file_sha256, line') }}

),

renamed as (

    select
        -- ids
        row_id,
        client_id as account_id,
        subscriber_key,
        subscriber_id,
        file_sha256,

        -- strings
        email_address as raw_email,
        first_name,
        last_name,
        street,
        city,
        postal_code,
        country,
        phone as raw_phone,

        -- dates; a day has no clock, so none is taken off
        coalesce(
            cast({{ parse_us_timestamp('date_of_birth') }} as date),
            try_cast(date_of_birth as date)
        ) as birth_date
    from rows_once

)

select * from renamed
