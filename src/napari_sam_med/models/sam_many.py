"""SAM's mask decoder for many prompts on one image: the same numbers up to rounding, in less time. Imports torch.

The decoder of ``segment_anything`` changes all 4096 image tokens, 256 numbers each, anew for every prompt. But a
prompt has few tokens, and all that they tell an image token is a mixture, by attention, of what they have to say. So
the image that a prompt sees after any layer is the image of all prompts, scaled at each place by the layer norm, plus a
sum of few products: attention (a number a place) times what was told (a number a channel). It is kept in that form
(:class:`_Seen`). What attention asks of it is linear, so products with the image of all prompts are made once for an
image (:class:`_Depth`), in the 16 channels of a head, and the rest is sums over the few rows. The variance that the
layer norm divides by follows from the same sums. Masks are drawn only where one has the score that is asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_sam_med.models.sam_library import Sam

_STRIPE = 1024
"""Image tokens that a mask is drawn from at once where images go one by one: what comes between stays in the caches."""


class ManyDecoder:
    """Multimask answers of a SAM, for prompts without a fed-back mask.

    Parameters
    ----------
    sam : Sam
        With its weights; they are not copied.
    features : Tensor, shape (1, C, h, w)
        Image embedding.
    one_by_one : bool, optional
        Work on the images of the prompts one after another, in stripes that fit a processor's caches, and not on all
        together; by default on a CPU.
    """

    def __init__(self, sam: Sam, features: Tensor, one_by_one: bool | None = None) -> None:
        self._decoder = sam.mask_decoder
        self._grid = (features.shape[2], features.shape[3])
        self._one_by_one = features.device.type == "cpu" if one_by_one is None else one_by_one
        transformer = self._decoder.transformer
        image = features[0].flatten(1).T + sam.prompt_encoder.no_mask_embed.weight
        place = sam.prompt_encoder.get_dense_pe()[0].flatten(1).T
        depth = _Depth(image, (), image.new_zeros(image.shape[1]))
        self._steps = []
        for layer in transformer.layers:
            from_image = _FromImage(layer.cross_attn_token_to_image, depth, place)
            to_image = _ToImage(layer.cross_attn_image_to_token, layer.norm4, depth, place)
            self._steps.append((layer, from_image, to_image))
            depth = to_image.after
        self._last = _FromImage(transformer.final_attn_token_to_image, depth, place)
        self._up = depth.mapped(_conv_weight(self._decoder.output_upscaling[0]))

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
        drawn = kept.any(1)
        if drawn.any():
            tokens, prompt, seen = tokens[drawn], prompt[drawn], _chosen(seen, drawn)
            mlps = decoder.output_hypernetworks_mlps[1:]
            of_masks = slice(2, 2 + len(mlps))
            last = self._finish(tokens[:, of_masks], prompt[:, of_masks], seen)
            weights = torch.stack([mlp(last[:, k]) for k, mlp in enumerate(mlps)], dim=1)
            images = (one for group in seen for one in group.split())
            for place, one, weight in zip(drawn.nonzero()[:, 0].tolist(), images, weights, strict=True):
                low_res[place] = self._draw(one, weight[kept[place]])
        return low_res, [score[keep] for score, keep in zip(scores, kept, strict=True)]

    def _transform(self, prompt: Tensor) -> tuple[Tensor, list[_Seen]]:
        """The layers of the two-way transformer: tokens (P, T, C) and the image as the prompts see it."""
        ones = prompt.new_ones((len(prompt), 1, self._grid[0] * self._grid[1]))
        # tokens go together, since reading the weights takes longest; images would not fit a CPU's caches together
        seen = [_Seen(scale, ()) for scale in ones.split(1 if self._one_by_one else len(prompt))]
        queries = prompt
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

    def _finish(self, tokens: Tensor, prompt: Tensor, seen: Sequence[_Seen]) -> Tensor:
        """The last attention to the image, for some of the tokens (P, T, C)."""
        return self._decoder.transformer.norm_final_attn(tokens + self._last(tokens + prompt, seen))

    def _draw(self, seen: _Seen, weights: Tensor) -> Tensor:
        """Logits (K, 4h, 4w) from the image that one prompt sees and the weights of each mask (K, c)."""
        first, norm, act, second, last_act = self._decoder.output_upscaling
        base, first_bias = self._up.base, self._up.shift + first.bias.repeat(4)
        second_weight, second_bias = _conv_weight(second), second.bias.repeat(4)
        told = [(rows[0], told[0]) for rows, told in self._up.told(seen)]
        (height, width), n_masks = self._grid, len(weights)
        fine = weights.new_empty((n_masks, len(base), 16))
        stripe = _STRIPE if self._one_by_one else len(base)
        for start in range(0, len(base), stripe):
            here = slice(start, start + stripe)
            x = base[here] * seen.scale[0, :, here].T
            for rows, said in told:
                x.addmm_(rows[:, here].T, said)
            x = x.add_(first_bias).view(-1, len(norm.weight))  # (n · 2 · 2, c)
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

    Base and shift are those of the :class:`_Depth`; what was told is values · out, of the depth, too.

    Attributes
    ----------
    scale : Tensor, shape (P, 1, N)
    layers : tuple of (rows, values), one a layer passed
        Attention of the places to the tokens, head by head, shape (P, heads · T, N), and what each token tells in the
        channels of its head, shape (P, heads, T, d + 1); the last channel is 1.
    """

    scale: Tensor
    layers: tuple[tuple[Tensor, Tensor], ...]

    def __len__(self) -> int:
        return len(self.scale)

    def of(self, prompts: Tensor) -> _Seen:
        """The images of some prompts, given as booleans."""
        return _Seen(
            self.scale[prompts], tuple((rows[prompts], values[prompts]) for rows, values in self.layers)
        )

    def split(self) -> list[_Seen]:
        """The image of each prompt."""
        return [
            _Seen(self.scale[k : k + 1], tuple((r[k : k + 1], v[k : k + 1]) for r, v in self.layers))
            for k in range(len(self))
        ]


def _chosen(seen: Sequence[_Seen], prompts: Tensor) -> list[_Seen]:
    """The images of some prompts, given as booleans, in groups as before; what is kept whole is not copied."""
    groups = zip(seen, prompts.split([len(group) for group in seen]), strict=True)
    return [group if here.all() else group.of(here) for group, here in groups if here.any()]


@dataclass(frozen=True)
class _Depth:
    """What the images of all prompts have in common after some layers, or a linear map of that.

    Attributes
    ----------
    base : Tensor, shape (N, C)
    out : tuple of Tensor, shape (heads, d + 1, C), one a layer passed
        From what a token tells to the channels of the image.
    shift : Tensor, shape (C,)
    """

    base: Tensor
    out: tuple[Tensor, ...]
    shift: Tensor

    def mapped(self, weight: Tensor) -> _Depth:
        """Times a matrix (C, c)."""
        return _Depth(self.base @ weight, tuple(out @ weight for out in self.out), self.shift @ weight)

    def told(self, seen: _Seen) -> list[tuple[Tensor, Tensor]]:
        """For each layer, rows (P, J, N) and what was told (P, J, C)."""
        return [
            (rows, _per_head(values, out).flatten(1, 2))
            for (rows, values), out in zip(seen.layers, self.out, strict=True)
        ]


class _Asked:
    """Scores of tokens against the places of the image: products with their projections, (x W + bias) · asked."""

    def __init__(self, projection: Any, n_heads: int, depth: _Depth, place: Tensor) -> None:
        self._n_heads, self._depth = n_heads, depth.mapped(projection.weight.T)
        placed = place @ projection.weight.T + (self._depth.shift + projection.bias)
        if not depth.out:  # not scaled yet
            placed += self._depth.base
        self._placed = _channels_first(placed, n_heads)
        self._base = _channels_first(self._depth.base, n_heads)

    def __call__(self, asked: Tensor, seen: _Seen) -> Tensor:
        """Scores (P, heads, T, N) of what tokens ask, (P, heads, T, d)."""
        if not seen.layers:
            return _per_head(asked, self._placed)
        scores = _per_head(asked, self._placed, _per_head(asked, self._base).mul_(seen.scale[:, None]))
        flat = scores.flatten(1, 2)
        for rows, told in self._depth.told(seen):
            near = torch.einsum("phtd,pjhd->phtj", asked, told.unflatten(-1, (self._n_heads, -1)))
            flat.baddbmm_(near.flatten(1, 2), rows)
        return scores


class _FromImage:
    """Attention of tokens to the image."""

    def __init__(self, attention: Any, depth: _Depth, place: Tensor) -> None:
        self._attention, self._n_heads = attention, attention.num_heads
        self._asked = _Asked(attention.k_proj, self._n_heads, depth, place)
        self._depth = depth.mapped(attention.v_proj.weight.T)
        self._base = _channels_first(self._depth.base, self._n_heads).transpose(1, 2)
        self._shift = self._depth.shift + attention.v_proj.bias

    def __call__(self, queries: Tensor, seen: Sequence[_Seen]) -> Tensor:
        """What tokens (P, T, C) find in the images of their prompts."""
        asked = _heads(self._attention.q_proj(queries), self._n_heads)
        asked = (asked / asked.shape[-1] ** 0.5).split([len(group) for group in seen])
        found = torch.cat([self._found(one, group) for one, group in zip(asked, seen, strict=True)])
        # shares add up to 1, so that the shift comes out whole
        return self._attention.out_proj(found.transpose(1, 2).flatten(2) + self._shift)

    def _found(self, asked: Tensor, seen: _Seen) -> Tensor:
        share = torch.softmax(self._asked(asked, seen), dim=-1)
        if not seen.layers:
            return _per_head(share, self._base)
        flat = share.flatten(1, 2)
        near = [
            (torch.bmm(flat, rows.transpose(1, 2)).view(*asked.shape[:3], -1), _heads(told, self._n_heads))
            for rows, told in self._depth.told(seen)
        ]
        found = _per_head(share.mul_(seen.scale[:, None]), self._base)
        return found + sum(weight @ told for weight, told in near)


class _ToImage:
    """Attention of the image to tokens, and the layer norm that follows."""

    def __init__(self, attention: Any, norm: Any, depth: _Depth, place: Tensor) -> None:
        self._attention, self._n_heads, self._eps = attention, attention.num_heads, norm.eps
        self._asked = _Asked(attention.q_proj, self._n_heads, depth, place)
        out = attention.out_proj.weight.T.unflatten(0, (self._n_heads, -1))
        # shares add up to 1 in each head, so that shift and bias come out whole
        always = (depth.shift + attention.out_proj.bias).expand(self._n_heads, 1, -1) / self._n_heads
        outs = tuple(_centred(part) for part in (*depth.out, torch.cat([out, always], dim=1)))
        base = _centred(depth.base)
        self._centred = _Depth(base, outs, torch.zeros_like(depth.shift))
        self._square = base.square().sum(1)
        self._pulls = [2 * part @ base.T for part in outs]  # (heads, d + 1, N)
        self.after = _Depth(base * norm.weight, tuple(part * norm.weight for part in outs), norm.bias)

    def __call__(self, keys: Tensor, values: Tensor, seen: Sequence[_Seen]) -> list[_Seen]:
        """The images after attention to their prompts' tokens, (P, T, C) each, and the layer norm."""
        asked = _heads(self._attention.k_proj(keys), self._n_heads)
        values = F.pad(_heads(self._attention.v_proj(values), self._n_heads), (0, 1), value=1.0)
        sizes = [len(group) for group in seen]
        groups = zip((asked / asked.shape[-1] ** 0.5).split(sizes), values.split(sizes), seen, strict=True)
        return [self._told(*group) for group in groups]

    def _told(self, asked: Tensor, values: Tensor, seen: _Seen) -> _Seen:
        rows = torch.softmax(self._asked(asked, seen), dim=2).flatten(1, 2)
        seen = _Seen(seen.scale, (*seen.layers, (rows, values)))
        shrink = torch.rsqrt(self._squares(seen) / self._centred.base.shape[1] + self._eps)
        return _Seen(seen.scale * shrink, tuple((rows * shrink, values) for rows, values in seen.layers))

    def _squares(self, seen: _Seen) -> Tensor:
        """Sums of squares over the centred channels, (P, 1, N).

        |scale · base + Σ rowᵢ toldᵢ|² = scale² |base|² + Σ rowᵢ (2 scale base · toldᵢ + Σ rowⱼ toldⱼ · toldᵢ), of which
        the pairs i, j of different layers are taken once and doubled.
        """
        told = self._centred.told(seen)
        squares = seen.scale.square() * self._square
        for k, ((rows, mine), (_, values)) in enumerate(zip(told, seen.layers, strict=True)):
            near = _per_head(values, self._pulls[k]).flatten(1, 2).mul_(seen.scale)
            for others, theirs in told[:k]:
                near.baddbmm_(mine @ theirs.transpose(1, 2), others, alpha=2)
            near.baddbmm_(mine @ mine.transpose(1, 2), rows)
            squares += near.mul_(rows).sum(1, keepdim=True)
        return squares.clamp_min_(0)


def _conv_weight(layer: Any) -> Tensor:
    """A transposed convolution of side and stride 2 as a matrix on channels last: C to 2 · 2 · c."""
    return layer.weight.permute(0, 2, 3, 1).flatten(1)


def _centred(x: Tensor) -> Tensor:
    """Without the mean over the channels."""
    return x - x.mean(-1, keepdim=True)


def _heads(x: Tensor, n_heads: int) -> Tensor:
    """(P, T, heads · d) to (P, heads, T, d)."""
    return x.unflatten(-1, (n_heads, -1)).transpose(1, 2)


def _channels_first(x: Tensor, n_heads: int) -> Tensor:
    """(N, heads · d) to (heads, d, N)."""
    return x.T.contiguous().unflatten(0, (n_heads, -1))


def _per_head(x: Tensor, matrices: Tensor, onto: Tensor | None = None) -> Tensor:
    """(P, heads, T, a) times (heads, a, b): contiguous (P, heads, T, b), without copies of the matrices.

    Added in place to `onto`, if that is given.
    """
    n_prompts, n_heads, n_tokens, _ = x.shape
    if n_prompts == 1:
        if onto is not None:
            onto[0].baddbmm_(x[0], matrices)
            return onto
        return torch.bmm(x[0], matrices)[None]
    found = torch.bmm(x.transpose(0, 1).reshape(n_heads, n_prompts * n_tokens, -1), matrices)
    found = found.view(n_heads, n_prompts, n_tokens, -1).transpose(0, 1)
    return found.contiguous() if onto is None else onto.add_(found)
