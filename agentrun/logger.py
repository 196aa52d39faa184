"""The logger of agentrun, and how to see what it says.

Source: configuration, "Debug logging".
"""

from agentrun._logging import enable_verbose_stdout_logging
from agentrun._logging import log as logger

__all__ = ["enable_verbose_stdout_logging", "logger"]
