{#
  The columns together name one row: no value is missing and no combination stands twice.
  One test instead of `unique` and `not_null`: a test costs as much as a small model.
#}
{% test primary_key(model, columns) %}

with counted as (

    select
        {{ columns | join(', ') }},
        count(*) as row_count
    from {{ model }}
    group by {{ columns | join(', ') }}

),

validation_errors as (

    select * from counted
    where
        row_count > 1
        {% for column in columns %}
        or {{ column }} is null
        {% endfor %}

)

select * from validation_errors

{% endtest %}
