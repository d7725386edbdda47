{# The rules of trait_rules.yml: `traits` (name, survivor, sources with model and column) and `trusted_sources`. #}
{% macro trait_rules() -%}
    {%- set declared = declared_rules('trait_rules', 'int_profile_traits_chosen') -%}
    {%- set traits = [] -%}
    {%- for name, rule in declared.get('traits', {}).items() -%}
        {%- set survivor = rule.get('survivor') -%}
        {%- if survivor not in ('most_recent', 'earliest', 'most_frequent', 'most_trusted') -%}
            {{ exceptions.raise_compiler_error(
                'trait_rules.yml: traits.' ~ name ~ '.survivor is ' ~ survivor
                ~ ', expected most_recent, earliest, most_frequent or most_trusted; correct '
                ~ 'models/intermediate/behaviour/trait_rules.yml'
            ) }}
        {%- endif -%}
        {%- set sources = [] -%}
        {%- for model, column in rule.get('from', {}).items() -%}
            {%- if model not in ('sign_ups', 'identifications', 'orders') -%}
                {{ exceptions.raise_compiler_error(
                    'trait_rules.yml: traits.' ~ name ~ '.from names ' ~ model ~ ', expected sign_ups, identifications or '
                    ~ 'orders; add its import to int_trait_values_identified.sql first'
                ) }}
            {%- endif -%}
            {%- do sources.append({'model': model, 'column': column}) -%}
        {%- endfor -%}
        {%- do traits.append({'name': name, 'survivor': survivor, 'sources': sources}) -%}
    {%- endfor -%}
    {{ return({'traits': traits, 'trusted_sources': declared.get('trusted_sources', [])}) }}
{%- endmacro %}

{# What a value weighs by a rule; the smaller goes first, and the last one given among equals. #}
{% macro survivor_weight(rules, survivor) -%}
    {%- if survivor == 'earliest' -%}
    {{ epoch_microseconds('trait_values.occurred_at') }}
    {%- elif survivor == 'most_frequent' -%}
    -1 * given.given_count
    {%- elif survivor == 'most_trusted' -%}
    case trait_values.source_system
        {%- for source in rules.trusted_sources %}
        when '{{ source }}' then {{ loop.index }}
        {%- endfor %}
        else {{ rules.trusted_sources | length + 1 }}
    end
    {%- else -%}
    0
    {%- endif -%}
{%- endmacro %}
