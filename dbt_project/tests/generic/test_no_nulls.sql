{# None of the columns is ever empty. Returns the rows where one is. #}
{% test no_nulls(model, columns) %}

with validation_errors as (

    select * from {{ model }}
    where
        {% for column in columns %}
        {{ 'or ' if not loop.first }}{{ column }} is null
        {% endfor %}

)

select * from validation_errors

{% endtest %}
