-- Values that are no identifiers, by type and reason.
select
    identifier_type,
    refused_because,
    count(*) as raw_values
from intermediate.int_identifiers_checked
where refused_because is not null
group by all
order by all
