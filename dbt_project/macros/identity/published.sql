{# The id of a person, after the identifier that named her: a hash, the same on every engine. #}
{% macro person_id(key) -%}
    {{ dbt.hash("'person:' || " ~ key) }}
{%- endmacro %}

{#
  What was published before this moment, as a query over int_identity_assignments: identifier_key, canonical_id (null:
  nobody's any more), is_anchor, anchor_received_at, assigned_at. It is read as it stood before this build, so it is no `ref`:
  int_identity_assignments itself is built of the models that read it here. A model in another schema says which.
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
        assigned_at
    from {{ published }}
    where assigned_at < {{ as_of() }}
    {%- else -%}
    select
        cast(null as {{ dbt.type_string() }}) as identifier_key,
        cast(null as {{ dbt.type_string() }}) as canonical_id,
        cast(null as boolean) as is_anchor,
        cast(null as timestamp) as anchor_received_at,
        cast(null as timestamp) as assigned_at
    where 1 = 0
    {%- endif -%}
{%- endmacro %}

{#
  Before a state model appends: a build of the same moment replaces what it said, one of an earlier moment appends
  nothing (see `is_newest_moment`).
#}
{% macro forget_this_moment(column) -%}
    {%- if execute and is_incremental() and is_newest_moment(column) -%}
        delete from {{ this }} where {{ column }} = {{ as_of() }}
    {%- endif -%}
{%- endmacro %}

{# Whether no later moment than this one was ever recorded: what was published is never written again. #}
{% macro is_newest_moment(column) -%}
    {%- if not (execute and is_incremental()) -%}{{ return(true) }}{%- endif -%}
    {{ return(number_of('select count(*) as later_count from ' ~ this ~ ' where ' ~ column ~ ' > ' ~ as_of()) == 0) }}
{%- endmacro %}
