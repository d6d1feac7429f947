# SPDX-License-Identifier: Apache-2.0
"""Tiny random checkpoints for the tests that need one: real classes, a few thousand numbers."""

from collections.abc import Callable, Iterator
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec, spec_from_file_location
import os
from pathlib import Path
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.types import ActionSpec, CameraSpec, Observation

# MuJoCo chooses how to render when it is imported, by whichever test comes first.
os.environ.setdefault('MUJOCO_GL', 'egl')


class _Torchvision:
    """Find torchvision in the folder of its own where tools/setup_environment.sh puts it.

    Only this process looks there. Where its build is for another torch it would not load, nor
    transformers with it; then its operators are declared, without code: nothing here calls them.
    """

    operators: Any = None

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> Any:
        """Return where torchvision is, None for anything else."""
        folder = Path(sys.prefix, 'torchvision')
        spec = PathFinder.find_spec(name, [str(folder)]) if name == 'torchvision' else None
        if spec is not None and self.operators is None:
            import torch
            try:
                torch.ops.load_library(str(folder / name / '_C.so'))
                self.operators = torch.ops.torchvision
            except OSError:
                self.operators = torch.library.Library(name, 'DEF')
                for operator in ('nms', 'qnms'):
                    self.operators.define(f'{operator}(Tensor x) -> Tensor')
        return spec


sys.meta_path.append(_Torchvision())

ALONE = ('bench', 'console', 'evaluation/test_cluster.py', 'live', 'test_readme.py')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what minds the company of other tests."""
    for item in items:
        minds = item.path.relative_to(Path(__file__).parent).as_posix().startswith(ALONE)
        if minds or any(item.iter_markers('ros')) or any(item.iter_markers('e2e')):
            item.add_marker('alone')

WORDS = ('put', 'the', 'red', 'blue', 'cube', 'in', 'left', 'right', 'bin')
STATE_NAMES = ('ee.x', 'ee.y', 'ee.z', 'gripper.width')
NORMALIZATION = {
    'state': {'mean': [0.4, 0.0, 0.2, 0.04], 'std': [0.1, 0.2, 0.1, 0.03]},
    'action': {'mean': [0.0, 0.0, 0.0, 0.04], 'std': [0.01, 0.01, 0.01, 0.03]},
}


def _configs(vocabulary: int, language: int, vision: int) -> tuple[dict[str, Any], dict[str, Any]]:
    gemma = {
        'model_type': 'gemma', 'num_hidden_layers': language, 'num_attention_heads': 2,
        'num_key_value_heads': 1, 'head_dim': 8, 'vocab_size': vocabulary, 'pad_token_id': 0}
    vlm = {
        'model_type': 'paligemma', 'image_token_id': 2, 'projection_dim': 16, 'hidden_size': 16,
        'text_config': {**gemma, 'hidden_size': 16, 'intermediate_size': 32},
        'vision_config': {
            'model_type': 'siglip_vision_model', 'hidden_size': 16, 'intermediate_size': 32,
            'num_hidden_layers': vision, 'num_attention_heads': 2, 'image_size': 20,
            'patch_size': 10, 'vision_use_head': False}}
    return vlm, {**gemma, 'hidden_size': 12, 'intermediate_size': 24}


@pytest.fixture(scope='session')
def tiny_model() -> Callable[..., Any]:
    """Return a maker of random models: (family, language blocks, vision blocks) -> model."""
    torch = pytest.importorskip('torch')
    transformers = pytest.importorskip('transformers')

    def make(family: str = 'pi0', language: int = 4, vision: int = 3, scale: float = 0.3) -> Any:
        torch.manual_seed(7)
        vlm, expert = _configs(len(WORDS) + 5, language, vision)
        if family == 'pi0':
            model = transformers.PI0ForConditionalGeneration(transformers.PI0Config(
                vlm_config=vlm, dit_config=expert, chunk_size=4, max_state_dim=4,
                max_action_dim=4, num_inference_steps=2))
        else:
            model = transformers.PaliGemmaForConditionalGeneration(
                transformers.PaliGemmaConfig(**vlm))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=scale)
        return model.eval()

    return make


@pytest.fixture(scope='session')
def write_tiny(tiny_model: Callable[..., Any]) -> Callable[..., Any]:
    """Return a maker of tiny checkpoint folders: (folder, family, …) -> manifest."""
    from vla_drop_ros.checkpoint import save_checkpoint
    from vla_drop_ros.policies.prompt import build_tokenizer

    def write(folder: Path, family: str = 'pi0', scale: float = 0.3, **fields: Any) -> Any:
        spec = ActionSpec(('x', 'y', 'z', 'gripper'), 'base_link', 'delta', 0.1, 4, 2)
        return save_checkpoint(
            folder, tiny_model(family, scale=scale), build_tokenizer(WORDS), NORMALIZATION, **{
                'name': f'tiny-{family}', 'action_spec': spec if family == 'pi0' else None,
                'cameras': {'front': CameraSpec(20, 20), 'wrist': CameraSpec(20, 20)},
                'state_names': STATE_NAMES, **fields})

    return write


@pytest.fixture
def tiny_checkpoint(tmp_path: Path, write_tiny: Callable[..., Any]) -> Path:
    """Return the folder of a fresh tiny pi0 checkpoint that the test may damage."""
    folder = tmp_path / 'tiny'
    write_tiny(folder)
    return folder


def _write_smolvlm(folder: Path, text: dict[str, Any], **fields: Any) -> None:
    """Write what SmolVLA reads of its vision-language model: configuration and tokenizer."""
    from transformers import PreTrainedTokenizerFast, SmolVLMConfig, SmolVLMProcessor
    from transformers.models.smolvlm.image_processing_smolvlm import SmolVLMImageProcessor
    from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

    from vla_drop_ros.policies.prompt import build_tokenizer, PAD, UNKNOWN
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=build_tokenizer(WORDS), pad_token=PAD, unk_token=UNKNOWN,
        extra_special_tokens={'fake_image_token': '<bos>', 'global_image_token': '<sep>',
                              'image_token': '<image>'})
    SmolVLMProcessor(SmolVLMImageProcessor(), tokenizer, SmolVLMVideoProcessor(),
                     chat_template='{{ messages }}').save_pretrained(folder)
    SmolVLMConfig(
        image_token_id=2, scale_factor=2, **fields,
        text_config={'model_type': 'llama', 'hidden_size': 32, 'intermediate_size': 48,
                     'num_hidden_layers': 18, 'num_attention_heads': 4, 'num_key_value_heads': 2,
                     'head_dim': 8, 'vocab_size': len(WORDS) + 5, 'pad_token_id': 0,
                     'dtype': 'bfloat16', **text},
        vision_config={'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 3,
                       'num_attention_heads': 2, 'image_size': 32, 'patch_size': 8},
    ).save_pretrained(folder)


@pytest.fixture(scope='session')
def tiny_smolvla(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Return a maker of random SmolVLA policies: (text model, tied words, fields) -> model."""
    torch = pytest.importorskip('torch')
    pytest.importorskip('lerobot')
    lerobot = find_spec('lerobot')
    assert lerobot is not None and lerobot.submodule_search_locations is not None
    # lerobot 0.4 imports all policies at once, and one of them fails beside transformers 5.
    policies = ModuleType('lerobot.policies')
    policies.__path__ = [f'{path}/policies' for path in lerobot.submodule_search_locations]
    sys.modules['lerobot.policies'] = policies

    def make(text: dict[str, Any] | None = None, tied: bool = False, **fields: Any) -> Any:
        from lerobot.configs.types import FeatureType, PolicyFeature
        from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
        from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy
        folder = tmp_path_factory.mktemp('smolvlm')
        _write_smolvlm(folder, text or {}, tie_word_embeddings=tied)
        torch.manual_seed(7)
        model = SmolVLAPolicy(SmolVLAConfig(**{
            'vlm_model_name': str(folder), 'num_vlm_layers': 6, 'chunk_size': 4,
            'n_action_steps': 4, 'max_state_dim': 6, 'max_action_dim': 6, 'num_steps': 2,
            'resize_imgs_with_padding': (32, 32), 'device': 'cpu',
            'input_features': {
                **{f'observation.images.{name}': PolicyFeature(FeatureType.VISUAL, (3, 20, 20))
                   for name in ('front', 'wrist')},
                'observation.state': PolicyFeature(FeatureType.STATE, (4,))},
            'output_features': {'action': PolicyFeature(FeatureType.ACTION, (4,))}, **fields}))
        for parameter in model.float().parameters():
            torch.nn.init.normal_(parameter, 0.0, 0.3)
        return model.eval()

    return make


@pytest.fixture(scope='session')
def write_smolvla(tiny_smolvla: Callable[..., Any]) -> Callable[..., Any]:
    """Return a maker of tiny SmolVLA checkpoint folders: (folder, model, …) -> manifest."""
    from vla_drop_ros.checkpoint import save_checkpoint
    from vla_drop_ros.policies.prompt import build_tokenizer

    def write(folder: Path, model: Any = None, **fields: Any) -> Any:
        return save_checkpoint(
            folder, tiny_smolvla() if model is None else model, build_tokenizer(WORDS),
            NORMALIZATION, **{
                'name': 'tiny-smolvla', 'state_names': STATE_NAMES,
                'action_spec': ActionSpec(
                    ('x', 'y', 'z', 'gripper'), 'base_link', 'delta', 0.1, 4, 2),
                'cameras': {'front': CameraSpec(20, 20), 'wrist': CameraSpec(20, 20)}, **fields})

    return write


@pytest.fixture(scope='session')
def saved_smolvla(tmp_path_factory: pytest.TempPathFactory, write_smolvla: Callable[..., Any],
                  ) -> Path:
    """Return the folder of a tiny SmolVLA checkpoint that tests only read."""
    folder = tmp_path_factory.mktemp('smolvla') / 'parent'
    write_smolvla(folder)
    return folder


@pytest.fixture(scope='module')
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: tiny models have little to share."""
    torch = pytest.importorskip('torch')
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def observe() -> Callable[..., Observation]:
    """Return a maker of observations for the tiny checkpoint: (seed, instruction) -> it."""
    def make(seed: int = 0, instruction: str = 'put the red cube in the left bin',
             size: int = 20) -> Observation:
        generator = np.random.default_rng(seed)
        images = {key: generator.integers(0, 256, (size, size, 3), np.uint8)
                  for key in ('front', 'wrist')}
        return Observation(1.5 + seed, images, generator.uniform(0.0, 0.4, 4), instruction)

    return make


@pytest.fixture(scope='session')
def tiny_prismatic() -> Callable[..., Any]:
    """Return a maker of random prismatic models: (fields of the configuration) -> model."""
    torch = pytest.importorskip('torch')

    def make(**fields: Any) -> Any:
        from vla_drop_ros.families.prismatic_model import PrismaticConfig, PrismaticForActions
        torch.manual_seed(7)
        tower = {'num_attention_heads': 2, 'image_size': 20, 'patch_size': 10}
        model = PrismaticForActions(PrismaticConfig(**{
            'dino_config': {**tower, 'hidden_size': 16, 'num_hidden_layers': 3, 'mlp_ratio': 2,
                            'num_register_tokens': 2},
            'siglip_config': {**tower, 'hidden_size': 12, 'num_hidden_layers': 4,
                              'intermediate_size': 24, 'vision_use_head': False},
            'text_config': {'hidden_size': 24, 'num_hidden_layers': 4, 'num_attention_heads': 4,
                            'num_key_value_heads': 2, 'intermediate_size': 32,
                            'vocab_size': len(WORDS) + 5, 'pad_token_id': 0, 'bos_token_id': 3,
                            'eos_token_id': 4},
            'chunk_length': 4, 'action_dim': 4, 'state_dim': 4, **fields}))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        return model.eval()

    return make


@pytest.fixture(scope='session')
def prismatic_batch() -> Callable[..., Any]:
    """Return a maker of samples for a prismatic model: (model, samples, seed) -> batch."""
    torch = pytest.importorskip('torch')

    def make(model: Any, samples: int = 3, seed: int = 0) -> Any:
        """The last sample has two words less, padded; the first a step that does not count."""
        from vla_drop_ros.families.family import Batch
        from vla_drop_ros.families.prismatic import PRISMATIC
        rows = [PRISMATIC.fixed_inputs(model, 2, seed + row)[0] for row in range(samples)]
        inputs = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
        words = torch.ones_like(inputs['input_ids'])
        words[-1, -2:] = 0
        inputs['attention_mask'] = model.sequence_mask(words, 2)
        weights = torch.ones(samples, 4, 4)
        weights[0, 3] = 0
        actions = torch.randn(samples, 4, 4, generator=torch.Generator().manual_seed(seed))
        return Batch(inputs, actions, weights, torch.zeros(samples, 1, 4, 4),
                     torch.zeros(samples, 1))

    return make


@pytest.fixture(scope='session')
def write_prismatic(tiny_prismatic: Callable[..., Any]) -> Callable[..., Any]:
    """Return a maker of tiny prismatic checkpoint folders: (folder, model, …) -> manifest."""
    from vla_drop_ros.checkpoint import save_checkpoint
    from vla_drop_ros.policies.prompt import build_tokenizer

    def write(folder: Path, model: Any = None, **fields: Any) -> Any:
        return save_checkpoint(
            folder, tiny_prismatic() if model is None else model, build_tokenizer(WORDS),
            NORMALIZATION, **{
                'name': 'tiny-prismatic', 'state_names': STATE_NAMES,
                'action_spec': ActionSpec(
                    ('x', 'y', 'z', 'gripper'), 'base_link', 'delta', 0.1, 4, 2),
                'cameras': {'front': CameraSpec(20, 20), 'wrist': CameraSpec(20, 20)}, **fields})

    return write


@pytest.fixture(scope='session')
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a LeRobot dataset of random demonstrations that the tiny checkpoints understand."""
    from vla_drop_ros.dataset.writer import DatasetWriter

    folder, rng = tmp_path_factory.mktemp('dataset') / 'demonstrations', np.random.default_rng(5)
    writer = DatasetWriter(
        folder, 10, {'front': (20, 20), 'wrist': (20, 20)}, STATE_NAMES,
        ('x', 'y', 'z', 'gripper'),
        {'frame': 'base_link', 'reference': 'delta', 'period': 0.1}, 'random')
    for episode in range(6):
        for _ in range(5 + episode):
            images = {key: rng.integers(0, 256, (20, 20, 3), np.uint8)
                      for key in ('front', 'wrist')}
            writer.add(images, rng.uniform(0.0, 0.4, 4), rng.normal(0.0, 0.01, 4))
        writer.end_episode(('put the red cube in the left bin', 'blue bin')[episode % 2])
    writer.close()
    return folder


@pytest.fixture(scope='session')
def tiny_pair(tmp_path_factory: pytest.TempPathFactory, write_tiny: Callable[..., Any],
              ) -> tuple[Path, Path]:
    """Return folders of a tiny policy and of a tiny vision-language model of the same shape."""
    folder = tmp_path_factory.mktemp('pair')
    write_tiny(folder / 'base', family='paligemma', scale=0.25)
    write_tiny(folder / 'policy')
    return folder / 'policy', folder / 'base'


@pytest.fixture(scope='session')
def tiny_policy(tiny_pair: tuple[Path, Path]) -> Any:
    """Return the tiny policy, not warmed up."""
    from vla_drop_ros.checkpoint import load_checkpoint
    from vla_drop_ros.policies.registry import assemble_policy
    model, manifest = load_checkpoint(tiny_pair[0])
    return assemble_policy(model, manifest, tiny_pair[0])


@pytest.fixture(scope='session')
def calibration(tiny_policy: Any, tiny_dataset: Path) -> Any:
    """Return twelve samples in three batches, two flow draws each."""
    from vla_drop_ros.dataset.reader import Dataset
    from vla_drop_ros.policies.calibration import calibrate
    return calibrate(tiny_policy, Dataset(tiny_dataset), 12, seed=3, batch_size=4)


@pytest.fixture(scope='session')
def ranking_file(tiny_pair: tuple[Path, Path], tiny_dataset: Path,
                 tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a ranking by every criterion, with costs and latency."""
    from vla_drop_ros.cli.main import main
    path = tmp_path_factory.mktemp('ranked') / 'ranking.json'
    policy, base = tiny_pair
    assert main(['rank', str(policy), '--data', str(tiny_dataset), '--base', str(base),
                 '--samples', '12', '--batch-size', '6', '-o', str(path)]) == 0
    return path


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Any]:
    """Return a maker of bags to fill, see ``recordings.py``: (name, namespace) -> recording."""
    pytest.importorskip('rosbags')
    spec = spec_from_file_location('recordings', Path(__file__).with_name('recordings.py'))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)

    def make(name: str = 'bag', namespace: str = '') -> Any:
        return module.Recording(tmp_path / name, namespace)

    return make


@pytest.fixture(name='played', scope='session')
def _played() -> ModuleType:
    """Return ``trials/played_study.py``: locks designs and plays trials into real logs."""
    spec = spec_from_file_location(
        'played_study', Path(__file__).parent / 'trials/played_study.py')
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module
