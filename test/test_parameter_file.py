# SPDX-License-Identifier: Apache-2.0
"""A file with parameters is read whole before anything starts; what ROS would ignore is named."""

from pathlib import Path

import pytest

from vla_drop_ros.errors import VlaDropError
from vla_drop_ros.parameter_file import parameters_in, TEMPLATES
from vla_drop_ros.resources import share_path


@pytest.mark.parametrize('name', TEMPLATES)
def test_the_shipped_files_are_such_files(name: str) -> None:
    """Whoever copies one can use it."""
    found = parameters_in(share_path('config', TEMPLATES[name]))
    assert 'robot' in found[name]
    assert all(not values for other, values in found.items() if other != name)


def test_sections_are_of_nodes_in_any_namespace(tmp_path: Path) -> None:
    """The last word of a section is the node; two stars are all of them."""
    path = tmp_path / 'mine.yaml'
    path.write_text("""
/**: {ros__parameters: {use_sim_time: true}}
/left/policy_node: {ros__parameters: {threads: 4}}
command_gate: {ros__parameters: {blend: 0.3}}
""")
    assert parameters_in(path) == {'policy_node': {'use_sim_time': True, 'threads': 4},
                                   'command_gate': {'use_sim_time': True, 'blend': 0.3}}


@pytest.mark.parametrize(('text', 'words'), [
    ('', 'no section'), ('[1]', 'no section'), ('a: [', 'cannot be read'),
    ('\0', 'cannot be read'),
    ('policy_node: {threads: 4}', 'ros__parameters'), ('policy_node: 3', 'ros__parameters'),
    ('policy: {ros__parameters: {threads: 4}}', "'policy'"),
    ('policy_node: {ros__parameters: {thread: 4}}', "'thread'")])
def test_what_would_be_ignored_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """The sentence names the file and what is wrong."""
    path = tmp_path / 'mine.yaml'
    path.write_text(text)
    with pytest.raises(VlaDropError, match=words) as caught:
        parameters_in(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(VlaDropError, match='gone.yaml cannot be read'):
        parameters_in(tmp_path / 'gone.yaml')
