{#
  The rules of identity_rules.yml with every default filled in: a dict with `types` (strongest first), `tiers`,
  `least_tier`, `guards` and `blocked_values`. The variable `identity_rules` puts other rules in their place for one
  command; that is how a change is tried before it is made.
#}
{% macro identity_rules() -%}
    {%- set declared = declared_rules('identity_rules', 'int_identity_rules') -%}
    {%- set types = [] -%}
    {%- for name, rule in declared.get('identifier_types', {}).items() -%}
        {%- set kind = rule.get('kind') -%}
        {%- if kind not in ('authoritative', 'mergeable') -%}
            {{ identity_rules_error(name ~ '.kind is ' ~ kind ~ ', expected authoritative or mergeable') }}
        {%- elif not rule.get('priority') is integer -%}
            {{ identity_rules_error(name ~ '.priority is ' ~ rule.get('priority') ~ ', expected a number, 1 for the strongest') }}
        {%- endif -%}
        {%- set per_person = rule.get('per_person') or ({'most': 1} if kind == 'authoritative' else {}) -%}
        {%- set limits = [] -%}
        {%- for limit in rule.get('per_identifier', []) -%}
            {%- if limit.get('type') not in declared.identifier_types -%}
                {{ identity_rules_error(name ~ '.per_identifier names the type ' ~ limit.get('type') ~ ', which is not declared') }}
            {%- endif -%}
            {%- do limits.append({
                'type': limit.type, 'most': limit.most, 'within_days': limit.get('within_days')
            }) -%}
        {%- endfor -%}
        {%- do types.append({
            'name': name,
            'kind': kind,
            'priority': rule.priority,
            'envelope': rule.get('envelope'),
            'property': rule.get('property'),
            'most': per_person.get('most'),
            'within_days': per_person.get('within_days'),
            'per_identifier': limits,
        }) -%}
    {%- endfor -%}
    {%- if execute and not types -%}
        {{ identity_rules_error('no identifier type is declared') }}
    {%- endif -%}
    {%- set guards = {'most_identifiers': 600, 'least_loose_links': 2, 'most_rounds': 60} -%}
    {%- do guards.update(declared.get('guards') or {}) -%}
    {{ return({
        'types': types | sort(attribute='priority'),
        'tiers': declared.get('tiers') or {'default': 'strict'},
        'least_tier': declared.get('least_tier') or {},
        'guards': guards,
        'blocked_values': declared.get('blocked_values') or [],
    }) }}
{%- endmacro %}

{% macro identity_rules_error(problem) -%}
    {{ exceptions.raise_compiler_error(
        'identity_rules.yml: ' ~ problem ~ '; mend models/intermediate/identity/identity_rules.yml '
        ~ '(`cdp identity check` lists everything that is wrong with it)'
    ) }}
{%- endmacro %}

{# Tiers by name, the surest first; an operator's own word goes before any. #}
{% macro tier_ranks() -%}
    {{ return({'operator': 0, 'exact': 1, 'strict': 2, 'loose': 3}) }}
{%- endmacro %}

{# A number for a tier given as a column. #}
{% macro tier_rank(column) -%}
    case {{ column }}
        {%- for tier, rank in tier_ranks().items() %}
        when '{{ tier }}' then {{ rank }}
        {%- endfor %}
    end
{%- endmacro %}

{# The name of a tier given as a number. #}
{% macro tier_name(column) -%}
    case {{ column }}
        {%- for tier, rank in tier_ranks().items() %}
        when {{ rank }} then '{{ tier }}'
        {%- endfor %}
    end
{%- endmacro %}

{# The weakest tier, as a number, at which an address may be used for a purpose; the surest for one without a rule. #}
{% macro least_tier_rank(rules, purpose_column) -%}
    case {{ purpose_column }}
        {%- for purpose, tier in rules.least_tier.items() %}
        when '{{ purpose }}' then {{ tier_ranks()[tier] }}
        {%- endfor %}
        else 1
    end
{%- endmacro %}

{# How sure `source_column` is that identifiers of these two types in one record are one person. #}
{% macro tier_of_pair(rules, source_column, from_type, to_type) -%}
    {%- set ns = namespace(whens=[], otherwise=rules.tiers.get('default', 'strict'), is_open=true) -%}
    {%- for rule in rules.tiers.get('rules', []) if ns.is_open -%}
        {%- if not rule.get('types') or rule.types | sort == [from_type, to_type] | sort -%}
            {%- if rule.get('source') -%}
                {%- do ns.whens.append("when " ~ source_column ~ " = '" ~ rule.source ~ "' then '" ~ rule.tier ~ "'") -%}
            {%- else -%}
                {%- set ns.otherwise = rule.tier -%}
                {%- set ns.is_open = false -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if ns.whens -%}
    case {{ ns.whens | join(' ') }} else '{{ ns.otherwise }}' end
    {%- else -%}
    '{{ ns.otherwise }}'
    {%- endif -%}
{%- endmacro %}

{# Why a value says nothing about who somebody is; null for a value that may be used. #}
{% macro blocked_reason(rules, type_column, value_column) -%}
    {%- set ns = namespace(whens=[]) -%}
    {%- for rule in rules.blocked_values -%}
        {%- set of_type = '' if rule.type == 'any' else type_column ~ " = '" ~ rule.type ~ "' and " -%}
        {%- set values = rule.get('value') or [] -%}
        {%- for value in ([values] if values is string else values) -%}
            {%- do ns.whens.append([
                of_type ~ 'lower(' ~ value_column ~ ") = '" ~ (value | lower | replace("'", "''")) ~ "'",
                'the value is blocked'
            ]) -%}
        {%- endfor -%}
        {%- if rule.get('regex') -%}
            {%- do ns.whens.append([of_type ~ matches_regex('lower(' ~ value_column ~ ')', rule.regex), 'the form is blocked']) -%}
        {%- endif -%}
        {%- set domains = rule.get('domain') or [] -%}
        {%- for domain in ([domains] if domains is string else domains) -%}
            {%- set domain = domain | lower | replace("'", "''") -%}
            {%- do ns.whens.append([
                of_type ~ '(lower(' ~ value_column ~ ") like '%@" ~ domain ~ "' or lower(" ~ value_column ~ ") like '%." ~ domain ~ "')",
                'the domain is blocked'
            ]) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if ns.whens -%}
    case
        {%- for condition, reason in ns.whens %}
        when {{ condition }} then '{{ reason }}'
        {%- endfor %}
    end
    {%- else -%}
    cast(null as {{ dbt.type_string() }})
    {%- endif -%}
{%- endmacro %}
