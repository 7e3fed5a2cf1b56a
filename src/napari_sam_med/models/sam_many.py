"""SAM's mask decoder for many prompts on one image: the same numbers up to rounding, in less time. Imports torch.

The decoder of ``segment_anything`` projects every image token anew for every prompt and layer. A prompt of a few points
has few tokens, and a product of three matrices may be taken in either order: here the projections are put on the side
of the prompt, ``(x W) k = x (W k)``, so that the 4096 image tokens of a prompt are multiplied once where they were
projected to 128 channels and multiplied then. What is the same for all prompts (the first layer's image tokens) is
kept once. Masks are drawn only for prompts of which one has the score that is asked for.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from torch import Tensor


class ManyDecoder:
    """Multimask answers of a SAM, for prompts without a fed-back mask.

    Parameters
    ----------
    sam : Sam
        With its weights; they are not copied.
    features : Tensor, shape (1, C, h, w)
        Image embedding.
    """

    def __init__(self, sam: Sam, features: Tensor) -> None:
        self._decoder, self._encoder = sam.mask_decoder, sam.prompt_encoder
        self._grid = (features.shape[2], features.shape[3])
        no_mask = sam.prompt_encoder.no_mask_embed.weight
        self._image = features[0].flatten(1).T + no_mask
        self._place = sam.prompt_encoder.get_dense_pe()[0].flatten(1).T.contiguous()

    def __call__(self, sparse: Tensor, min_score: float | None = None) -> tuple[list[Tensor], list[Tensor]]:
        """Logits and scores of each prompt.

        Parameters
        ----------
        sparse : Tensor, shape (P, T, C)
            Prompts from the prompt encoder.
        min_score : float, optional
            Leave out candidates with a predicted IoU of this or less.

        Returns
        -------
        low_res : list of Tensor, shape (K, 4h, 4w)
        scores : list of Tensor, shape (K,)
            With K = 3, or fewer where `min_score` leaves some out.
        """
        decoder = self._decoder
        own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens, image = self._transform(torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1))
        scores = decoder.iou_prediction_head(tokens[:, 0])[:, 1:]
        kept = torch.ones_like(scores, dtype=torch.bool) if min_score is None else scores > min_score
        drawn = kept.any(1).nonzero()[:, 0]
        masks = torch.stack(
            [mlp(tokens[drawn, 2 + k]) for k, mlp in enumerate(decoder.output_hypernetworks_mlps[1:])], dim=1
        )
        low_res: list[Tensor] = [scores.new_zeros((0, 4 * self._grid[0], 4 * self._grid[1]))] * len(sparse)
        for place, one, weights in zip(drawn.tolist(), image[drawn], masks, strict=True):
            low_res[place] = self._draw(one, weights[kept[place]])
        return low_res, [score[keep] for score, keep in zip(scores, kept, strict=True)]

    def _transform(self, prompt: Tensor) -> tuple[Tensor, Tensor]:
        """The two-way transformer: tokens (P, T, C) and the image (P, N, C) as each prompt sees it."""
        transformer = self._decoder.transformer
        queries, keys = prompt, self._image[None]
        for layer in transformer.layers:
            if layer.skip_first_layer_pe:
                queries = layer.self_attn(queries, queries, queries)
            else:
                at = queries + prompt
                queries = queries + layer.self_attn(at, at, queries)
            queries = layer.norm1(queries)
            placed = keys + self._place
            queries = layer.norm2(
                queries + _from_image(layer.cross_attn_token_to_image, queries + prompt, placed, keys)
            )
            queries = layer.norm3(queries + layer.mlp(queries))
            keys = layer.norm4(
                _to_image(layer.cross_attn_image_to_token, keys, placed, queries + prompt, queries)
            )
        last = _from_image(transformer.final_attn_token_to_image, queries + prompt, keys + self._place, keys)
        return transformer.norm_final_attn(queries + last), keys

    def _draw(self, image: Tensor, weights: Tensor) -> Tensor:
        """Logits (K, 4h, 4w) from image tokens (N, C) and the weights of each mask (K, c)."""
        first, norm, act, second, last_act = self._decoder.output_upscaling
        rows, cols = self._grid
        x = _twice(image, first)  # (N, 2, 2, c)
        x = F.layer_norm(x, (x.shape[-1],), norm.weight, norm.bias, norm.eps)
        x = last_act(_twice(act(x), second))  # (N, 2, 2, 2, 2, c)
        logits = (x.flatten(0, 4) @ weights.T).view(rows, cols, 2, 2, 2, 2, len(weights))
        # pixel rows are (row, first half, second half), columns likewise
        return logits.permute(6, 0, 2, 4, 1, 3, 5).reshape(len(weights), 4 * rows, 4 * cols)


def _twice(x: Tensor, layer: Any) -> Tensor:
    """A transposed convolution of side and stride 2 on channels last: (..., C) to (..., 2, 2, c)."""
    weight = layer.weight.permute(0, 2, 3, 1)
    return (x @ weight.flatten(1)).view(*x.shape[:-1], *weight.shape[1:]) + layer.bias


def _heads(attention: Any, x: Tensor) -> Tensor:
    """(P, T, heads · d) to (P, T, heads, d)."""
    return x.view(*x.shape[:-1], attention.num_heads, -1)


def _from_image(attention: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of tokens (P, T, C) to the image (P or 1, N, C)."""
    asked = _heads(attention, attention.q_proj(queries))
    _, n_tokens, n_heads, depth = asked.shape
    # the bias of the keys adds the same to all places and falls out of the softmax
    weight = attention.k_proj.weight.view(n_heads, depth, -1)
    asked = torch.einsum("pthd,hdc->phtc", asked, weight).flatten(1, 2) / depth**0.5
    share = torch.softmax(asked @ keys.transpose(1, 2), dim=-1)  # (P, heads · T, N)
    found = (share @ values).view(len(queries), n_heads, n_tokens, -1)
    weight = attention.v_proj.weight.view(n_heads, depth, -1)
    out = torch.einsum("phtc,hdc->pthd", found, weight).flatten(2) + attention.v_proj.bias
    return attention.out_proj(out)


def _to_image(attention: Any, image: Tensor, places: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The image (P or 1, N, C) plus its attention, at its `places`, to tokens (P, T, C)."""
    asked = _heads(attention, attention.k_proj(keys))
    n_prompts, n_tokens, n_heads, depth = asked.shape
    weight = attention.q_proj.weight.view(n_heads, depth, -1)
    bias = torch.einsum("pthd,hd->pht", asked, attention.q_proj.bias.view(n_heads, depth)).flatten(1)
    asked = torch.einsum("pthd,hdc->phtc", asked, weight).flatten(1, 2)
    scores = (asked @ places.transpose(1, 2) + bias[..., None]) / depth**0.5  # (P, heads · T, N)
    share = torch.softmax(scores.unflatten(1, (n_heads, n_tokens)), dim=2).flatten(1, 2)
    told = _heads(attention, attention.v_proj(values))
    weight = attention.out_proj.weight.view(-1, n_heads, depth)
    # shares add up to 1 in each head, so that the bias comes out whole
    told = torch.einsum("pthd,chd->phtc", told, weight).flatten(1, 2) + attention.out_proj.bias / n_heads
    return torch.baddbmm(image.expand(n_prompts, -1, -1), share.transpose(1, 2), told)
