{#
  Rules that a YAML file declares as the meta `name` of a model; the variable of the same name puts others in their place for
  one command. A unit test sees no graph: it says its rules in `overrides.vars`.
#}
{% macro declared_rules(name, model) -%}
    {%- set node = graph.get('nodes', {}).get('model.' ~ project_name ~ '.' ~ model) if execute else none -%}
    {{ return(var(name, none) or (node.config.meta.get(name) if node) or {}) }}
{%- endmacro %}
