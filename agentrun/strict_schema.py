"""Strict JSON schemas: the public place of `ensure_strict_json_schema`."""

from agentrun._strict import ensure_strict_json_schema

__all__ = ["ensure_strict_json_schema"]
