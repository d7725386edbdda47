-- depends_on: {{ ref('int_event_batches_changed') }}
{% set batches = ref('int_event_batches_changed') %}
{#- in a killed load the rows come before their commit -#}
{% set unfinished %}
    select events.batch_id
    from {{ ref('stg_events__events') }} as events
    left join {{ ref('stg_ingestion__event_batches') }} as batches
        on events.batch_id = batches.batch_id
    where batches.batch_id is null
    union all
    select subscribers.file_sha256
    from {{ source('raw', 'legacy_sfmc__subscribers') }} as subscribers
    left join {{ ref('stg_ingestion__legacy_files') }} as files
        on
            subscribers.file_sha256 = files.file_sha256
            and files.file_status = 'accepted'
    where files.file_sha256 is null
{% endset %}
{% set former, reason, fingerprint = none, 'it is the first', '' %}
{% if execute and load_relation(batches) %}
    {% set former = former_identity_build() %}
    {% set fingerprint = identity_fingerprint() %}
    {% set reason = reason_for_full_build(fingerprint, batches, unfinished) %}
{% endif %}

select
    '{{ invocation_id }}' as build_id,
    cast({{ "'" ~ former ~ "'" if former else 'null' }} as {{ dbt.type_string() }})
        as former_build_id,
    '{{ fingerprint }}' as fingerprint,
    {{ as_of() }} as as_of,
    cast({{ 'true' if reason else 'false' }} as boolean) as is_full,
    cast({{ "'" ~ reason ~ "'" if reason else 'null' }} as {{ dbt.type_string() }})
        as is_full_because
