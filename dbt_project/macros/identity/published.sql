{# The id of a person, after the identifier that named her: a hash, the same on every engine. #}
{% macro person_id(key) -%}
    {{ dbt.hash("'person:' || " ~ key) }}
{%- endmacro %}

{#
  What was published before this build, as a query over int_identity_assignments: identifier_key, canonical_id (null:
  nobody's any more), is_anchor, anchor_received_at, assigned_at, build_number. It is read as it stood before this build,
  so it is no `ref`: int_identity_assignments itself is built of the models that read it here. A model in another schema
  says which. A build as of an earlier moment sees what was published by then.
#}
{% macro published_before(schema_of=none) -%}
    {%- set published = load_relation(api.Relation.create(
        database=this.database, schema=(schema_of or this).schema, identifier='int_identity_assignments', type='table'
    )) if execute else none -%}
    {%- if published -%}
    select
        identifier_key,
        canonical_id,
        is_anchor,
        anchor_received_at,
        assigned_at,
        build_number
    from {{ published }}
    where
        assigned_at <= {{ as_of() }}
        and build_id <> '{{ invocation_id }}'
    {%- else -%}
    select
        cast(null as {{ dbt.type_string() }}) as identifier_key,
        cast(null as {{ dbt.type_string() }}) as canonical_id,
        cast(null as boolean) as is_anchor,
        cast(null as timestamp) as anchor_received_at,
        cast(null as timestamp) as assigned_at,
        cast(null as bigint) as build_number
    where 1 = 0
    {%- endif -%}
{%- endmacro %}

{# What the last build published, as a query; none in a full build, which looks at all that was ever published. #}
{% macro published_by_last_build() -%}
    {%- if is_delta() -%}
    select
        identifier_key,
        canonical_id,
        is_anchor,
        anchor_received_at,
        build_number
    from {{ identity_table('int_identity_assignments') }}
    where build_id in (select former_build_id from {{ ref('int_identity_build_begun') }})
    {%- else -%}
    select
        cast(null as {{ dbt.type_string() }}) as identifier_key,
        cast(null as {{ dbt.type_string() }}) as canonical_id,
        cast(null as boolean) as is_anchor,
        cast(null as timestamp) as anchor_received_at,
        cast(null as bigint) as build_number
    where 1 = 0
    {%- endif -%}
{%- endmacro %}

{#
  For identity_changes: the number of the last build of which it has told what it changed. A build that was killed half way
  leaves that of the one before. Where no whole build is known, all counts as told.
#}
{% macro last_build_told() -%}
    {%- set ended = load_relation(identity_build('ended')) if execute and is_incremental() else none -%}
    {%- set of_ended = number_of('select max(last_build_number) as last_number from ' ~ ended) if ended else 0 -%}
    {%- if not of_ended -%}{{ return(9223372036854775807) }}{%- endif -%}
    {{ return([of_ended, number_of('select max(told_build_number) as last_number from ' ~ this)] | max) }}
{%- endmacro %}

{#
  Whether no later moment than this one was ever recorded in this state model: what was published is never written again,
  and a build as of an earlier moment appends nothing.
#}
{% macro is_newest_moment(column) -%}
    {%- if not (execute and is_incremental()) -%}{{ return(true) }}{%- endif -%}
    {{ return(number_of('select count(*) as later_count from ' ~ this ~ ' where ' ~ column ~ ' > ' ~ as_of()) == 0) }}
{%- endmacro %}

{# The number of this build in a state model: one more than the last, so that two of one moment have an order. #}
{% macro next_build_number() -%}
    {%- if not (execute and is_incremental()) -%}{{ return(1) }}{%- endif -%}
    {{ return(number_of('select max(build_number) as last_number from ' ~ this) + 1) }}
{%- endmacro %}
