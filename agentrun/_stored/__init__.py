"""RunState as JSON and back: data with a schema version, agents by name, every value checked where it is read.

What is read may come from anywhere. So nothing of it is looked up as an attribute or import, sizes and depth are
checked before anything else, and whatever does not fit is a `UserError` with the path in the JSON.
"""

from agentrun._stored.reading import KNOWN_VERSIONS, ContextDeserializer, state_from_json
from agentrun._stored.text import from_text, plain_copy, to_text
from agentrun._stored.writing import SCHEMA_VERSION, ContextSerializer, state_to_json

__all__ = [
    "KNOWN_VERSIONS",
    "SCHEMA_VERSION",
    "ContextDeserializer",
    "ContextSerializer",
    "from_text",
    "plain_copy",
    "state_from_json",
    "state_to_json",
    "to_text",
]
