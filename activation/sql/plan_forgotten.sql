-- Keys that left the source in a mode that forgets them: when they come back they are new.
select plan_acknowledged.destination_key
from plan_acknowledged
anti join plan_desired
    on plan_desired.destination_key = plan_acknowledged.destination_key
order by plan_acknowledged.destination_key
