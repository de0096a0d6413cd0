#include <ATen/Parallel.h>

#include "test/cpp/kernels/call_builder.h"
#include "test/cpp/kernels/isa_levels.h"

namespace torch_hpu {
namespace {

using kernels::Primitive;
using testing::CallBuilder;
using testing::expect_close;

struct Case {
  const char* what;
  int64_t b, h, g, l, s, e, f;
  bool causal;
  int mask;  // 0: none, 1: bool [L, S], 2: additive [B, 1, L, S], 3: bool with rows that see nothing
};

const Case kCases[] = {
    {"plain", 2, 3, 3, 70, 300, 40, 40, false, 0},     {"causal", 1, 2, 2, 130, 130, 64, 64, true, 0},
    {"decode", 2, 8, 2, 1, 257, 64, 64, false, 0},     {"grouped", 1, 6, 2, 33, 50, 16, 24, true, 0},
    {"bool mask", 2, 2, 2, 20, 40, 8, 8, false, 1},    {"additive mask", 2, 4, 2, 20, 300, 8, 8, false, 2},
    {"blind rows", 1, 2, 2, 9, 12, 8, 8, false, 3},    {"one key", 1, 1, 1, 5, 1, 4, 4, false, 0},
    {"long causal", 1, 1, 1, 4, 600, 16, 16, true, 0}, {"odd widths", 1, 2, 1, 19, 37, 5, 3, true, 0},
    {"many rows", 1, 1, 1, 400, 300, 40, 40, true, 0}, {"few rows", 2, 2, 2, 3, 90, 33, 70, false, 2},
};

at::Tensor mask_of(const Case& c) {
  if (c.mask == 0) {
    return {};
  }
  if (c.mask == 2) {
    return at::randn({c.b, 1, c.l, c.s});
  }
  at::Tensor m = at::rand({c.l, c.s}).gt(0.3);
  m.select(1, 0).fill_(true);
  if (c.mask == 3) {
    m.select(0, 2).fill_(false);
  }
  return m;
}

at::Tensor reference(const Case& c, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& mask, double scale,
                     at::Tensor* lse) {
  const at::Tensor kk = k.repeat_interleave(c.h / c.g, 1), vv = v.repeat_interleave(c.h / c.g, 1);
  at::Tensor scores = at::matmul(q, kk.transpose(-2, -1)) * scale;
  if (c.causal) {
    scores = scores.masked_fill(at::ones({c.l, c.s}, at::kBool).tril().logical_not(), -INFINITY);
  }
  if (mask.defined()) {
    scores = mask.scalar_type() == at::kBool ? scores.masked_fill(mask.logical_not(), -INFINITY) : scores + mask.to(at::kDouble);
  }
  *lse = at::logsumexp(scores, -1);
  const at::Tensor blind = lse->eq(-INFINITY).unsqueeze(-1);
  return at::matmul(at::softmax(scores.masked_fill(blind, 0), -1).masked_fill(blind, 0), vv);
}

class Attention : public testing::IsaLevels {};
INSTANTIATE_TEST_SUITE_P(Isa, Attention, testing::kIsaLevels, testing::isa_name);

TEST_P(Attention, ForwardAndBackward) {
  for (const Case& c : kCases) {
    for (auto dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
      const double tolerance = dtype == at::kFloat ? 2e-5 : dtype == at::kHalf ? 5e-3 : 4e-2, scale = 0.3;
      const std::string what = std::string(c.what) + ' ' + c10::toString(dtype);
      // [B, L, H, E] in memory, as models make them
      const at::Tensor q = at::randn({c.b, c.l, c.h, c.e}).to(dtype).transpose(1, 2),
                       k = at::randn({c.b, c.s, c.g, c.e}).to(dtype).transpose(1, 2), v = at::randn({c.b, c.g, c.s, c.f}).to(dtype),
                       mask = mask_of(c);
      const at::Tensor dq = q.to(at::kDouble).requires_grad_(), dk = k.to(at::kDouble).requires_grad_(),
                       dv = v.to(at::kDouble).requires_grad_();
      at::Tensor lse;
      const at::Tensor expected = reference(c, dq, dk, dv, mask, scale, &lse);
      const at::Tensor out = at::empty({c.b, c.h, c.l, c.f}, dtype), got_lse = at::empty({c.b, c.h, c.l});
      CallBuilder(Primitive::kAttention)
          .read(q)
          .read(k)
          .read(v)
          .read(mask)
          .write(out)
          .write(got_lse)
          .ints({c.causal})
          .floats({scale})
          .run();
      expect_close(out, expected.detach(), tolerance, what);
      expect_close(got_lse, lse.detach(), tolerance, what);
      const at::Tensor grad = at::randn({c.b, c.h, c.l, c.f}).to(dtype);
      expected.backward(grad.to(at::kDouble));
      const at::Tensor gq = at::empty_like(q), gk = at::empty_like(k), gv = at::empty_like(v);
      CallBuilder(Primitive::kAttentionBackward)
          .read(grad)
          .read(q)
          .read(k)
          .read(v)
          .read(mask)
          .read(out)
          .read(got_lse)
          .write(gq)
          .write(gk)
          .write(gv)
          .ints({c.causal})
          .floats({scale})
          .run();
      expect_close(gq, dq.grad(), tolerance * 4, what);
      expect_close(gk, dk.grad(), tolerance * 4, what);
      expect_close(gv, dv.grad(), tolerance * 4, what);
    }
  }
}

// A row that holds NaN gives NaN, as ATen's softmax does; its neighbours do not notice.
TEST_P(Attention, KeepsNan) {
  for (int64_t l : {1, 20}) {
    const at::Tensor q = at::randn({1, 2, l, 8}), k = at::randn({1, 2, 30, 8}), v = at::randn({1, 2, 30, 8}), out = at::empty({1, 2, l, 8});
    q.select(1, 1).select(1, 0).fill_(NAN);
    CallBuilder(Primitive::kAttention).read(q).read(k).read(v).read({}).write(out).write({}).ints({0}).floats({1}).run();
    EXPECT_TRUE(out.select(1, 1).select(1, 0).isnan().all().item<bool>());
    EXPECT_FALSE(out.select(1, 0).isnan().any().item<bool>());
  }
}

TEST_P(Attention, UnwantedGradientsAreLeftOut) {
  const at::Tensor q = at::randn({1, 2, 5, 8}), lse = at::zeros({1, 2, 5}),
                   all[] = {at::empty_like(q), at::empty_like(q), at::empty_like(q)};
  auto run = [&](const at::Tensor& gq, const at::Tensor& gk, const at::Tensor& gv) {
    CallBuilder(Primitive::kAttentionBackward)
        .read(q)
        .read(q)
        .read(q)
        .read(q)
        .read({})
        .read(q)
        .read(lse)
        .write(gq)
        .write(gk)
        .write(gv)
        .ints({0})
        .floats({1})
        .run();
  };
  run(all[0], all[1], all[2]);
  for (int i = 0; i < 3; ++i) {
    at::Tensor one[3];
    one[i] = at::empty_like(q);
    run(one[0], one[1], one[2]);
    EXPECT_TRUE(at::equal(one[i], all[i])) << i;
  }
}

TEST(AttentionShapes, DoesNotDependOnThreads) {
  const at::Tensor q = at::randn({1, 3, 500, 32}), k = at::randn({1, 3, 300, 32}), v = at::randn({1, 3, 300, 32});
  auto run = [&](int threads) {
    const int before = at::get_num_threads();
    at::set_num_threads(threads);
    at::Tensor out = at::empty_like(q);
    CallBuilder(Primitive::kAttention).read(q).read(k).read(v).read({}).write(out).write({}).ints({0}).floats({0.2}).run();
    at::set_num_threads(before);
    return out;
  };
  EXPECT_TRUE(at::equal(run(1), run(2)));
}

TEST(AttentionShapes, Declines) {
  const at::Tensor wide = at::randn({1, 1, 4, 8}, at::kDouble), odd = at::randn({1, 1, 8, 4}).transpose(2, 3),
                   plain = at::randn({1, 1, 4, 8});
  auto supported = [](const at::Tensor& q, const at::Tensor& k) {
    CallBuilder builder(Primitive::kAttention);
    return builder.read(q)
        .read(k)
        .read(k)
        .read({})
        .write(at::empty_like(q, at::MemoryFormat::Contiguous))
        .write({})
        .ints({0})
        .floats({1})
        .supported();
  };
  EXPECT_TRUE(supported(plain, plain));
  EXPECT_FALSE(supported(wide, wide));
  EXPECT_FALSE(supported(plain, odd));
}

}  // namespace
}  // namespace torch_hpu
