# SPDX-License-Identifier: Apache-2.0
"""What a session asks of policy node and robot, and how long it waits for them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoadCheckpoint:
    """Ask the policy node for this checkpoint; answer when it agrees or refuses."""

    path: str


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
    """Publish an instruction, '' to stop the policy; needs no answer.

    ``frames`` names the file for the episode's camera frames, '' where none are wanted.
    """

    text: str
    frames: str = ''


Command = LoadCheckpoint | UseToken | PrepareScene | ResetScene | SendInstruction


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait before an episode is invalid, [s].

    Attributes:
        connect: for robot and policy to appear, its checkpoint loaded, steady.
        load: for a checkpoint to become active, steady.
        answer: for a service of the robot to answer, steady.
        first_chunk: for the first chunk after an instruction, steady.
        silence: between chunks, steady.
        stall: for the node clock to move on, steady.
        settle: between the end of an episode and its record, so that late words about it are in.
        complaint: the same where it is invalid: diagnostics, which say why, come once a second.
        invalid_in_a_row: invalid episodes after which the study stops.

    """

    connect: float = 180.0
    load: float = 180.0
    answer: float = 20.0
    first_chunk: float = 15.0
    silence: float = 5.0
    stall: float = 10.0
    settle: float = 0.2
    complaint: float = 1.5
    invalid_in_a_row: int = 3
