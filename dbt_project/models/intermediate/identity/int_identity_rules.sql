{% set rules = identity_rules() %}

with rules as (

    {% for type in rules.types %}
    select
        '{{ type.name }}' as identifier_type,
        '{{ type.kind }}' as kind,
        cast({{ type.priority }} as bigint) as priority,
        cast({{ type.most if type.most is not none else 'null' }} as bigint) as most_per_person,
        cast({{ type.within_days if type.within_days is not none else 'null' }} as bigint)
            as within_days
    {% if not loop.last %}
    union all
    {% endif %}
    {% endfor %}

)

select * from rules
