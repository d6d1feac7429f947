# SPDX-License-Identifier: Apache-2.0
"""Training losses: language, pointing, flow matching; each returns named parts."""

from typing import Any

import torch
from torch.nn import functional

from vla_drop_ros.reference.batches import Batch
from vla_drop_ros.reference.model import (
    CHUNK,
    Heads,
    image_features,
    IMAGE_TOKENS,
    PATCHES,
    prompt_embeddings,
    Tap,
    THINGS,
)

Parts = dict[str, torch.Tensor]


def detection(heads: Heads, features: torch.Tensor, batch: Batch) -> Parts:
    """Return how well picture features (F, IMAGE_TOKENS, WIDTH) say what is in which patch."""
    cameras = batch.thing.shape[1]
    output = heads.detect(features).unflatten(1, (cameras, PATCHES)).unflatten(-1, (THINGS, 3))
    present = functional.one_hot(batch.thing + 1, PATCHES + 1)[..., 1:].transpose(2, 3).float()
    seen = functional.binary_cross_entropy_with_logits(
        output[..., 0], present, pos_weight=torch.tensor(5.0))
    miss = (output[..., 1:] - batch.thing_offset[:, :, None]).abs().mean(-1)
    located = heads.locate(features).unflatten(1, (cameras, PATCHES)).unflatten(-1, (THINGS, 3))
    far = functional.smooth_l1_loss(located, batch.thing_position[:, :, None].expand_as(located),
                                    beta=0.1, reduction='none').mean(-1)
    count = present.sum().clamp(min=1)
    return {'seen': seen, 'shift': (miss * present).sum() / count,
            'locate': (far * present).sum() / count}


def pointing(heads: Heads, features: torch.Tensor, batch: Batch) -> Parts:
    """Return how well the features say which patch is meant and where it is from the tool.

    Args:
        heads: the training heads.
        features: language features at ``DENSE_BLOCK``, shape (B, T, WIDTH).
        batch: the targets.

    """
    rows = torch.arange(len(features))
    cameras = batch.patch.shape[1]
    image = features[:, :IMAGE_TOKENS].unflatten(1, (cameras, PATCHES))
    logits = heads.point(image).transpose(2, 3)          # (B, C, 2, P)
    patch = functional.cross_entropy(
        logits.reshape(-1, PATCHES), batch.patch.reshape(-1), ignore_index=-1)
    offsets = heads.offset(image).unflatten(-1, (2, 2)).transpose(2, 3)  # (B, C, 2, P, 2)
    index = batch.patch.clamp(min=0)[..., None, None].expand(-1, -1, -1, 1, 2)
    miss = (offsets.gather(3, index)[..., 0, :] - batch.offset).abs().mean(-1)
    known = batch.patch >= 0
    offset = miss[known].mean() if known.any() else miss.sum() * 0.0
    places = heads.place(image).unflatten(-1, (2, 3)).transpose(2, 3)  # (B, C, 2, P, 3)
    index = index[..., :1].expand(-1, -1, -1, 1, 3)
    far = functional.smooth_l1_loss(places.gather(3, index)[..., 0, :], batch.position, beta=0.1,
                                    reduction='none').mean(-1)
    place = far[known].mean() if known.any() else far.sum() * 0.0
    guess = heads.vector(features[rows, batch.last]).unflatten(1, (2, 3))
    wrong = functional.smooth_l1_loss(
        guess, batch.vector.unflatten(1, (2, 3)), beta=0.1, reduction='none').mean(-1)
    return {'patch': patch, 'offset': offset, 'place': place,
            'vector': wrong[batch.vector_known].mean()}


def language(vlm: Any, heads: Heads, tap: Tap, batch: Batch, repeats: int) -> Parts:
    """Return the losses of the vision-language stage: answers and pointing."""
    features = image_features(vlm.model, batch.pixels)
    embeddings = prompt_embeddings(vlm.model, features, batch.ids, repeats)
    hidden = vlm.model(inputs_embeds=embeddings, attention_mask=batch.mask,
                       token_type_ids=batch.types, use_cache=False).last_hidden_state
    asked = batch.labels != -100
    words = functional.cross_entropy(vlm.lm_head(hidden[asked]), batch.labels[asked])
    assert tap.features is not None  # noqa: S101 - the forward above fills it
    return {'words': words, **detection(heads, features, batch),
            **pointing(heads, tap.features, batch)}


def flow(vla: Any, heads: Heads, tap: Tap, batch: Batch, repeats: int, draws: int) -> Parts:
    """Return the losses of the adaptation stage; ``draws`` flow times share one prompt.

    Conditional flow matching as in pi0 (arXiv 2410.24164): x_t = t * noise + (1 - t) * actions,
    the expert predicts noise - actions, t from Beta(1.5, 1).
    """
    paligemma, config = vla.model.vlm, vla.config
    features = image_features(paligemma, batch.pixels)
    embeddings = prompt_embeddings(paligemma, features, batch.ids, repeats)
    cache = paligemma(
        inputs_embeds=embeddings, attention_mask=batch.mask,
        position_ids=batch.mask.cumsum(-1) - 1, token_type_ids=torch.zeros_like(batch.ids),
        use_cache=True).past_key_values
    cache.batch_repeat_interleave(draws)
    state = batch.state.repeat_interleave(draws, 0)
    actions = batch.actions.repeat_interleave(draws, 0)
    noise = torch.randn_like(actions)
    beta = torch.distributions.Beta(
        config.time_sampling_beta_alpha, config.time_sampling_beta_beta)
    time = beta.sample((len(actions),)) * config.time_sampling_scale + config.time_sampling_offset
    mixed = time[:, None, None] * noise + (1 - time[:, None, None]) * actions
    hidden = vla.model(
        action_embeds=vla.embed_action_time(state, mixed, time), past_key_values=cache,
        attention_mask=batch.mask.repeat_interleave(draws, 0)).last_hidden_state
    velocity = vla.action_out_proj(hidden[:, -CHUNK:])
    guess = heads.guess(hidden[::draws, 0]).unflatten(1, (CHUNK, -1))
    assert tap.features is not None  # noqa: S101 - the forward above fills it
    return {'flow': functional.mse_loss(velocity, noise - actions),
            'guess': (guess - batch.actions).abs().mean(),
            **detection(heads, features, batch),
            **pointing(heads, tap.features, batch)}
