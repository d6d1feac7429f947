# SPDX-License-Identifier: Apache-2.0
"""Install the package for ament: modules, executables, launch files, configuration, models."""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = 'vla_drop_ros'
NODES = ('bag_recorder_node', 'command_gate_node', 'policy_node', 'simulated_operator_node',
         'simulated_robot_node', 'trial_node')
# Folders whose files are installed under share/, with the endings that belong there.
SHARED = {
    'config': ('.yaml', '.json', '.xml'),
    'launch': ('.launch.py',),
    'models': ('.json', '.safetensors'),
}
HERE = Path(__file__).resolve().parent


def shared_files() -> list[tuple[str, list[str]]]:
    """Return (folder under the prefix, files) for all that is not a module."""
    folders: dict[str, list[str]] = {}
    for top, endings in SHARED.items():
        for path in sorted((HERE / top).rglob('*')):
            if path.is_file() and path.name.endswith(endings):
                relative = path.relative_to(HERE)
                target = f'share/{PACKAGE}/{relative.parent.as_posix()}'
                folders.setdefault(target, []).append(relative.as_posix())
    return sorted(folders.items())


setup(
    name=PACKAGE,
    version='0.6.0',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={'': ['py.typed', '*.xml', '*.yaml', '*.html', '*.css', '*.js', '*.json']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']),
        (f'share/{PACKAGE}', ['package.xml']),
        *shared_files(),
    ],
    # Bounds only; requirements/*.txt pin what was seen working.
    install_requires=[
        'setuptools',
        'matplotlib>=3.5',
        'numpy>=1.24',
        'opencv-python-headless>=4.5',  # or opencv-python: the same module with windows
        'pillow>=9.0',
        'pyyaml>=5.4',
        'rich>=11.2',
        'scipy>=1.8',
    ],
    extras_require={
        'policy': ['torch>=2.13', 'transformers>=5.20', 'accelerate>=1.10', 'tokenizers',
                   'safetensors'],
        'recovery': ['peft>=0.17'],
        'smolvla': ['lerobot>=0.4', 'draccus'],
        'dataset': ['pyarrow>=15', 'av>=12', 'rosbags>=0.11'],
        'simulation': ['mujoco>=3.17', 'mink>=1.3', 'daqp', 'gymnasium>=1.0'],
        'cluster': ['ray>=2.40'],
        'statistics': ['statsmodels>=0.14'],
        'console': ['starlette>=1.0', 'uvicorn>=0.30'],
    },
    python_requires='>=3.10,<3.14',
    zip_safe=True,
    author='vla_drop_ros maintainers',
    author_email='maintainers@vla-drop-ros.example',
    maintainer='vla_drop_ros maintainers',
    maintainer_email='maintainers@vla-drop-ros.example',
    description='Prune a vision-language-action model, run it on a robot safely, prove that it '
                'is no worse.',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            f'vla_drop = {PACKAGE}.cli.main:main',
            *(f'{node} = {PACKAGE}.nodes.{node}:main' for node in NODES),
        ],
    },
)
