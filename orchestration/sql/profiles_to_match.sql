-- The profiles of the last run, as `cdp identity match` takes them: every trait as text.
select
    identifier_key,
    first_name,
    last_name,
    strftime(birth_date, '%Y-%m-%d') as date_of_birth,
    street,
    city,
    postal_code,
    country,
    raw_phone as phone,
    email
from intermediate.int_profiles_to_match
order by identifier_key
