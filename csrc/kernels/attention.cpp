// Attention without a score matrix in memory: blocks of rows meet blocks of keys, a running maximum and sum per row rescale what has been added up
// (online softmax). A task is a block of rows of one group; tasks share nothing, so results do not depend on the number of threads.
#include "csrc/kernels/attention.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace torch_hpu::kernels {
namespace {

constexpr int64_t kRows = 64, kKeys = 256;
constexpr int64_t kFewRows = 4;  // so few that transposing the keys costs more than it gains
constexpr float kLowest = -std::numeric_limits<float>::infinity();

class AttentionStep final : public LibraryStep {
 public:
  explicit AttentionStep(const LibraryCall& call)
      : LibraryStep(call), call_(call), shape_(attention_shape(call, call.reads[0], call.reads[1], call.reads[2])) {}

 protected:
  void execute(const Invocation& invocation) const override {
    const AttentionShape& s = shape_;
    if (numel(call_.writes[0]) == 0) {
      return;
    }
    Run run{Heads(call_.reads[0], invocation), Heads(call_.reads[1], invocation), Heads(call_.reads[2], invocation),
            Heads(call_.writes[0], invocation), Mask(call_.reads[3], invocation)};
    if (call_.writes.size() > 1 && present(call_.writes[1])) {
      run.logsumexp = reinterpret_cast<float*>(address(call_.writes[1], invocation));
    }
    const int64_t key_blocks = (s.s + kKeys - 1) / kKeys;
    std::vector<float> keys;  // [group, block, E, kKeys]
    if (s.rows() > kFewRows) {
      keys.resize(static_cast<size_t>(s.b * s.g * key_blocks * s.e * kKeys));
      at::parallel_for(0, s.b * s.g * key_blocks, std::max<int64_t>(1, 32768 / (s.e * kKeys)), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t group = i / key_blocks, s0 = i % key_blocks * kKeys;
          transpose_block(run.k.at(group / s.g, group % s.g, s0), run.k.dtype, std::min(kKeys, s.s - s0), s.e, run.k.strides[2],
                          keys.data() + i * s.e * kKeys, kKeys);
        }
      });
      run.keys = keys.data();
    }
    const int64_t row_blocks = (s.rows() + kRows - 1) / kRows;
    const int64_t work = std::min(kRows, s.rows()) * s.s * (s.e + s.f);
    at::parallel_for(0, s.b * s.g * row_blocks, std::max<int64_t>(1, 200000 / std::max<int64_t>(work, 1)), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t group = i / row_blocks, r0 = i % row_blocks * kRows;
        block(run, group / s.g, group % s.g, r0, std::min(kRows, s.rows() - r0));
      }
    });
  }

 private:
  struct Run {
    Heads q, k, v, out;
    Mask mask;
    const float* keys = nullptr;  // transposed
    float* logsumexp = nullptr;
  };

  void block(const Run& run, int64_t b, int64_t g, int64_t r0, int64_t rows) const {
    const AttentionShape& s = shape_;
    thread_local std::vector<float> scratch;
    scratch.resize(static_cast<size_t>(rows * (s.e + kKeys + s.f + 2)));
    float *q = scratch.data(), *scores = q + rows * s.e, *sums = scores + rows * kKeys, *top = sums + rows * s.f, *total = top + rows;
    std::fill(sums, sums + rows * s.f, 0.0f);
    std::fill(top, top + rows, kLowest);
    std::fill(total, total + rows, 0.0f);
    int64_t last = 0;  // the last key that some row sees
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t r = r0 + i, h = g * s.repeat + r / s.l, l = r % s.l;
      widen(run.q.at(b, h, l), run.q.dtype, s.e, s.scale, q + i * s.e);
      last = std::max(last, s.causal ? std::min(l + 1, s.s) : s.s);
    }
    const int64_t key_blocks = (s.s + kKeys - 1) / kKeys;
    for (int64_t s0 = 0; s0 < last; s0 += kKeys) {
      const int64_t n = std::min(kKeys, last - s0);
      Tile t{rows, n, s.e, q, s.e, 1, nullptr, 0, 1, scores, kKeys};
      if (run.keys != nullptr) {
        t.b = run.keys + ((b * s.g + g) * key_blocks + s0 / kKeys) * s.e * kKeys;
        t.b_row = kKeys;
        tile_by_rows(c10::ScalarType::Float)(t);
      } else {
        t.b = run.k.at(b, g, s0);
        t.b_row = 1;
        t.b_col = run.k.strides[2];
        tile_by_columns(run.k.dtype)(t);
      }
      for (int64_t i = 0; i < rows; ++i) {
        const int64_t r = r0 + i, h = g * s.repeat + r / s.l, l = r % s.l;
        float* row = scores + i * kKeys;
        mask_row(s, run.mask, b, h, l, s0, n, row);
        const float highest = std::max(top[i], row_max(row, n));
        if (highest == kLowest) {
          std::fill(row, row + n, 0.0f);
          continue;
        }
        const float shrink = std::exp(top[i] - highest);
        top[i] = highest;
        total[i] = total[i] * shrink + exp_and_sum(row, n, highest);
        if (shrink != 1) {
          scale_row(sums + i * s.f, s.f, shrink);
        }
      }
      tile_by_rows(run.v.dtype)({rows, s.f, n, scores, kKeys, 1, run.v.at(b, g, s0), run.v.strides[2], 1, sums, s.f, true});
    }
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t r = r0 + i, h = g * s.repeat + r / s.l, l = r % s.l;
      scale_row(sums + i * s.f, s.f, total[i] > 0 ? 1 / total[i] : total[i] == 0 ? 0 : total[i]);  // NaN stays
      narrow(sums + i * s.f, s.f, const_cast<void*>(run.out.at(b, h, l)), run.out.dtype);
      if (run.logsumexp != nullptr) {
        const auto& strides = call_.writes[1].strides;
        run.logsumexp[b * strides[0] + h * strides[1] + l * strides[2]] = top[i] + std::log(total[i]);
      }
    }
  }

  LibraryCall call_;
  AttentionShape shape_;
};

bool has_rows(const Operand& o, c10::ScalarType t) {
  return o.dtype == t && o.sizes.size() == 4 && (o.strides[3] == 1 || o.sizes[3] == 1);
}

}  // namespace

AttentionShape attention_shape(const LibraryCall& call, const Operand& q, const Operand& k, const Operand& v) {
  AttentionShape s;
  s.b = q.sizes[0];
  s.h = q.sizes[1];
  s.g = k.sizes[1];
  s.l = q.sizes[2];
  s.s = k.sizes[2];
  s.e = q.sizes[3];
  s.f = v.sizes[3];
  s.repeat = s.g == 0 ? 0 : s.h / s.g;
  s.causal = call.ints.at(0) != 0;
  s.scale = static_cast<float>(call.floats.at(0));
  return s;
}

Heads::Heads(const Operand& o, const Invocation& invocation)
    : data(address(o, invocation)), dtype(o.dtype), itemsize(static_cast<int64_t>(c10::elementSize(o.dtype))) {
  std::copy(o.sizes.begin(), o.sizes.end(), sizes.begin());
  std::copy(o.strides.begin(), o.strides.end(), strides.begin());
}

void widen(const void* from, c10::ScalarType dtype, int64_t n, float factor, float* to) {
  if (dtype == c10::ScalarType::Float) {
    std::copy_n(static_cast<const float*>(from), n, to);
  } else {
    std::copy_n(static_cast<const c10::BFloat16*>(from), n, to);
  }
  if (factor != 1) {
    scale_row(to, n, factor);
  }
}

void narrow(const float* from, int64_t n, void* to, c10::ScalarType dtype) {
  if (dtype == c10::ScalarType::Float) {
    std::copy_n(from, n, static_cast<float*>(to));
  } else {
    std::copy_n(from, n, static_cast<c10::BFloat16*>(to));
  }
}

Mask::Mask(const Operand& o, const Invocation& invocation) : present(kernels::present(o)), dtype(o.dtype) {
  if (!present) {
    return;
  }
  data = address(o, invocation);
  for (size_t d = 0; d < o.sizes.size(); ++d) {
    strides[4 - o.sizes.size() + d] = o.sizes[d] == 1 ? 0 : o.strides[d];
  }
}

void Mask::add(int64_t b, int64_t h, int64_t l, int64_t s0, int64_t n, float* scores) const {
  const int64_t at = b * strides[0] + h * strides[1] + l * strides[2] + s0 * strides[3], step = strides[3];
  if (dtype == c10::ScalarType::Bool) {
    const auto* m = reinterpret_cast<const bool*>(data) + at;
    for (int64_t i = 0; i < n; ++i) {
      scores[i] = m[i * step] ? scores[i] : kLowest;
    }
  } else if (dtype == c10::ScalarType::Float) {
    const auto* m = reinterpret_cast<const float*>(data) + at;
    for (int64_t i = 0; i < n; ++i) {
      scores[i] += m[i * step];
    }
  } else {
    const auto* m = reinterpret_cast<const c10::BFloat16*>(data) + at;
    for (int64_t i = 0; i < n; ++i) {
      scores[i] += static_cast<float>(m[i * step]);
    }
  }
}

void mask_row(const AttentionShape& shape, const Mask& mask, int64_t b, int64_t h, int64_t l, int64_t s0, int64_t n, float* scores) {
  if (mask.present) {
    mask.add(b, h, l, s0, n, scores);
  }
  if (shape.causal && l + 1 < s0 + n) {
    std::fill(scores + std::max<int64_t>(0, l + 1 - s0), scores + n, kLowest);
  }
}

bool attention_supported(const LibraryCall& call) {
  const bool backward = call.primitive == Primitive::kAttentionBackward;
  const size_t first = backward ? 1 : 0;  // of q, k, v, mask
  const Operand &q = call.reads[first], &k = call.reads[first + 1], &v = call.reads[first + 2], &mask = call.reads[first + 3];
  const c10::ScalarType t = q.dtype;
  if ((t != c10::ScalarType::Float && t != c10::ScalarType::BFloat16) || !has_rows(q, t) || !has_rows(k, t) || !has_rows(v, t) ||
      !has_rows(call.writes[0], t) || k.sizes[1] == 0 || q.sizes[1] % k.sizes[1] != 0 || k.sizes[1] != v.sizes[1] ||
      q.sizes[0] != k.sizes[0] || numel(k) == 0) {
    return false;
  }
  if (present(mask) && (mask.sizes.size() > 4 || (mask.dtype != c10::ScalarType::Bool && mask.dtype != c10::ScalarType::Float &&
                                                  mask.dtype != c10::ScalarType::BFloat16))) {
    return false;
  }
  if (!backward) {
    return call.writes.size() < 2 || !present(call.writes[1]) || call.writes[1].dtype == c10::ScalarType::Float;
  }
  return has_rows(call.reads[0], t) && has_rows(call.reads[5], t) && has_rows(call.writes[1], t) && has_rows(call.writes[2], t) &&
         call.reads[6].dtype == c10::ScalarType::Float;
}

std::unique_ptr<Step> make_attention(const LibraryCall& call, const Constants&) {
  return std::make_unique<AttentionStep>(call);
}

}  // namespace torch_hpu::kernels
