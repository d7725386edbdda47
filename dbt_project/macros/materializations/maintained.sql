{#
  A table that is kept up to date by replacing what was touched.

  In a full build it is made anew. In a build by what changed (`is_delta`) the model's SQL selects only the rows about what
  was touched, and they take the place of the former rows about the same: those of which the columns named by the config
  `touched_by` are in the column `touched_column` of the model `touched`, one of them or, with `touched_all_of`, all. A table
  of which no row ever goes names no such model: a row takes the place of that with the same `touched_by`.

  A table that is built outside of a whole build of the identity models is made anew from what it reads, and the next whole
  build is a full one.
#}
{% materialization maintained, supported_languages=['sql'] %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing_relation = load_cached_relation(this) -%}
    {%- set made = [] -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- if is_delta() -%}
        {%- set touched_by = config.require('touched_by') -%}
        {%- set fresh = scratch(made, 'fresh', sql) -%}
        {%- if config.get('touched') -%}
            {%- set is_replaced = is_touched(
                ref(config.get('touched')),
                touched_by,
                config.get('touched_all_of', false),
                config.get('touched_column', 'identifier_key')
            ) -%}
        {%- else -%}
            {%- set is_replaced = is_touched(fresh, touched_by, touched_column=touched_by[0]) -%}
        {%- endif -%}
        {%- do replace_touched(made, target_relation, fresh, is_replaced) -%}
    {%- else -%}
        {%- do make_anew(target_relation, existing_relation, sql) -%}
    {%- endif -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do persist_docs(target_relation, model) %}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}


{# Puts the rows of `fresh` in the place of those that meet a condition. #}
{% macro replace_touched(made, target_relation, fresh, is_replaced) -%}
    {%- do run_query('delete from ' ~ target_relation ~ ' where ' ~ is_replaced) -%}
    {% call statement('main') -%}
        insert into {{ target_relation }} by name select * from {{ fresh }}
    {%- endcall %}
    {%- do drop_scratch(made) -%}
{%- endmacro %}


{# Makes the table of all rows; what stands on it can not build on what was touched any more, unless this is a whole build. #}
{% macro make_anew(target_relation, existing_relation, rows_sql) -%}
    {%- set ended = load_relation(identity_build('ended')) -%}
    {%- if ended is not none and not is_begun_by_this_command() -%}
        {%- do run_query('delete from ' ~ ended) -%}
    {%- endif -%}
    {%- if existing_relation is not none -%}{%- do adapter.drop_relation(existing_relation) -%}{%- endif -%}
    {% call statement('main') -%}
        {{ create_table_as(False, target_relation, rows_sql) }}
    {%- endcall %}
{%- endmacro %}
