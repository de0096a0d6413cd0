// Attention without a score matrix in memory: blocks of rows meet blocks of keys, a running maximum and sum per row rescale what has been added up
// (online softmax). A task is a range of rows of one group; tasks share nothing, so results do not depend on the number of threads.
#include "csrc/kernels/attention.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "csrc/kernels/rows.h"
#include "csrc/kernels/tile.h"
#include "csrc/kernels/workspace.h"

namespace torch_hpu::kernels {
namespace {

constexpr int64_t kRows = 48, kKeys = 256;
constexpr int64_t kFewRows = 6;             // so few that packing keys and values costs more than it gains
constexpr int64_t kWorkPerThread = 200000;  // multiplications that pay for waking another thread
constexpr float kLowest = -std::numeric_limits<float>::infinity();

class AttentionStep final : public LibraryStep {
 public:
  explicit AttentionStep(const LibraryCall& call)
      : LibraryStep(call),
        call_(call),
        shape_(attention_shape(call, call.reads[0], call.reads[1], call.reads[2])),
        packed_(shape_.rows() > kFewRows),
        f_(packed_ ? round_up(shape_.f, vector_width()) : shape_.f) {}

 protected:
  void execute(const Invocation& invocation) const override {
    const AttentionShape& s = shape_;
    Run run{Heads(call_.reads[0], invocation), Heads(call_.reads[1], invocation), Heads(call_.reads[2], invocation),
            Heads(call_.writes[0], invocation), Mask(call_.reads[3], invocation)};
    run.logsumexp = reinterpret_cast<float*>(optional_address(call_.writes[1], invocation));
    // Whole groups, unless there are too few of them for the threads.
    const int64_t groups = s.b * s.g, row_blocks = round_up(s.rows(), kRows) / kRows;
    const int64_t wanted = groups % at::get_num_threads() == 0 ? 1 : round_up(2 * at::get_num_threads(), groups) / groups;
    const int64_t parts = std::min(wanted, row_blocks), part = round_up(row_blocks, parts) / parts * kRows;
    const int64_t work = std::min(part, s.rows()) * s.s * (s.e + s.f);
    at::parallel_for(0, groups * parts, std::max<int64_t>(1, kWorkPerThread / work), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t group = i / parts, r0 = i % parts * part;
        if (r0 < s.rows()) {
          attend(run, group / s.g, group % s.g, r0, std::min(part, s.rows() - r0));
        }
      }
    });
  }

 private:
  struct Run {
    Heads q, k, v, out;
    Mask mask;
    float* logsumexp = nullptr;
  };

  // Rows of a group, all that belongs to one of them at the same place of each array.
  struct Rows {
    float* q;      // [rows, E], scaled
    float* sums;   // [rows, f_], of exp(score - top) * value
    float* total;  // of exp(score - top)
    float* top;    // the largest score so far; all rows see the first block of keys, which sets the sums
  };

  // A block of keys and values as the products read them.
  struct Keys {
    int64_t s0, n;
    const float *keys, *values;  // panels, when packed
  };

  void attend(const Run& run, int64_t b, int64_t g, int64_t r0, int64_t rows) const {
    const AttentionShape& s = shape_;
    const int64_t panel = panel_columns(std::min(kKeys, s.s)), block = std::min(kRows, rows);
    const int64_t per_rows = round_up(rows * (s.e + f_ + 2), vector_width());  // panels and scores lie aligned
    float* q = workspace_floats(Workspace::kAttention, per_rows + block * panel + (packed_ ? panel * (s.e + panel_columns(s.f)) : 0));
    const Rows all{q, q + rows * s.e, q + rows * (s.e + f_), q + rows * (s.e + f_ + 1)};
    float *scores = q + per_rows, *keys = scores + block * panel, *values = keys + panel * s.e;
    for (int64_t i = 0; i < rows; ++i) {
      widen(run.q.at(b, s.head(g, r0 + i), (r0 + i) % s.l), run.q.dtype, s.e, s.scale, q + i * s.e);
    }
    std::fill(all.top, all.top + rows, kLowest);
    const int64_t last = s.visible(r0, rows);
    for (int64_t s0 = 0; s0 < last; s0 += kKeys) {
      const int64_t n = std::min(kKeys, last - s0);
      if (packed_) {
        pack_transposed(run.k.at(b, g, s0), run.k.dtype, n, s.e, run.k.row(), keys);
        pack(run.v.at(b, g, s0), run.v.dtype, n, s.f, run.v.row(), values);
      }
      for (int64_t i = 0; i < rows; i += kRows) {
        const int64_t m = std::min(kRows, rows - i), seen = std::min(n, s.visible(r0 + i, m) - s0);
        if (seen <= 0) {
          continue;  // all keys of the block are behind the diagonal
        }
        meet(run, b, g, r0 + i, m, {s0, n, keys, values}, seen, scores, panel,
             {q + i * s.e, all.sums + i * f_, all.total + i, all.top + i});
      }
    }
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t r = r0 + i, h = s.head(g, r), l = r % s.l;
      const float total = all.total[i];
      narrow(all.sums + i * f_, s.f, total == 0 ? 0 : 1 / total, run.out.at(b, h, l), run.out.dtype);  // NaN stays
      if (run.logsumexp != nullptr) {
        const auto& strides = call_.writes[1].strides;
        run.logsumexp[b * strides[0] + h * strides[1] + l * strides[2]] = all.top[i] + std::log(total);
      }
    }
  }

  // m rows from r0 on against the first `seen` keys of a block. scores [m, row]: scratch.
  void meet(const Run& run, int64_t b, int64_t g, int64_t r0, int64_t m, const Keys& block, int64_t seen, float* scores, int64_t row,
            const Rows& rows) const {
    const AttentionShape& s = shape_;
    const bool first = block.s0 == 0;
    if (packed_) {
      tile_by_panels({m, round_up(seen, vector_width()), s.e, rows.q, s.e, 1, block.keys, s.e, 1, scores, row});
    } else {
      tile_by_columns(run.k.dtype)({m, seen, s.e, rows.q, s.e, 1, run.k.at(b, g, block.s0), 1, run.k.row(), scores, row});
    }
    for (int64_t i = 0; i < m; ++i) {
      float* y = scores + i * row;
      mask_row(s, run.mask, b, g, r0 + i, block.s0, seen, y);
      const float highest = std::max(rows.top[i], row_max(y, seen));
      const float shift = highest == kLowest ? 0 : highest;  // nothing seen yet: exp gives zeros (or NaN, which no maximum sees)
      const float total = exp_and_sum(y, seen, shift);
      if (first) {
        rows.total[i] = total;
      } else if (highest == rows.top[i]) {
        rows.total[i] += total;
      } else {
        const float shrink = std::exp(rows.top[i] - shift);
        rows.total[i] = rows.total[i] * shrink + total;
        scale_row(rows.sums + i * f_, s.f, shrink);
      }
      rows.top[i] = highest;
    }
    if (packed_) {
      tile_by_panels({m, f_, seen, scores, row, 1, block.values, block.n, 1, rows.sums, f_, !first});
    } else {
      tile_by_rows(run.v.dtype)({m, s.f, seen, scores, row, 1, run.v.at(b, g, block.s0), run.v.row(), 1, rows.sums, f_, !first});
    }
  }

  LibraryCall call_;
  AttentionShape shape_;
  bool packed_;
  int64_t f_;  // row stride of sums
};

}  // namespace

std::unique_ptr<Step> make_attention(const LibraryCall& call, const Constants&) {
  return std::make_unique<AttentionStep>(call);
}

}  // namespace torch_hpu::kernels
