#include "csrc/kernels/winograd.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "csrc/kernels/rows.h"
#include "csrc/kernels/simd.h"
#include "csrc/kernels/step.h"
#include "csrc/kernels/tile.h"
#include "csrc/kernels/workspace.h"

namespace torch_hpu::kernels {
namespace {

using simd::Vec;

constexpr int64_t kIn = 6, kOut = 4, kPoints = kIn * kIn;
constexpr int64_t kTiles = 128;                 // in a block, at most: what shares transformed weights
constexpr int64_t kFewTiles = 32;               // too few to transform weights for
constexpr int64_t kBlockFloats = 5 << 20;       // of transformed inputs in a block, at most
constexpr int64_t kApart = 16;                  // floats between matrices, so that the 36 do not meet in one set of the cache
constexpr int64_t kDepth = 128;                 // channels that are summed at a time, which keeps rounding errors small
constexpr int64_t kSmallest = 32, kFewest = 8;  // channels and tiles from which the products can outweigh the transforms
constexpr int64_t kMany = 16;                   // tiles from which they do on every machine

// The points and their powers.
constexpr float kA = 0.625f, kB = 1.5f, kA2 = kA * kA, kB2 = kB * kB, kA3 = kA2 * kA, kB3 = kB2 * kB;
// 1 / prod(point - other points), which the weights take on.
constexpr float kN0 = 1 / (kA2 * kB2), kNA = 1 / (2 * kA2 * (kA2 - kB2)), kNB = 1 / (2 * kB2 * (kB2 - kA2));
constexpr float kWeights[kIn][3] = {
    {kN0, 0, 0}, {kNA, kNA* kA, kNA* kA2}, {kNA, -kNA* kA, kNA* kA2}, {kNB, kNB* kB, kNB* kB2}, {kNB, -kNB* kB, kNB* kB2}, {0, 0, 1}};

template <typename F>
HPU_INLINE void evaluate(const F& d0, const F& d1, const F& d2, const F& d3, const F& d4, const F& d5, F (&v)[kIn]) {
  const F ea = d4 - d2 * kB2, oa = (d3 - d1 * kB2) * kA, eb = d4 - d2 * kA2, ob = (d3 - d1 * kA2) * kB;
  v[0] = d0 * (kA2 * kB2) - d2 * (kA2 + kB2) + d4;
  v[1] = ea + oa;
  v[2] = ea - oa;
  v[3] = eb + ob;
  v[4] = eb - ob;
  v[5] = d1 * (kA2 * kB2) - d3 * (kA2 + kB2) + d5;
}

template <typename F>
HPU_INLINE void interpolate(const F (&m)[kIn], F (&y)[kOut]) {
  const F sa = m[1] + m[2], da = m[1] - m[2], sb = m[3] + m[4], db = m[3] - m[4];
  y[0] = m[0] + sa + sb;
  y[1] = da * kA + db * kB;
  y[2] = sa * kA2 + sb * kB2;
  y[3] = da * kA3 + db * kB3 + m[5];
}

// All channels of one tile. pixels: where each of its 6x6 inputs lies; to: value p of channel c at p * step + c.
template <int W>
HPU_INLINE void input_tile_in(const float* const* pixels, int64_t channels, float* to, int64_t step) {
  using F = typename Vec<W>::f32;
  for (int64_t c = 0; c < channels; c += W) {
    F columns[kIn][kIn];  // [column][point]
    for (int x = 0; x < kIn; ++x) {
      F d[kIn];
#pragma GCC unroll 6
      for (int y = 0; y < kIn; ++y) {
        simd::load<W>(pixels[y * kIn + x] + c, d[y]);
      }
      evaluate<F>(d[0], d[1], d[2], d[3], d[4], d[5], columns[x]);
    }
    for (int i = 0; i < kIn; ++i) {
      F v[kIn];
      evaluate<F>(columns[0][i], columns[1][i], columns[2][i], columns[3][i], columns[4][i], columns[5][i], v);
#pragma GCC unroll 6
      for (int j = 0; j < kIn; ++j) {
        simd::store<W>(to + (i * kIn + j) * step + c, v[j]);
      }
    }
  }
}

// Points (i, 0) ... (i, 5) of the weights of a panel's columns, packed [channels, 9, panel]: to [6, channels, panel].
template <int W>
HPU_INLINE void weight_row_in(const float* packed, int64_t channels, int64_t panel, int64_t columns, int64_t i, float* to) {
  using F = typename Vec<W>::f32;
  const float first = kWeights[i][0], second = kWeights[i][1], third = kWeights[i][2];
  const int64_t step = channels * panel;
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t k = 0; k < columns; k += W) {
      const float* g = packed + c * 9 * panel + k;
      F t[3];
#pragma GCC unroll 3
      for (int x = 0; x < 3; ++x) {
        F g0, g1, g2;
        simd::load<W>(g + x * panel, g0);
        simd::load<W>(g + (3 + x) * panel, g1);
        simd::load<W>(g + (6 + x) * panel, g2);
        t[x] = g0 * first + g1 * second + g2 * third;
      }
      const F ea = (t[0] + t[2] * kA2) * kNA, oa = t[1] * (kA * kNA), eb = (t[0] + t[2] * kB2) * kNB, ob = t[1] * (kB * kNB);
      float* u = to + c * panel + k;
      simd::store<W>(u, t[0] * kN0);
      simd::store<W>(u + step, ea + oa);
      simd::store<W>(u + 2 * step, ea - oa);
      simd::store<W>(u + 3 * step, eb + ob);
      simd::store<W>(u + 4 * step, eb - ob);
      simd::store<W>(u + 5 * step, t[2]);
    }
  }
}

// A post-op on the columns of a panel.
struct Finish {
  PostOp::Kind kind;
  float value;
  const float* tensor;  // its first value for these columns; null: none is read
  int64_t pixel;        // elements from one pixel to the next; 0: the same for all
};

// What becomes of the products of one tile. Pixels are counted through all images.
struct OutputTile {
  const float* from;  // value p of column k at p * step + k
  int64_t step, columns;
  const float* bias;  // of the columns, or null
  c10::ArrayRef<Finish> finishes;
  float* to;                                     // column k of a pixel at pixel * channels + k
  int64_t first, rows, across, width, channels;  // pixel at its upper left corner; how many of its pixels exist; pixels to the next row
};

template <int W>
HPU_INLINE void output_tile_in(const OutputTile& t) {
  using F = typename Vec<W>::f32;
  for (int64_t k = 0; k < t.columns; k += W) {
    F columns[kIn][kOut];  // [column][output row]
    for (int j = 0; j < kIn; ++j) {
      F m[kIn];
#pragma GCC unroll 6
      for (int i = 0; i < kIn; ++i) {
        simd::load<W>(t.from + (i * kIn + j) * t.step + k, m[i]);
      }
      interpolate<F>(m, columns[j]);
    }
    F bias{};
    if (t.bias != nullptr) {
      simd::load<W>(t.bias + k, bias);
    }
    for (int64_t y = 0; y < t.rows; ++y) {
      const F m[kIn] = {columns[0][y], columns[1][y], columns[2][y], columns[3][y], columns[4][y], columns[5][y]};
      F out[kOut];
      interpolate<F>(m, out);
      for (int64_t x = 0; x < t.across; ++x) {
        const int64_t pixel = t.first + y * t.width + x;
        F v = out[x] + bias;
        for (const Finish& f : t.finishes) {
          F other{};
          if (f.tensor != nullptr) {
            simd::load<W>(f.tensor + pixel * f.pixel + k, other);
          }
          v = f.kind == PostOp::Kind::kRelu  ? (v < 0 ? F{} : v)  // NaN stays
              : f.kind == PostOp::Kind::kAdd ? v + other
              : f.kind == PostOp::Kind::kMul ? v * other
                                             : v * f.value;
        }
        simd::store<W>(t.to + pixel * t.channels + k, v);
      }
    }
  }
}

HPU_DISPATCH(void, input_tile, (const float* const* pixels, int64_t channels, float* to, int64_t step), (pixels, channels, to, step))
HPU_DISPATCH(void, weight_row, (const float* packed, int64_t channels, int64_t panel, int64_t columns, int64_t i, float* to),
             (packed, channels, panel, columns, i, to))
HPU_DISPATCH(void, output_tile, (const OutputTile& t), (t))

}  // namespace

Winograd::Winograd(Problem problem)
    : problem_(std::move(problem)), down_(divide_up(problem_.out_height, kOut)), across_(divide_up(problem_.out_width, kOut)) {}

Winograd::Gain Winograd::gain(const Problem& p) {
  const int64_t width = vector_width(), tiles = p.images * divide_up(p.out_height, kOut) * divide_up(p.out_width, kOut);
  const bool simple = std::all_of(p.post_ops.begin(), p.post_ops.end(), [](const PostOp& op) {
    return op.kind == PostOp::Kind::kRelu || op.kind == PostOp::Kind::kScale || reads_tensor(op);
  });
  const bool any = simple && simd::isa() != simd::Isa::kBase && p.in_channels % width == 0 && p.out_channels % width == 0 &&
                   std::min(p.in_channels, p.out_channels) >= kSmallest && tiles >= kFewest;
  return !any ? Gain::kNone : tiles < kMany ? Gain::kSome : Gain::kMuch;
}

size_t Winograd::packed_floats() const {
  return static_cast<size_t>(panel_columns(problem_.out_channels) * problem_.in_channels * 9);
}

// The panel of output channels from k0 on: [in_channels, 9, panel].
void Winograd::pack_panel(const float* weights, int64_t k0, float* packed) const {
  const int64_t columns = std::min(panel_width(), problem_.out_channels - k0);
  pack_transposed(weights + k0 * problem_.weight_row, c10::ScalarType::Float, columns, problem_.in_channels * 9, problem_.weight_row,
                  packed);
}

void Winograd::pack(const float* weights, float* packed) const {
  const int64_t panel = panel_width();
  at::parallel_for(0, panel_columns(problem_.out_channels) / panel, 1, [&](int64_t begin, int64_t end) {
    for (int64_t k0 = begin * panel; k0 < end * panel; k0 += panel) {
      pack_panel(weights, k0, packed + k0 * problem_.in_channels * 9);
    }
  });
}

// One run: its addresses.
struct Winograd::Run {
  const float* src;
  Weights weights;
  float* dst;
  const float* bias;
  c10::ArrayRef<const float*> operands;
};

// Tiles [first, first + count) with their transformed inputs [36, count, in_channels]; `step` floats from one of the 36 matrices to the next.
struct Winograd::Block {
  int64_t first, count, step;
  float* inputs;
};

void Winograd::transform_inputs(const Run& run, const Block& block) const {
  const Problem& p = problem_;
  thread_local std::vector<float> zeros;
  zeros.resize(static_cast<size_t>(p.in_channels));
  for (int64_t tile = 0; tile < block.count; ++tile) {
    const int64_t t = block.first + tile, image = t / (down_ * across_);
    const int64_t top = t / across_ % down_ * kOut - p.pad_top, left = t % across_ * kOut - p.pad_left;
    const float* pixels[kPoints];
    for (int64_t i = 0; i < kPoints; ++i) {
      const int64_t y = top + i / kIn, x = left + i % kIn;
      const bool inside = y >= 0 && y < p.height && x >= 0 && x < p.width;
      pixels[i] = inside ? run.src + ((image * p.height + y) * p.width + x) * p.in_channels : zeros.data();
    }
    input_tile(pixels, p.in_channels, block.inputs + tile * p.in_channels, block.step);
  }
}

// The panel of output channels from k0 on.
void Winograd::multiply(const Run& run, const Block& block, int64_t k0) const {
  const Problem& p = problem_;
  const int64_t panel = panel_width(), columns = std::min(panel, p.out_channels - k0), step = block.count * panel + kApart;
  const int64_t panel_floats = p.in_channels * 9 * panel;
  float* weights = workspace_floats(Workspace::kPanel, kIn * kDepth * panel + kPoints * step + (run.weights.packed ? 0 : panel_floats));
  float* products = weights + kIn * kDepth * panel;
  const float* packed = run.weights.data + k0 * p.in_channels * 9;
  if (!run.weights.packed) {
    float* to = products + kPoints * step;
    pack_panel(run.weights.data, k0, to);
    packed = to;
  }
  for (int64_t i = 0; i < kIn; ++i) {
    for (int64_t c = 0; c < p.in_channels; c += kDepth) {
      const int64_t depth = std::min(kDepth, p.in_channels - c);
      weight_row(packed + c * panel * 9, depth, panel, columns, i, weights);
      for (int64_t j = 0; j < kIn; ++j) {
        const int64_t point = i * kIn + j;
        tile_by_panels({block.count, columns, depth, block.inputs + point * block.step + c, p.in_channels, 1, weights + j * depth * panel,
                        depth, 1, products + point * step, panel, c > 0});
      }
    }
  }
  c10::SmallVector<Finish, 4> finishes;
  size_t operand = 0;
  for (const PostOp& op : p.post_ops) {
    const bool reads = reads_tensor(op);
    const int64_t pixel = reads && !p.per_channel[operand] ? p.out_channels : 0;
    finishes.push_back({op.kind, static_cast<float>(op.value), reads ? run.operands[operand] + k0 : nullptr, pixel});
    operand += reads;
  }
  for (int64_t tile = 0; tile < block.count; ++tile) {
    const int64_t t = block.first + tile, image = t / (down_ * across_), y = t / across_ % down_ * kOut, x = t % across_ * kOut;
    output_tile({products + tile * panel, step, columns, run.bias == nullptr ? nullptr : run.bias + k0, finishes, run.dst + k0,
                 (image * p.out_height + y) * p.out_width + x, std::min(kOut, p.out_height - y), std::min(kOut, p.out_width - x),
                 p.out_width, p.out_channels});
  }
}

void Winograd::run(const float* src, Weights weights, float* dst, const float* bias, c10::ArrayRef<const float*> operands) const {
  const Run run{src, weights, dst, bias, operands};
  const int64_t all = problem_.images * down_ * across_, panel = panel_width(), panels = panel_columns(problem_.out_channels) / panel;
  const int64_t threads = at::get_num_threads(),
                most = std::clamp<int64_t>(kBlockFloats / (kPoints * problem_.in_channels), kFewest, kTiles);
  // A thread transforms the inputs that it multiplies: what passes from core to core costs more than doing it twice. So threads share the tiles; few
  // tiles are done by all of them, and the panels are shared.
  int64_t blocks = divide_up(all, most), parts = 1;
  if (all >= threads * kFewTiles) {
    blocks = round_up(blocks, threads);
  } else {
    parts = std::min(panels, divide_up(threads, blocks));
  }
  at::parallel_for(0, blocks * parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t b = i / parts, part = i % parts, first = all * b / blocks, count = all * (b + 1) / blocks - first;
      const int64_t step = count * problem_.in_channels + kApart;
      const Block block{first, count, step, workspace_floats(Workspace::kTransformed, kPoints * step)};
      transform_inputs(run, block);
      for (int64_t n = panels * part / parts; n < panels * (part + 1) / parts; ++n) {
        multiply(run, block, n * panel);
      }
    }
  });
}

}  // namespace torch_hpu::kernels
