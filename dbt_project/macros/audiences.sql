{#
  The audiences of the project, as their files declare them: a list of dicts with name, description, owner,
  purpose and channels. Reads the configuration of each model named in the variable `audiences`.
#}
{% macro audience_definitions() -%}
    {%- set definitions = [] -%}
    {%- for name in var('audiences') | sort -%}
        {%- set node = graph.nodes.get('model.' ~ project_name ~ '.audience_' ~ name) if execute else none -%}
        {%- set meta = node.config.meta if node else {} -%}
        {%- if node -%}
            {%- for field in ['description', 'owner', 'purpose', 'channels'] if not meta.get(field) -%}
                {{ exceptions.raise_compiler_error(
                    'audience ' ~ name ~ ': its config(meta=…) in models/marts/audiences/audience_' ~ name
                    ~ '.sql has no `' ~ field ~ '`; add it (see an audience beside it for the form)'
                ) }}
            {%- endfor -%}
        {%- endif -%}
        {%- do definitions.append({
            'name': name,
            'description': meta.get('description', ''),
            'owner': meta.get('owner', ''),
            'purpose': meta.get('purpose', ''),
            'channels': meta.get('channels', ['']),
        }) -%}
    {%- endfor -%}
    {{ return(definitions) }}
{%- endmacro %}

{# Stops with a sentence when an audience does not say who is in it. #}
{% macro require_canonical_id(relation, name) -%}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {%- set columns = adapter.get_columns_in_relation(relation) | map(attribute='name') | list -%}
        {%- if columns and 'canonical_id' not in columns -%}
            {{ exceptions.raise_compiler_error(
                'audience ' ~ name ~ ': expected a column canonical_id, found ' ~ columns | join(', ')
                ~ '; select canonical_id in models/marts/audiences/audience_' ~ name ~ '.sql'
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# The body of every newsletter audience: everyone whose country is the given one. #}
{% macro newsletter_audience(country_code) -%}
    with profiles as (

        select * from {{ ref('profiles') }}

    ),

    people_in_country as (

        select canonical_id
        from profiles
        where country_code = '{{ country_code }}'

    )

    select * from people_in_country
{%- endmacro %}
