"""What the server of dbt_child does before it forks a child: it reads the project, for all of them."""

from tests.dbt_project.dbt_child import parsed_project

parsed_project()
