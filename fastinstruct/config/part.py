"""What every part of a configuration has in common.

Knows nothing of what can be set.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

__all__ = ["Part"]


class Part(BaseModel):
    """A frozen part of the configuration that refuses keys it does not know."""

    # Inputs are hidden because they may be keys; `loading` shows those that cannot be.
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True, hide_input_in_errors=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_stray_boolean(cls, value: object, info: ValidationInfo) -> object:
        """Refuse `target: true`, which Python takes for 1."""
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            msg = "must not be true or false"
            raise ValueError(msg)
        return value
