# SPDX-License-Identifier: Apache-2.0
"""The package is what its metadata says, and its parts stay in their rooms."""

import ast
from collections.abc import Iterator
from pathlib import Path
import re
import subprocess
import sys
from typing import Any
import xml.etree.ElementTree as ElementTree

import pytest

import vla_drop_ros

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'vla_drop_ros'
SOURCES = sorted(path for folder in ('vla_drop_ros', 'bench', 'launch', 'test', 'tools')
                 for path in (ROOT / folder).rglob('*.py')) + [ROOT / 'setup.py']

FILE_LINES = 400
NODE_LINES = 250
VAGUE_NAMES = {'utils', 'util', 'helpers', 'helper', 'manager', 'common', 'misc'}
MACHINE_PATH = re.compile(r'(?<![\w.}])/(home|root|work|mnt|Users|scratch|opt/(?!ros))/?\w')

ROS = {
    'ament_index_python', 'builtin_interfaces', 'control_msgs', 'cv_bridge', 'diagnostic_msgs',
    'geometry_msgs', 'launch', 'launch_ros', 'lifecycle_msgs', 'moveit_msgs', 'rcl_interfaces',
    'rclpy', 'rosgraph_msgs', 'sensor_msgs', 'std_msgs', 'std_srvs', 'tf2_msgs',
    'trajectory_msgs',
}
TORCH = {'accelerate', 'torch', 'transformers', 'safetensors', 'tokenizers', 'lerobot', 'peft'}
# Python import -> rosdep key, where the two differ.
ROSDEP_KEYS = {
    'PIL': 'python3-pil', 'cv2': 'python3-opencv', 'matplotlib': 'python3-matplotlib',
    'numpy': 'python3-numpy', 'rich': 'python3-rich', 'scipy': 'python3-scipy',
    'yaml': 'python3-yaml',
}
# No rosdep key that a released package may use; an extra of setup.py names each.
PIP_ONLY = {'accelerate', 'av', 'draccus', 'gymnasium', 'lerobot', 'mink', 'mujoco', 'peft',
            'pyarrow', 'ray', 'rosbags', 'safetensors', 'starlette', 'statsmodels', 'tokenizers',
            'torch', 'transformers', 'uvicorn'}

# Layer -> (layers that it may import, third-party packages that it must not). A layer is a
# folder or a module of the package; importing inside the own layer is free.
DATA = {'errors', 'types', 'resources', 'manifest'}
OFFLINE = DATA | {'checkpoint', 'families', 'fingerprint', 'weights'}
CONTRACT = {'errors', 'types', 'robot_contract'}
ONLINE = {'errors', 'types', 'resources', 'robot_contract'}
PROCESSES = ONLINE | {'bringup', 'contract_file', 'manifest', 'shared_memory', 'simulation',
                      'graph_arguments', 'parameter_file', 'supervisor'}
EVERYTHING = {path.stem for path in PACKAGE.iterdir()}
LAYERS: dict[str, tuple[set[str], set[str]]] = {
    'errors': (set(), ROS | TORCH),
    'types': ({'errors'}, ROS | TORCH),
    'resources': ({'errors'}, ROS | TORCH),
    'manifest': ({'errors', 'types'}, ROS | TORCH),
    'robot_contract': ({'errors', 'types'}, ROS | TORCH),
    'contracts': (CONTRACT, ROS | TORCH),
    'contract_file': (CONTRACT | {'contracts'}, ROS | TORCH),
    'contract_schema': (CONTRACT | {'contracts'}, ROS | TORCH),
    'rosetta_contract': (CONTRACT | {'contract_file', 'contracts'}, ROS | TORCH),
    'live': (CONTRACT | {'contracts', 'runtime'}, TORCH),
    'graph_check': (CONTRACT | {'contracts', 'live'}, TORCH),
    'runtime': (ONLINE, ROS | TORCH),
    'simulation': (ONLINE, ROS | TORCH),
    'trials': (ONLINE, ROS | TORCH),
    'console': ({'errors', 'trials'}, ROS | TORCH),
    'report': ({'errors', 'trials'}, ROS | TORCH),
    'shared_memory': ({'errors'}, ROS | TORCH),
    'graph_arguments': ({'errors'}, ROS | TORCH),
    'parameter_file': ({'errors', 'resources'}, ROS | TORCH),
    'bringup': (PROCESSES, ROS | TORCH),
    'supervisor': (PROCESSES, ROS | TORCH),
    'lifeline': (set(), ROS | TORCH),
    'dashboard': ({'errors'}, ROS | TORCH),
    'preflight': (PROCESSES, TORCH),
    'launch_description': (PROCESSES, TORCH),
    'dataset': (DATA | {'robot_contract', 'runtime'}, ROS | TORCH),
    'families': (DATA, ROS),
    'weights': (DATA, ROS),
    'fingerprint': (DATA | {'families'}, ROS),
    'checkpoint': (OFFLINE, ROS),
    'policies': (OFFLINE | {'dataset'}, ROS),
    'pruning': (OFFLINE, ROS),
    'recovery': (OFFLINE | {'dataset', 'policies', 'pruning'}, ROS),
    'evaluation': (OFFLINE | {'policies', 'reference', 'simulation'}, ROS),
    'evidence': (OFFLINE | {'dataset', 'evaluation', 'policies', 'pruning', 'recovery',
                            'simulation', 'trials'}, ROS),
    'reference': (OFFLINE | {'dataset', 'policies', 'pruning', 'simulation'}, ROS),
    'nodes': (PROCESSES | {'console', 'policies.registry', 'runtime', 'trials'}, TORCH),
    'cli': (EVERYTHING - {'nodes'}, set()),
    '__main__': ({'cli'}, ROS | TORCH),
    '__init__': (set(), ROS | TORCH),
}
# Layers whose modules a robot PC without torch and a desk without ROS must be able to import.
LIGHT = sorted(layer for layer, (_, without) in LAYERS.items()
               if layer != '__main__' and without >= ROS | TORCH)


def imported_modules(path: Path) -> Iterator[str]:
    """Yield what a file imports, wherever in it; ``from a import b`` yields ``a.b``."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: use absolute imports'
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


def layer_of(path: Path) -> str:
    """Return the first folder, or the module, below the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


def violations(path: Path) -> Iterator[str]:
    """Yield what a file of the package imports against the table."""
    layer = layer_of(path)
    allowed, forbidden = LAYERS[layer]
    for module in imported_modules(path):
        first, *rest = module.split('.')
        if first in forbidden:
            yield f'{path.relative_to(ROOT)} imports {module}'
        if first != 'vla_drop_ros' or rest[0].startswith('__'):
            continue
        if not {layer, *allowed} & {rest[0], '.'.join(rest[:2])}:
            yield f'{path.relative_to(ROOT)} imports {module}'


def test_every_module_has_a_layer() -> None:
    """A new folder or module is placed in the table before anything can import it."""
    layers = {layer_of(path) for path in PACKAGE.rglob('*.py')}
    assert layers == set(LAYERS)


def test_imports_point_one_way() -> None:
    """No import, not even inside a function, goes against the direction of the design."""
    found = [line for path in sorted(PACKAGE.rglob('*.py')) for line in violations(path)]
    assert not found, '\n'.join(found)


# A finder that hides packages. (None in sys.modules would break scipy, which looks there.)
HIDE = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {hidden!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Hide())
"""


def import_without(layers: list[str], *blocked: str) -> subprocess.CompletedProcess[str]:
    """Import all modules of ``layers`` in a fresh interpreter that lacks ``blocked``."""
    modules = ['.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')
               for path in sorted(PACKAGE.rglob('*.py')) if layer_of(path) in layers]
    return run_without('\n'.join(f'import {module}' for module in modules), *blocked)


def run_without(code: str, *blocked: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter in which some packages are not installed."""
    return subprocess.run([sys.executable, '-c', HIDE.format(hidden=blocked) + code],
                          capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_light_layers_run_without_torch_and_ros() -> None:
    """The gate's logic, the simulator and the trials load where neither torch nor ROS exists."""
    assert {'runtime', 'simulation', 'trials', 'robot_contract'} <= set(LIGHT)
    result = import_without(LIGHT, *sorted(TORCH | ROS))
    assert result.returncode == 0, result.stderr


def test_command_line_starts_without_torch_and_ros() -> None:
    """`vla_drop --help` and `vla_drop doctor` answer on a machine that lacks everything."""
    result = import_without(['preflight'], *sorted(TORCH | ROS))
    assert result.returncode == 0, result.stderr
    result = run_without('from vla_drop_ros.cli.main import main; main(["--help"])',
                         'torch', 'rclpy', 'mujoco', 'scipy', 'matplotlib')
    assert result.returncode == 0, result.stderr
    assert 'doctor' in result.stdout


@pytest.mark.ros
def test_nodes_load_without_torch() -> None:
    """Only the process that infers loads torch, and only when it loads a checkpoint."""
    pytest.importorskip('rclpy')
    result = import_without(['nodes'], *sorted(TORCH))
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope='module')
def manifest() -> ElementTree.Element:
    """Return package.xml."""
    return ElementTree.parse(ROOT / 'package.xml').getroot()


@pytest.fixture
def setup_arguments(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what setup.py hands to setuptools."""
    found: dict[str, Any] = {}
    monkeypatch.setattr('setuptools.setup', lambda **arguments: found.update(arguments))
    exec(compile((ROOT / 'setup.py').read_text(), str(ROOT / 'setup.py'), 'exec'),
         {'__name__': '__main__', '__file__': str(ROOT / 'setup.py')})
    return found


def third_party() -> set[str]:
    """Return the packages that the installed code imports and Python does not bring."""
    paths = [*PACKAGE.rglob('*.py'), *(ROOT / 'launch').rglob('*.py')]
    roots = {module.split('.')[0] for path in paths for module in imported_modules(path)}
    return roots - set(sys.stdlib_module_names) - {'vla_drop_ros', 'setuptools'}


def names(requirements: list[str]) -> set[str]:
    """Return the bare package names of requirement lines."""
    lines = (line.split('#')[0].strip() for line in requirements)
    return {re.split(r'[\[<>=!~; ]', line)[0].lower() for line in lines if line}


def test_package_xml_names_what_is_imported(manifest: ElementTree.Element) -> None:
    """Rosdep installs all that the code imports, and nothing that it does not."""
    imported = {ROSDEP_KEYS.get(name, name) for name in third_party() - PIP_ONLY}
    declared = {element.text for element in manifest.iter('exec_depend')}
    assert declared == imported


def test_package_xml_is_releasable(manifest: ElementTree.Element) -> None:
    """Format 3, ament_python, and no pip key, which a released package may not use."""
    assert manifest.get('format') == '3'
    assert manifest.findtext('export/build_type') == 'ament_python'
    assert manifest.findtext('license') == 'Apache-2.0'
    keys = [element.text or '' for element in manifest.iter() if element.tag.endswith('depend')]
    assert not [key for key in keys if key.endswith('-pip')]
    assert len(keys) == len(set(keys))


def test_setup_names_what_pip_must_bring(setup_arguments: dict[str, Any]) -> None:
    """What has no rosdep key is an extra of setup.py, and every name has a pinned version."""
    extras = {name for part in setup_arguments['extras_require'].values() for name in names(part)}
    assert third_party() & PIP_ONLY <= extras
    pinned = {name for path in (ROOT / 'requirements').glob('*.txt')
              for name in names(path.read_text().splitlines())}
    assert extras | names(setup_arguments['install_requires']) <= pinned


def test_one_version(manifest: ElementTree.Element, setup_arguments: dict[str, Any]) -> None:
    """package.xml, setup.py, the module and the newest changelog entry agree."""
    changelog = (ROOT / 'CHANGELOG.rst').read_text()
    newest = re.search(r'^(\d+\.\d+\.\d+) \(', changelog, re.MULTILINE)
    assert newest is not None
    assert {manifest.findtext('version'), setup_arguments['version'], newest[1]} == {
        vla_drop_ros.__version__}


def test_entry_points_exist(setup_arguments: dict[str, Any]) -> None:
    """Every executable has a main, and every node file is an executable."""
    scripts = dict(re.split(r'\s*=\s*', line)
                   for line in setup_arguments['entry_points']['console_scripts'])
    for target in scripts.values():
        module, function = target.split(':')
        tree = ast.parse((ROOT / (module.replace('.', '/') + '.py')).read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    nodes = {path.stem for path in (PACKAGE / 'nodes').glob('*_node.py')} - {'managed_node'}
    assert set(scripts) == nodes | {'vla_drop'}


def test_every_shared_file_is_installed(setup_arguments: dict[str, Any]) -> None:
    """Launch files, configuration and models land in share/, in the folders of the source."""
    installed = {name for _, files in setup_arguments['data_files'] for name in files}
    present = {path.relative_to(ROOT).as_posix() for folder in ('launch', 'config', 'models')
               for path in (ROOT / folder).rglob('*')
               if path.is_file() and '__pycache__' not in path.parts}
    assert present <= installed
    assert {'package.xml', 'resource/vla_drop_ros', 'launch/pick_place.launch.py'} <= installed
    for folder, files in setup_arguments['data_files']:
        assert not Path(folder).is_absolute()
        assert all((ROOT / name).is_file() for name in files)


def test_every_file_of_the_package_is_installed(setup_arguments: dict[str, Any]) -> None:
    """A folder without __init__.py, or a template without package_data, would be left behind."""
    folders = {path.parent for path in PACKAGE.rglob('*.py')}
    assert {'.'.join(folder.relative_to(ROOT).parts) for folder in folders} == set(
        setup_arguments['packages'])
    endings = {Path(pattern).suffix for pattern in setup_arguments['package_data']['']}
    other = {path.suffix for path in PACKAGE.rglob('*.*') if path.is_file()}
    assert other - {'.py', '.pyc', ''} <= endings


def test_files_are_short() -> None:
    """A file is read in one sitting: 400 lines, a node 250."""
    long = {}
    for path in SOURCES:
        limit = NODE_LINES if path.parent == PACKAGE / 'nodes' else FILE_LINES
        lines = len(path.read_text(encoding='utf-8').splitlines())
        if lines > limit:
            long[path.relative_to(ROOT).as_posix()] = f'{lines} > {limit}'
    assert not long


def test_files_are_named_for_what_they_hold() -> None:
    """No drawer for odds and ends."""
    assert not [path for path in SOURCES if path.stem in VAGUE_NAMES]


def test_files_state_their_licence() -> None:
    """The SPDX line comes first, or right after the #! line."""
    scripts = [ROOT / '.ci/run', *sorted((ROOT / 'tools').glob('*.sh'))]
    for path in (*SOURCES, *scripts):
        head = path.read_text(encoding='utf-8').splitlines()[:2]
        assert '# SPDX-License-Identifier: Apache-2.0' in head, path


def test_no_path_of_one_machine() -> None:
    """Nothing points into somebody's home."""
    endings = {'.py', '.sh', '.md', '.rst', '.yaml', '.toml', '.txt', '.cfg', '.xml', '.json'}
    folders = ('vla_drop_ros', 'bench', 'launch', 'config', 'docs', 'tools', 'test', 'models')
    paths = [path for folder in folders for path in (ROOT / folder).rglob('*')
             if path.suffix in endings and path.is_file() and path != Path(__file__).resolve()]
    paths += [path for path in ROOT.glob('*') if path.is_file() and path.suffix in endings]
    found = [f'{path.relative_to(ROOT)}: {match[0]}' for path in paths
             if (match := MACHINE_PATH.search(path.read_text(encoding='utf-8')))]
    assert not found
