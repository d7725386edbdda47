-- depends_on: {{ ref('int_identity_build_begun') }}
{# the identifiers as the last build left them; a full one does not ask #}
{% set former_identifiers = identity_table('int_identifiers_checked') if is_delta() else none %}

with identifiers as (

    select
        batch_id,
        key_id,
        first_seen_at as received_at
    from {{ ref('stg_ingestion__identifiers') }}

),

changed as (

    {{ batches_changed('identifiers', former_identifiers, [
        'min(key_id)', 'max(key_id)', 'sum(' ~ epoch_microseconds('received_at') ~ ' % 1000000007)'
    ]) }}

)

select * from changed
