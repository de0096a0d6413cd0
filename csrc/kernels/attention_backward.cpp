// The gradients of attention, from the kept log-sum-exp instead of a kept score matrix. With P = exp(scores - logsumexp):
//   grad_v = P^T grad_out;  dP = grad_out V^T;  dS = P * (dP - rowsum(grad_out * out)) * scale;  grad_q = dS K;  grad_k = dS^T Q.
// A task is one group: it alone adds to its grad_k and grad_v, block of keys by block of keys, in a fixed order.
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "csrc/kernels/attention.h"

namespace torch_hpu::kernels {
namespace {

constexpr int64_t kRows = 64, kKeys = 128;

class AttentionBackwardStep final : public LibraryStep {
 public:
  explicit AttentionBackwardStep(const LibraryCall& call)
      : LibraryStep(call), call_(call), shape_(attention_shape(call, call.reads[1], call.reads[2], call.reads[3])) {}

 protected:
  void execute(const Invocation& invocation) const override {
    const AttentionShape& s = shape_;
    auto heads = [&](const Operand& o) { return Heads(o, invocation); };
    const Run run{heads(call_.reads[0]),
                  heads(call_.reads[1]),
                  heads(call_.reads[2]),
                  heads(call_.reads[3]),
                  heads(call_.reads[5]),
                  Mask(call_.reads[4], invocation),
                  reinterpret_cast<const float*>(address(call_.reads[6], invocation)),
                  heads(call_.writes[0]),
                  heads(call_.writes[1]),
                  heads(call_.writes[2])};
    at::parallel_for(0, s.b * s.g, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        group(run, i / s.g, i % s.g);
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

  // All rows of a group in float: queries, grad_out, and the sums of grad_q; per row logsumexp and rowsum(grad_out * out).
  struct Rows {
    std::vector<float> q, grad_out, grad_q, logsumexp, delta;
  };

  Rows load_rows(const Run& run, int64_t b, int64_t g) const {
    const AttentionShape& s = shape_;
    const auto n = static_cast<size_t>(s.rows());
    Rows rows{std::vector<float>(n * static_cast<size_t>(s.e)), std::vector<float>(n * static_cast<size_t>(s.f)),
              std::vector<float>(n * static_cast<size_t>(s.e), 0.0f), std::vector<float>(n), std::vector<float>(n)};
    std::vector<float> out(static_cast<size_t>(s.f));
    const auto& strides = call_.reads[6].strides;
    for (int64_t r = 0; r < s.rows(); ++r) {
      const int64_t h = g * s.repeat + r / s.l, l = r % s.l;
      float* grad_out = rows.grad_out.data() + r * s.f;
      widen(run.q.at(b, h, l), run.q.dtype, s.e, 1, rows.q.data() + r * s.e);
      widen(run.grad_out.at(b, h, l), run.grad_out.dtype, s.f, 1, grad_out);
      widen(run.out.at(b, h, l), run.out.dtype, s.f, 1, out.data());
      float delta = 0;
      for (int64_t j = 0; j < s.f; ++j) {
        delta += grad_out[j] * out[static_cast<size_t>(j)];
      }
      rows.delta[static_cast<size_t>(r)] = delta;
      rows.logsumexp[static_cast<size_t>(r)] = run.logsumexp[b * strides[0] + h * strides[1] + l * strides[2]];
    }
    return rows;
  }

  void group(const Run& run, int64_t b, int64_t g) const {
    const AttentionShape& s = shape_;
    Rows rows = load_rows(run, b, g);
    std::vector<float> keys(static_cast<size_t>(s.e * kKeys)), values(static_cast<size_t>(s.f * kKeys)), p(kRows * kKeys),
        ds(kRows * kKeys), grad_k(static_cast<size_t>(kKeys * s.e)), grad_v(static_cast<size_t>(kKeys * s.f));
    const TileKernel by_rows = tile_by_rows(c10::ScalarType::Float);
    for (int64_t s0 = 0; s0 < s.s; s0 += kKeys) {
      const int64_t n = std::min(kKeys, s.s - s0);
      transpose_block(run.k.at(b, g, s0), run.k.dtype, n, s.e, run.k.strides[2], keys.data(), kKeys);
      transpose_block(run.v.at(b, g, s0), run.v.dtype, n, s.f, run.v.strides[2], values.data(), kKeys);
      std::fill(grad_k.begin(), grad_k.end(), 0.0f);
      std::fill(grad_v.begin(), grad_v.end(), 0.0f);
      for (int64_t r0 = 0; r0 < s.rows(); r0 += kRows) {
        const int64_t m = std::min(kRows, s.rows() - r0);
        if (s.causal && s.repeat == 1 && r0 + m <= s0) {
          continue;  // no row of the block sees a key of the block
        }
        const float *q = rows.q.data() + r0 * s.e, *grad_out = rows.grad_out.data() + r0 * s.f;
        by_rows({m, n, s.e, q, s.e, 1, keys.data(), kKeys, 1, p.data(), kKeys});
        by_rows({m, n, s.f, grad_out, s.f, 1, values.data(), kKeys, 1, ds.data(), kKeys});
        for (int64_t i = 0; i < m; ++i) {
          const int64_t r = r0 + i;
          float *prow = p.data() + i * kKeys, *drow = ds.data() + i * kKeys;
          scale_row(prow, n, s.scale);
          mask_row(s, run.mask, b, g * s.repeat + r / s.l, r % s.l, s0, n, prow);
          const float logsumexp = rows.logsumexp[static_cast<size_t>(r)], delta = rows.delta[static_cast<size_t>(r)];
          if (logsumexp == -std::numeric_limits<float>::infinity()) {  // a row that sees nothing
            std::fill(prow, prow + n, 0.0f);
            std::fill(drow, drow + n, 0.0f);
            continue;
          }
          exp_and_sum(prow, n, logsumexp);
          for (int64_t j = 0; j < n; ++j) {
            drow[j] = prow[j] * (drow[j] - delta) * s.scale;
          }
        }
        by_rows({n, s.f, m, p.data(), 1, kKeys, grad_out, s.f, 1, grad_v.data(), s.f, true});
        by_rows({n, s.e, m, ds.data(), 1, kKeys, q, s.e, 1, grad_k.data(), s.e, true});
        tile_by_rows(run.k.dtype)(
            {m, s.e, n, ds.data(), kKeys, 1, run.k.at(b, g, s0), run.k.strides[2], 1, rows.grad_q.data() + r0 * s.e, s.e, true});
      }
      for (int64_t j = 0; j < n; ++j) {
        narrow(grad_k.data() + j * s.e, s.e, const_cast<void*>(run.grad_k.at(b, g, s0 + j)), run.grad_k.dtype);
        narrow(grad_v.data() + j * s.f, s.f, const_cast<void*>(run.grad_v.at(b, g, s0 + j)), run.grad_v.dtype);
      }
    }
    for (int64_t r = 0; r < s.rows(); ++r) {
      narrow(rows.grad_q.data() + r * s.e, s.e, const_cast<void*>(run.grad_q.at(b, g * s.repeat + r / s.l, r % s.l)), run.grad_q.dtype);
    }
  }

  LibraryCall call_;
  AttentionShape shape_;
};

}  // namespace

std::unique_ptr<Step> make_attention_backward(const LibraryCall& call, const Constants&) {
  return std::make_unique<AttentionBackwardStep>(call);
}

}  // namespace torch_hpu::kernels
