"""What can go wrong between the parts, by what must happen next."""


class OrchestrationError(Exception):
    """Base of every error that `cdp` explains in one line."""


class TransientOrchestrationError(OrchestrationError):
    """The same command may succeed later without any change."""


class FatalOrchestrationError(OrchestrationError):
    """A person must mend something before the same command can succeed."""


class WarehouseBusyError(TransientOrchestrationError):
    """Another process holds the warehouse and did not let go in the time allowed."""


class WarehouseCorruptError(FatalOrchestrationError):
    """The warehouse file is there and cannot be read as a DuckDB database."""


class SnapshotMissingError(FatalOrchestrationError):
    """No run has published a snapshot yet, so there is nothing to read."""


class QueryRefusedError(FatalOrchestrationError):
    """A statement failed, or would have left the read-only snapshot."""


class DbtFailedError(FatalOrchestrationError):
    """dbt ended with an error; its log says where."""


class RunFailedError(FatalOrchestrationError):
    """A run ended without success; its details stand in the Dagster UI."""


class DeploymentError(FatalOrchestrationError):
    """What is configured does not fit together, or does not fit what CDP_HOME already holds."""


class SyncIncompleteError(TransientOrchestrationError):
    """A sync could not deliver all that was wanted; what is left waits for the next run or a person's yes."""
