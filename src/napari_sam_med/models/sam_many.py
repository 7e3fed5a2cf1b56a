"""SAM's mask decoder for many prompts on one image: the same numbers up to rounding, in less time. Imports torch.

The decoder of ``segment_anything`` changes all 4096 image tokens, 256 numbers each, anew for every prompt. But a prompt
has few tokens, and all that they tell an image token is a mixture, by attention, of what they have to say. So the image
that a prompt sees after any layer is the image of all prompts, scaled at each place by the layer norm, plus a sum of few
products: attention (a number a place) times what was told (a number a channel). It is kept in that form
(:class:`_Seen`). What attention asks of it is linear, so products with the image of all prompts are made once for an
image (:class:`_Depth`), in the 16 channels of a head, and the rest is sums over the few rows. The variance that the
layer norm divides by follows from the same sums. Masks are drawn only where one has the score that is asked for.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from torch import Tensor

_STRIPE = 1024
"""Image tokens that a mask is drawn from at once on a CPU, so that what comes between stays in its caches."""


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
        self._decoder = sam.mask_decoder
        self._grid = (features.shape[2], features.shape[3])
        self._stripe = _STRIPE if features.device.type == "cpu" else self._grid[0] * self._grid[1]
        transformer = self._decoder.transformer
        image = features[0].flatten(1).T + sam.prompt_encoder.no_mask_embed.weight
        place = sam.prompt_encoder.get_dense_pe()[0].flatten(1).T
        depth = _Depth.first(image)
        self._steps = []
        for layer in transformer.layers:
            from_image = _FromImage(layer.cross_attn_token_to_image, depth, place)
            to_image = _ToImage(layer.cross_attn_image_to_token, layer.norm4, depth, place)
            self._steps.append((layer, from_image, to_image))
            depth = to_image.after
        self._last = _FromImage(transformer.final_attn_token_to_image, depth, place)
        self._first_up = _Told(depth, _conv_weight(self._decoder.output_upscaling[0]))

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
        prompt = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
        tokens, seen = self._transform(prompt)
        # of the last attention, the scores need one token alone, and each mask one
        scores = decoder.iou_prediction_head(self._finish(tokens[:, :1], prompt[:, :1], seen)[:, 0])[:, 1:]
        kept = torch.ones_like(scores, dtype=torch.bool) if min_score is None else scores > min_score
        low_res: list[Tensor] = [scores.new_zeros((0, 4 * self._grid[0], 4 * self._grid[1]))] * len(sparse)
        drawn = kept.any(1).nonzero()[:, 0]
        if len(drawn):
            if len(drawn) < len(sparse):
                tokens, prompt, seen = tokens[drawn], prompt[drawn], seen.of(drawn)
            mlps = decoder.output_hypernetworks_mlps[1:]
            of_masks = slice(2, 2 + len(mlps))
            last = self._finish(tokens[:, of_masks], prompt[:, of_masks], seen)
            weights = torch.stack([mlp(last[:, k]) for k, mlp in enumerate(mlps)], dim=1)
            told = self._first_up.rows(seen)
            for k, place in enumerate(drawn.tolist()):
                low_res[place] = self._draw(seen.scale[k], seen.rows[k], told[k], weights[k][kept[place]])
        return low_res, [score[keep] for score, keep in zip(scores, kept, strict=True)]

    def _transform(self, prompt: Tensor) -> tuple[Tensor, _Seen]:
        """The layers of the two-way transformer: tokens (P, T, C) and the image as each prompt sees it."""
        queries, seen = prompt, None
        for layer, from_image, to_image in self._steps:
            if layer.skip_first_layer_pe:
                queries = layer.self_attn(queries, queries, queries)
            else:
                at = queries + prompt
                queries = queries + layer.self_attn(at, at, queries)
            queries = layer.norm1(queries)
            queries = layer.norm2(queries + from_image(queries + prompt, seen))
            queries = layer.norm3(queries + layer.mlp(queries))
            seen = to_image(queries + prompt, queries, seen)
        return queries, seen

    def _finish(self, tokens: Tensor, prompt: Tensor, seen: _Seen) -> Tensor:
        """The last attention to the image, for some of the tokens (P, T, C)."""
        return self._decoder.transformer.norm_final_attn(tokens + self._last(tokens + prompt, seen))

    def _draw(self, scale: Tensor, rows: Tensor, told: Tensor, weights: Tensor) -> Tensor:
        """Logits (K, 4h, 4w) from the image that one prompt sees and the weights of each mask (K, c)."""
        first, norm, act, second, last_act = self._decoder.output_upscaling
        base, first_bias = self._first_up.base, self._first_up.shift + first.bias.repeat(4)
        second_weight, second_bias = _conv_weight(second), second.bias.repeat(4)
        (height, width), n_masks = self._grid, len(weights)
        fine = weights.new_empty((n_masks, len(base), 16))
        for start in range(0, len(base), self._stripe):
            here = slice(start, start + self._stripe)
            x = base[here] * scale[:, here].T
            x = x.addmm_(rows[:, here].T, told).add_(first_bias).view(-1, len(norm.weight))  # (n · 2 · 2, c)
            x = act(F.layer_norm(x, (x.shape[1],), norm.weight, norm.bias, norm.eps))
            x = last_act(torch.addmm(second_bias, x, second_weight)).view(-1, weights.shape[1])
            fine[:, here] = (weights @ x.T).view(n_masks, -1, 16)
        low_res = weights.new_empty((n_masks, 4 * height, 4 * width))
        # of the 16 pixels of a token, the first halving gives row and column of a half, the second those in it;
        # sixteen plain copies take a fifth of the time of one permutation
        for k, (row, col, row_in, col_in) in enumerate(itertools.product((0, 1), repeat=4)):
            low_res[:, 2 * row + row_in :: 4, 2 * col + col_in :: 4] = fine[..., k].view(-1, height, width)
        return low_res


@dataclass(frozen=True)
class _Seen:
    """The image as each of P prompts sees it: scale · base + sum over rows of row ⊗ told + shift.

    Base and shift are those of the :class:`_Depth`; told is values · out, of the depth, too.

    Attributes
    ----------
    scale : Tensor, shape (P, 1, N)
    rows : Tensor, shape (P, J, N)
        Attention of the places to the tokens: J = G · T, head by head of each layer passed.
    values : Tensor, shape (P, G, T, d + 1)
        What each token tells, in the channels of its head; the last is 1.
    """

    scale: Tensor
    rows: Tensor
    values: Tensor

    def of(self, prompts: Tensor) -> _Seen:
        """The images of some prompts."""
        return _Seen(self.scale[prompts], self.rows[prompts], self.values[prompts])


@dataclass(frozen=True)
class _Depth:
    """What the images of all prompts have in common after some layers.

    Attributes
    ----------
    base : Tensor, shape (N, C)
    out : Tensor, shape (G, d + 1, C)
        From a head's channels to the image's.
    shift : Tensor, shape (C,)
    """

    base: Tensor
    out: Tensor
    shift: Tensor

    @classmethod
    def first(cls, image: Tensor) -> _Depth:
        """Before the first layer: the image itself."""
        return cls(image, image.new_zeros((0, 1, image.shape[1])), image.new_zeros(image.shape[1]))


class _Told:
    """A linear map of the image, weight (C, c), at some depth."""

    def __init__(self, depth: _Depth, weight: Tensor) -> None:
        self.base = depth.base @ weight  # (N, c)
        self.out = depth.out @ weight
        self.shift = depth.shift @ weight

    def rows(self, seen: _Seen) -> Tensor:
        """What the tokens told, mapped: (P, J, c)."""
        return _per_head(seen.values, self.out).flatten(1, 2)


class _Asked:
    """Scores of tokens against the places of the image: products with their projections, (x W) · asked."""

    def __init__(self, projection: Any, n_heads: int, depth: _Depth, place: Tensor) -> None:
        told = _Told(depth, projection.weight.T)
        self._first = not len(depth.out)
        placed = place @ projection.weight.T
        self._told, self._n_heads = told, n_heads
        self._base = _split(told.base + placed if self._first else told.base, n_heads)
        self._place = _split(placed, n_heads)
        self._bias = (told.shift + projection.bias).view(n_heads, -1)

    def __call__(self, asked: Tensor, seen: _Seen | None) -> Tensor:
        """Scores (P, heads, T, N) of what tokens ask, (P, heads, T, d), but for :meth:`bias`."""
        found = _per_head(asked, self._base)
        if seen is None:
            return found
        found = torch.addcmul(_per_head(asked, self._place), found, seen.scale[:, None])
        told = self._told.rows(seen).unflatten(-1, (self._n_heads, -1))
        told = torch.einsum("phtd,pjhd->phtj", asked, told).flatten(1, 2)
        return torch.baddbmm(found.flatten(1, 2), told, seen.rows).view_as(found)

    def bias(self, asked: Tensor) -> Tensor:
        """The same at all places: (P, heads, T, 1)."""
        return torch.einsum("phtd,hd->pht", asked, self._bias)[..., None]


class _FromImage:
    """Attention of tokens to the image."""

    def __init__(self, attention: Any, depth: _Depth, place: Tensor) -> None:
        self._attention, self._n_heads = attention, attention.num_heads
        self._asked = _Asked(attention.k_proj, self._n_heads, depth, place)
        self._told = _Told(depth, attention.v_proj.weight.T)
        self._base = _split(self._told.base, self._n_heads).transpose(1, 2).contiguous()
        self._shift = self._told.shift + attention.v_proj.bias

    def __call__(self, queries: Tensor, seen: _Seen | None) -> Tensor:
        asked = _heads(self._attention.q_proj(queries), self._n_heads)
        asked = asked / asked.shape[-1] ** 0.5
        # what is the same at all places falls out of the softmax
        share = torch.softmax(self._asked(asked, seen), dim=-1)
        if seen is None:
            found = _per_head(share, self._base)
        else:
            told = _heads(self._told.rows(seen), self._n_heads)
            near = torch.bmm(share.flatten(1, 2), seen.rows.transpose(1, 2)).view(*share.shape[:3], -1)
            found = _per_head(share * seen.scale[:, None], self._base) + near @ told
        # shares add up to 1, so that the shift comes out whole
        return self._attention.out_proj(found.transpose(1, 2).flatten(2) + self._shift)


class _ToImage:
    """Attention of the image to tokens, and the layer norm that follows."""

    def __init__(self, attention: Any, norm: Any, depth: _Depth, place: Tensor) -> None:
        self._attention, self._n_heads, self._eps = attention, attention.num_heads, norm.eps
        self._asked = _Asked(attention.q_proj, self._n_heads, depth, place)
        out = attention.out_proj.weight.T.unflatten(0, (self._n_heads, -1))
        # shares add up to 1 in each head, so that shift and bias come out whole
        always = (depth.shift + attention.out_proj.bias).expand(self._n_heads, 1, -1) / self._n_heads
        out = torch.cat([out, always], dim=1)
        out = torch.cat([depth.out, out]) if len(depth.out) else out
        base, self._out = _centred(depth.base), _centred(out)
        self._square = base.square().sum(1)
        self._pull = 2 * self._out @ base.T  # (G, d + 1, N)
        self.after = _Depth(base * norm.weight, self._out * norm.weight, norm.bias)

    def __call__(self, keys: Tensor, values: Tensor, seen: _Seen | None) -> _Seen:
        asked = _heads(self._attention.k_proj(keys), self._n_heads)
        asked = asked / asked.shape[-1] ** 0.5
        rows = torch.softmax(self._asked(asked, seen) + self._asked.bias(asked), dim=2).flatten(1, 2)
        values = F.pad(_heads(self._attention.v_proj(values), self._n_heads), (0, 1), value=1.0)
        if seen is None:
            return self._normed(values.new_ones((len(values), 1, len(self._square))), rows, values)
        return self._normed(
            seen.scale, torch.cat([seen.rows, rows], 1), torch.cat([seen.values, values], 1)
        )

    def _normed(self, scale: Tensor, rows: Tensor, values: Tensor) -> _Seen:
        """Divided by the standard deviation over the channels; `rows` are changed in place."""
        told = _per_head(values, self._out).flatten(1, 2)
        # |scale · base + rowsᵀ told|² = scale² |base|² + rows · (2 scale base · told + (told · told) rows)
        near = _per_head(values, self._pull).flatten(1, 2).mul_(scale)
        near = near.baddbmm_(told @ told.transpose(1, 2), rows).mul_(rows).sum(1, keepdim=True)
        square = near.addcmul_(scale.square(), self._square).clamp_min_(0)
        shrink = torch.rsqrt(square / told.shape[-1] + self._eps)
        return _Seen(scale * shrink, rows.mul_(shrink), values)


def _conv_weight(layer: Any) -> Tensor:
    """A transposed convolution of side and stride 2 as a matrix on channels last: C to 2 · 2 · c."""
    return layer.weight.permute(0, 2, 3, 1).flatten(1)


def _centred(x: Tensor) -> Tensor:
    """Without the mean over the channels."""
    return x - x.mean(-1, keepdim=True)


def _heads(x: Tensor, n_heads: int) -> Tensor:
    """(P, T, heads · d) to (P, heads, T, d)."""
    return x.unflatten(-1, (n_heads, -1)).transpose(1, 2)


def _split(x: Tensor, n_heads: int) -> Tensor:
    """(N, heads · d) to (heads, d, N)."""
    return x.T.contiguous().unflatten(0, (n_heads, -1))


def _per_head(x: Tensor, matrices: Tensor) -> Tensor:
    """(P, heads, T, a) times (heads, a, b): contiguous (P, heads, T, b), without copies of the matrices."""
    if len(x) == 1:
        return torch.bmm(x[0], matrices)[None]
    n_prompts, n_heads, n_tokens, _ = x.shape
    found = torch.bmm(x.transpose(0, 1).reshape(n_heads, n_prompts * n_tokens, -1), matrices)
    return found.view(n_heads, n_prompts, n_tokens, -1).transpose(0, 1).contiguous()
