// The gradients of attention, from the kept log-sum-exp instead of a kept score matrix. With P = exp(scores - logsumexp):
//   grad_v = P^T grad_out;  dP = grad_out V^T;  dS = P * (dP - rowsum(grad_out * out)) * scale;  grad_q = dS K;  grad_k = dS^T Q.
// A task is one group: it alone adds to its grad_k and grad_v, block of keys by block of keys, in a fixed order.
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "csrc/kernels/attention.h"
#include "csrc/kernels/rows.h"
#include "csrc/kernels/tile.h"

namespace torch_hpu::kernels {
namespace {

constexpr int64_t kRows = 48, kKeys = 128;

class AttentionBackwardStep final : public LibraryStep {
 public:
  explicit AttentionBackwardStep(const LibraryCall& call)
      : LibraryStep(call),
        call_(call),
        shape_(attention_shape(call, call.reads[1], call.reads[2], call.reads[3])),
        e_(round_up(shape_.e, vector_width())),
        f_(round_up(shape_.f, vector_width())) {}

 protected:
  void execute(const Invocation& invocation) const override {
    auto heads = [&](const Operand& o) { return Heads(o, invocation); };
    const auto& reads = call_.reads;
    const Run run{heads(reads[0]),
                  heads(reads[1]),
                  heads(reads[2]),
                  heads(reads[3]),
                  heads(reads[5]),
                  Mask(reads[4], invocation),
                  reinterpret_cast<const float*>(address(reads[6], invocation)),
                  heads(call_.writes[0]),
                  heads(call_.writes[1]),
                  heads(call_.writes[2])};
    at::parallel_for(0, shape_.b * shape_.g, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        group(run, i / shape_.g, i % shape_.g);
      }
    });
  }

 private:
  struct Run {
    Heads grad_out, q, k, v, out;
    Mask mask;
    const float* logsumexp;
    Heads grad_q, grad_k, grad_v;
  };

  // All rows of a group in float; matrices have row strides e_ and f_, filled up with zeros.
  struct Rows {
    float *q, *grad_out, *grad_q;
    float *logsumexp, *delta;  // delta: rowsum(grad_out * out)
  };

  // A block of keys and values, their gradients, and what one block of rows makes of them.
  struct Keys {
    int64_t s0, n;
    float *k_panels, *v_panels;  // transposed: [E, n], [F, n]
    float* k;                    // [n, e_]
    float *grad_k, *grad_v;      // [n, e_], [n, f_]
    float *p, *ds;               // [kRows, kKeys]
  };

  // Consecutive arrays in one scratch.
  class Carver {
   public:
    explicit Carver(float* at) : at_(at) {}
    float* take(int64_t n) {
      return std::exchange(at_, at_ + n);
    }

   private:
    float* at_;
  };

  void group(const Run& run, int64_t b, int64_t g) const {
    const AttentionShape& s = shape_;
    const int64_t rows = s.rows();
    thread_local std::vector<float> scratch;
    scratch.resize(static_cast<size_t>(rows * (2 * e_ + f_ + 2) + kKeys * (s.e + s.f + 2 * e_ + f_ + 2 * kRows)));
    Carver carver(scratch.data());
    const Rows all{carver.take(rows * e_), carver.take(rows * f_), carver.take(rows * e_), carver.take(rows), carver.take(rows)};
    Keys keys{0,
              0,
              carver.take(kKeys * s.e),
              carver.take(kKeys * s.f),
              carver.take(kKeys * e_),
              carver.take(kKeys * e_),
              carver.take(kKeys * f_),
              carver.take(kRows * kKeys),
              carver.take(kRows * kKeys)};
    load_rows(run, b, g, all);
    for (; keys.s0 < s.s; keys.s0 += kKeys) {
      keys.n = std::min(kKeys, s.s - keys.s0);
      load_keys(run, b, g, keys);
      for (int64_t r0 = 0; r0 < rows; r0 += kRows) {
        const int64_t m = std::min(kRows, rows - r0), seen = std::min(keys.n, s.visible(r0, m) - keys.s0);
        if (seen > 0) {
          meet(run, b, g, r0, m, seen, all, keys);
        }
      }
      for (int64_t j = 0; j < keys.n; ++j) {
        store(keys.grad_k + j * e_, s.e, run.grad_k, b, g, keys.s0 + j);
        store(keys.grad_v + j * f_, s.f, run.grad_v, b, g, keys.s0 + j);
      }
    }
    for (int64_t r = 0; r < rows; ++r) {
      store(all.grad_q + r * e_, s.e, run.grad_q, b, s.head(g, r), r % s.l);
    }
  }

  static void store(const float* row, int64_t n, const Heads& to, int64_t b, int64_t h, int64_t i) {
    if (to.data != nullptr) {
      narrow(row, n, 1, to.at(b, h, i), to.dtype);
    }
  }

  void load_rows(const Run& run, int64_t b, int64_t g, const Rows& all) const {
    const AttentionShape& s = shape_;
    const auto& strides = call_.reads[6].strides;
    std::fill(all.q, all.logsumexp, 0.0f);
    std::vector<float> out(static_cast<size_t>(s.f));
    for (int64_t r = 0; r < s.rows(); ++r) {
      const int64_t h = s.head(g, r), l = r % s.l;
      float* grad_out = all.grad_out + r * f_;
      widen(run.q.at(b, h, l), run.q.dtype, s.e, 1, all.q + r * e_);
      widen(run.grad_out.at(b, h, l), run.grad_out.dtype, s.f, 1, grad_out);
      widen(run.out.at(b, h, l), run.out.dtype, s.f, 1, out.data());
      all.delta[r] = dot_rows(grad_out, out.data(), s.f);
      const float logsumexp = run.logsumexp[b * strides[0] + h * strides[1] + l * strides[2]];
      all.logsumexp[r] = logsumexp == -std::numeric_limits<float>::infinity() ? 0 : logsumexp;  // a row that sees nothing: all P are zero
    }
  }

  void load_keys(const Run& run, int64_t b, int64_t g, const Keys& keys) const {
    const AttentionShape& s = shape_;
    pack_transposed(run.k.at(b, g, keys.s0), run.k.dtype, keys.n, s.e, run.k.row(), keys.k_panels);
    pack_transposed(run.v.at(b, g, keys.s0), run.v.dtype, keys.n, s.f, run.v.row(), keys.v_panels);
    std::fill(keys.k, keys.p, 0.0f);
    for (int64_t j = 0; j < keys.n; ++j) {
      widen(run.k.at(b, g, keys.s0 + j), run.k.dtype, s.e, 1, keys.k + j * e_);
    }
  }

  // m rows from r0 on against the first `seen` keys of a block.
  void meet(const Run& run, int64_t b, int64_t g, int64_t r0, int64_t m, int64_t seen, const Rows& all, const Keys& keys) const {
    const AttentionShape& s = shape_;
    const int64_t columns = round_up(seen, vector_width());
    const float *q = all.q + r0 * e_, *grad_out = all.grad_out + r0 * f_;
    tile_by_panels({m, columns, s.e, q, e_, 1, keys.k_panels, s.e, 1, keys.p, kKeys});
    tile_by_panels({m, columns, s.f, grad_out, f_, 1, keys.v_panels, s.f, 1, keys.ds, kKeys});
    for (int64_t i = 0; i < m; ++i) {
      const int64_t r = r0 + i;
      float* p = keys.p + i * kKeys;
      scale_row(p, seen, s.scale);
      mask_row(s, run.mask, b, g, r, keys.s0, seen, p);
      exp_and_sum(p, seen, all.logsumexp[r]);
      softmax_gradient(p, keys.ds + i * kKeys, seen, all.delta[r], s.scale);
    }
    const TileKernel by_rows = tile_by_rows(c10::ScalarType::Float);
    by_rows({seen, f_, m, keys.p, 1, kKeys, grad_out, f_, 1, keys.grad_v, f_, true});
    by_rows({seen, e_, m, keys.ds, 1, kKeys, q, e_, 1, keys.grad_k, e_, true});
    by_rows({m, e_, seen, keys.ds, kKeys, 1, keys.k, e_, 1, all.grad_q + r0 * e_, e_, true});
  }

  LibraryCall call_;
  AttentionShape shape_;
  int64_t e_, f_;  // row strides of matrices in float
};

}  // namespace

std::unique_ptr<Step> make_attention_backward(const LibraryCall& call, const Constants&) {
  return std::make_unique<AttentionBackwardStep>(call);
}

}  // namespace torch_hpu::kernels
