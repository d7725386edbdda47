{#
  The steps of a materialization: tables that live for its length. `made` is the list that names them, so that
  `drop_scratch` finds every one.
#}
{% macro scratch(made, suffix, query) -%}
    {{ return(adapter.dispatch('scratch', 'cdp')(made, suffix, query)) }}
{%- endmacro %}

{% macro default__scratch(made, suffix, query) -%}
    {%- set relation = api.Relation.create(identifier=this.identifier ~ '__' ~ suffix) -%}
    {%- do run_query('create or replace temporary table ' ~ relation ~ ' as ' ~ query) -%}
    {%- if relation not in made -%}{%- do made.append(relation) -%}{%- endif -%}
    {{ return(relation) }}
{%- endmacro %}

{# Spark's temporary views are lazy: a step that must not be computed again needs a table. #}
{% macro spark__scratch(made, suffix, query) -%}
    {#- a table that reads its own former state cannot replace itself, so each step has a number -#}
    {%- set relation = api.Relation.create(
        schema=this.schema, identifier=this.identifier ~ '__' ~ suffix ~ '_' ~ (made | length)
    ) -%}
    {%- do run_query('drop table if exists ' ~ relation) -%}
    {%- do run_query('create table ' ~ relation ~ ' using delta as ' ~ query) -%}
    {%- do made.append(relation) -%}
    {{ return(relation) }}
{%- endmacro %}

{# The same for a step whose number of rows decides what follows: returns the relation and that number. #}
{% macro counted_scratch(made, suffix, query) -%}
    {{ return(adapter.dispatch('counted_scratch', 'cdp')(made, suffix, query)) }}
{%- endmacro %}

{% macro default__counted_scratch(made, suffix, query) -%}
    {%- set relation = scratch(made, suffix, query) -%}
    {{ return([relation, number_of('select count(*) as row_count from ' ~ relation)]) }}
{%- endmacro %}

{# DuckDB answers a `create table as` with the number of its rows. #}
{% macro duckdb__counted_scratch(made, suffix, query) -%}
    {%- set relation = api.Relation.create(identifier=this.identifier ~ '__' ~ suffix) -%}
    {%- set answer = run_query('create or replace temporary table ' ~ relation ~ ' as ' ~ query) -%}
    {%- if relation not in made -%}{%- do made.append(relation) -%}{%- endif -%}
    {{ return([relation, answer.columns[0].values()[0]]) }}
{%- endmacro %}

{# Gives the memory of these steps back; a relation that is gone already is no error. #}
{% macro drop_scratch(relations) -%}
    {%- do adapter.dispatch('drop_scratch', 'cdp')(relations) -%}
{%- endmacro %}

{% macro default__drop_scratch(relations) -%}
    {%- for relation in relations -%}
        {%- do run_query('drop table if exists ' ~ relation) -%}
    {%- endfor -%}
{%- endmacro %}

{% macro duckdb__drop_scratch(relations) -%}
    {%- set drops = [] -%}
    {%- for relation in relations -%}{%- do drops.append('drop table if exists ' ~ relation) -%}{%- endfor -%}
    {%- if drops -%}{%- do run_query(drops | join('; ')) -%}{%- endif -%}
{%- endmacro %}

{# The one number that a query answers. #}
{% macro number_of(query) -%}
    {{ return(run_query(query).columns[0].values()[0] or 0) }}
{%- endmacro %}
