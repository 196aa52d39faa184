"""Refuse a question while the model is already being asked."""

from __future__ import annotations

from typing import Any

import anyio

from agentrun import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrailTripwireTriggered,
    RunContextWrapper,
    Runner,
    TResponseInputItem,
    input_guardrail,
)


@input_guardrail
async def no_card_numbers(
    context: RunContextWrapper[Any], agent: Agent[Any], given: str | list[TResponseInputItem]
) -> GuardrailFunctionOutput:
    """Trip when the input holds what looks like the number of a credit card."""
    digits = sum(letter.isdigit() for letter in str(given))
    return GuardrailFunctionOutput(output_info={"digits": digits}, tripwire_triggered=digits >= 16)


agent = Agent("Shop assistant", instructions="Help customers.", input_guardrails=[no_card_numbers])


async def main() -> None:
    """Ask two questions, one of which is refused."""
    for question in ("Do you have tea?", "Charge 4111 1111 1111 1111, please."):
        try:
            result = await Runner.run(agent, question)
        except InputGuardrailTripwireTriggered as tripped:
            print("refused:", tripped.guardrail_result.output.output_info)
        else:
            print(result.final_output)


if __name__ == "__main__":
    anyio.run(main)
