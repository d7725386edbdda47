"""dagster-dbt, imported the way it is where dbt-core is not installed beside it.

dbt runs as a process of its own here; with dbt-core at hand dagster-dbt would also import it into every
process of ours, which costs each `cdp run` some three seconds. All of dagster-dbt is imported from here.
"""

import sys

_DBT = "dbt.version"
_found = sys.modules.get(_DBT)
sys.modules[_DBT] = None  # type: ignore[assignment]  # the documented way to make an import fail
try:
    from dagster_dbt import (
        DagsterDbtTranslator,
        DagsterDbtTranslatorSettings,
        DbtCliResource,
        dbt_assets,
    )
finally:
    del sys.modules[_DBT]
    if _found is not None:
        sys.modules[_DBT] = _found

__all__ = ["DagsterDbtTranslator", "DagsterDbtTranslatorSettings", "DbtCliResource", "dbt_assets"]
