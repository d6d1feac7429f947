# SPDX-License-Identifier: Apache-2.0
"""What a session asks of policy node and robot."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UseToken:
    """Ask the policy node for the arm behind a token; answer when it agrees or refuses."""

    token: str


@dataclass(frozen=True, slots=True)
class PrepareScene:
    """Tell the robot which scene the next reset makes; answer when it agrees or refuses."""

    seed: int
    task: str
    variant: str


@dataclass(frozen=True, slots=True)
class ResetScene:
    """Reset the robot and its scene; the answer's text is the scene as JSON."""


@dataclass(frozen=True, slots=True)
class SendInstruction:
    """Publish an instruction, '' to stop the policy; needs no answer."""

    text: str


Command = UseToken | PrepareScene | ResetScene | SendInstruction
