"""How a tokenizer is written into a run or a corpus and read back: its name and its settings, nothing else."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, ClassVar, Self

from musicgen.errors import UsageError
from musicgen.schemas import filled

__all__ = ["FromSettings"]


class FromSettings:
    """A tokenizer that is made of one frozen dataclass, `Settings`."""

    name: ClassVar[str]
    Settings: ClassVar[type]

    def __init__(self, settings: Any = None) -> None:
        self.settings = settings or self.Settings()

    @property
    def spec(self) -> dict[str, Any]:
        """Plain values for JSON; `from_spec` takes them back."""
        return {"name": self.name, **asdict(self.settings)}

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> Self:
        """Rebuild from `spec`. Raises UsageError for a key that is no setting, or a value of the wrong kind."""
        settings = {k: v for k, v in spec.items() if k != "name"}
        unknown = set(settings) - {f.name for f in fields(cls.Settings)}
        if unknown:
            raise UsageError(f"the tokenizer {cls.name} has no setting {min(unknown)!r}")
        return cls(filled(cls.Settings, settings, where=None, error=UsageError, hint=None))
