"""The contestants: one module each, imported only in its own process, by the interpreter that has its packages."""
