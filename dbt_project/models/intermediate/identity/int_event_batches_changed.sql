{#- the events as the last build left them -#}
{%- set events_built = identity_table('int_events_with_identifiers') -%}
{%- set former_events = load_relation(events_built) if execute else none -%}

with events as (

    select * from {{ ref('stg_events__events') }}

),

-- a row of a batch never changes, it comes or goes: sums tell which batch lost or won one
batches as (

    select
        batch_id,
        count(*) as row_count,
        sum(line) as line_sum,
        sum({{ epoch_microseconds('received_at') }} % 1000000007) as received_sum
    from events
    group by batch_id

),

{% if former_events %}
former_batches as (

    select
        batch_id,
        count(*) as row_count,
        sum(line) as line_sum,
        sum({{ epoch_microseconds('received_at') }} % 1000000007) as received_sum
    from {{ former_events }}
    group by batch_id

),
{% else %}
former_batches as (

    select * from batches
    where 1 = 0

),
{% endif %}

changed as (

    select
        coalesce(batches.batch_id, former_batches.batch_id) as batch_id,
        cast(coalesce(batches.row_count, 0) as bigint) as row_count,
        cast(coalesce(former_batches.row_count, 0) as bigint) as former_row_count
    from batches
    full join former_batches
        on batches.batch_id = former_batches.batch_id
    where
        batches.row_count is null
        or former_batches.row_count is null
        or batches.row_count <> former_batches.row_count
        or batches.line_sum <> former_batches.line_sum
        or batches.received_sum <> former_batches.received_sum

)

select * from changed
