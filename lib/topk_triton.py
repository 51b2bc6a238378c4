"""The CUDA half of ``lib.topk``: tile maxima in one kernel that never writes the scores.

Checked in Triton's interpreter against plain torch, on the CPU; not measured, as no GPU was
available: block sizes are reasoned, not tuned, and no speed is claimed. Products are IEEE float32
(no TF32), so that CPU and CUDA agree within float32 rounding.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 32  # items a tile: one exclusion word; lib.topk.CUDA_TILE
USERS, TILES, DEPTH = 64, 4, 32  # users, tiles and dimensions a program holds at a time


def exclusion_words(n_users: int, n_items: int, n: int, rows: Tensor, columns: Tensor) -> Tensor:
    """Return int32 words (u × tiles): bit j is set where the tile's j-th item does not count.

    (``rows``, ``columns``) are the excluded pairs, each once; items from ``n`` on are padding.
    """
    words = torch.zeros(n_users, n_items // TILE, dtype=torch.int32, device=rows.device)
    bits = (1 << columns % TILE).int()  # bit 31 wraps to the sign, as it should
    words.index_put_((rows, columns // TILE), bits, accumulate=True)
    if n < n_items:
        words[:, n // TILE] |= -1 << n % TILE
        words[:, n // TILE + 1 :] = -1
    return words


@triton.jit
def _maxima_kernel(  # type: ignore[no-untyped-def]  # Triton would look the names up as globals
    users, items, words, out, n_users, n_tiles, d,
    tile: tl.constexpr, block: tl.constexpr, tiles: tl.constexpr, depth: tl.constexpr,
):  # fmt: skip
    u = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    t = tl.program_id(1).to(tl.int64) * tiles + tl.arange(0, tiles)
    i = tl.program_id(1).to(tl.int64) * tiles * tile + tl.arange(0, tiles * tile)
    scores = tl.zeros((block, tiles * tile), dtype=tl.float32)
    for start in range(0, d, depth):
        c = start + tl.arange(0, depth)
        inside_u = (u < n_users)[:, None] & (c < d)[None, :]
        inside_i = (i < n_tiles * tile)[None, :] & (c < d)[:, None]
        x = tl.load(users + u[:, None] * d + c[None, :], mask=inside_u, other=0.0)
        y = tl.load(items + i[None, :] * d + c[:, None], mask=inside_i, other=0.0)
        scores = tl.dot(x, y, scores, input_precision="ieee")
    at = u[:, None] * n_tiles + t[None, :]
    inside = (u < n_users)[:, None] & (t < n_tiles)[None, :]
    word = tl.load(words + at, mask=inside, other=0)
    gone = (word[:, :, None] >> tl.arange(0, tile)[None, None, :]) & 1
    tiled = tl.reshape(scores, (block, tiles, tile))
    tl.store(out + at, tl.max(tl.where(gone == 1, float("-inf"), tiled), axis=2), mask=inside)


def tile_maxima(users: Tensor, items: Tensor, words: Tensor) -> Tensor:
    """Return each user's largest score in every tile: float32 (u × i/32), −inf where none counts.

    ``users`` (u × d) and ``items`` (i × d, i a multiple of 32) are contiguous float32, ``words``
    those of ``exclusion_words``.
    """
    n_users, n_tiles = words.shape
    out = torch.empty(n_users, n_tiles, dtype=torch.float32, device=users.device)
    grid = (triton.cdiv(n_users, USERS), triton.cdiv(n_tiles, TILES))
    _maxima_kernel[grid](
        users, items, words, out, n_users, n_tiles, users.shape[1],
        tile=TILE, block=USERS, tiles=TILES, depth=DEPTH,
    )  # fmt: skip
    return out
