"""Finds the adapters: every module in this package that defines an `Adapter` offers its type."""

import importlib
import inspect
import pkgutil
from functools import cache

import activation.adapters
from activation.adapters.base import Adapter


@cache
def adapter_types() -> dict[str, type[Adapter]]:
    """Type name -> adapter class, for every adapter file in the package."""
    found: dict[str, type[Adapter]] = {}
    for module_info in pkgutil.iter_modules(activation.adapters.__path__, "activation.adapters."):
        module = importlib.import_module(module_info.name)
        for _, member in inspect.getmembers(module, inspect.isclass):
            if (
                issubclass(member, Adapter)
                and not inspect.isabstract(member)
                and member.__module__ == module.__name__
            ):
                found[member.type_name] = member
    return found
