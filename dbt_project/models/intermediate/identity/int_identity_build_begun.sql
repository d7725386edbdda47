-- depends_on: {{ ref('int_event_batches_changed') }}
{% set batches = ref('int_event_batches_changed') %}
{#- in a killed load the rows come before their commit -#}
{% set unfinished %}
    select batch_id
    from (select distinct batch_id from {{ ref('stg_events__events') }}) as batches
    where not {{ is_touched(ref('stg_ingestion__event_batches'), ['batch_id'], touched_column='batch_id') }}
    union all
    select file_sha256
    from (
        select distinct file_sha256 from {{ source('raw', 'legacy_sfmc__subscribers') }}
    ) as files
    where not {{ is_touched(
        "(select file_sha256 from " ~ ref('stg_ingestion__legacy_files') ~ " where file_status = 'accepted') as accepted",
        ['file_sha256'],
        touched_column='file_sha256'
    ) }}
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
