"""Parts that go beyond the core: filters for handoffs, prompts for handoffs."""
