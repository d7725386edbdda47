-- depends_on: {{ ref('int_event_batches_changed') }}
{% set fingerprint = identity_fingerprint() if execute else '' %}
{#- in a killed load the rows come before their commit -#}
{% set unfinished %}
    select batch_id
    from {{ ref('stg_events__events') }}
    where batch_id not in (select batch_id from {{ ref('stg_ingestion__event_batches') }})
    union all
    select file_sha256
    from {{ source('raw', 'legacy_sfmc__subscribers') }}
    where
        file_sha256 not in (
            select file_sha256
            from {{ ref('stg_ingestion__legacy_files') }}
            where file_status = 'accepted'
        )
{% endset %}
{% set reason = reason_for_full_build(fingerprint, ref('int_event_batches_changed'), unfinished) if execute else none %}

select
    '{{ invocation_id }}' as build_id,
    '{{ fingerprint }}' as fingerprint,
    {{ as_of() }} as as_of,
    cast({{ 'true' if reason else 'false' }} as boolean) as is_full,
    cast({{ "'" ~ reason ~ "'" if reason else 'null' }} as {{ dbt.type_string() }}) as is_full_because
