// The reference step against direct calls of ATen: every kind of argument and every way of storing.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "csrc/kernels/composites.h"
#include "csrc/support/philox.h"
#include "test/cpp/kernels/node_builder.h"

namespace torch_hpu {
namespace {

using testing::NodeBuilder;

TEST(Reference, FunctionalIntoStridedDestination) {
  const at::Tensor a = at::randn({3, 4}), b = at::randn({4, 3}).t(), base = at::zeros({3, 8});
  const at::Tensor out = base.slice(1, 0, 8, 2);
  NodeBuilder("aten::add", "Tensor").tensor(a).tensor(b).scalar(2.0).write(out).run();
  EXPECT_TRUE(at::equal(out, a + b * 2));
  EXPECT_TRUE(at::equal(base.slice(1, 1, 8, 2), at::zeros({3, 4})));
}

TEST(Reference, InPlaceCastsAndReadsBeforeItWrites) {
  const at::Tensor x = at::arange(6, at::kLong).reshape({2, 3});
  const at::Tensor expected = (x + 0.5).to(at::kLong);
  NodeBuilder("aten::add", "Tensor").tensor(x).scalar_tensor(0.5, at::kDouble, true).scalar(int64_t{1}).write(x).run();
  EXPECT_TRUE(at::equal(x, expected));
  const at::Tensor m = at::randn({4, 4}), product = at::mm(m, m);
  NodeBuilder("aten::mm").tensor(m).tensor(m).write(m).out_variant("out").run();
  EXPECT_TRUE(at::allclose(m, product));
}

TEST(Reference, OutVariantIsUsedOnlyWhenDtypesAgree) {
  const at::Tensor a = at::randn({3, 5}), b = at::randn({5, 2});
  at::Tensor out = at::empty({3, 2});
  NodeBuilder("aten::mm").tensor(a).tensor(b).write(out).out_variant("out").run(3);
  EXPECT_TRUE(at::allclose(out, at::mm(a, b)));
  out = at::empty({3, 2}, at::kDouble);  // mm.out would refuse
  NodeBuilder("aten::mm").tensor(a).tensor(b).write(out).out_variant("out").run(3);
  EXPECT_TRUE(at::allclose(out, at::mm(a, b).to(at::kDouble)));
  out = at::empty({2, 3}).t();
  NodeBuilder("aten::mm").tensor(a).tensor(b).write(out).out_variant("out").run(3);
  EXPECT_TRUE(at::allclose(out, at::mm(a, b)));
}

TEST(Reference, WrappedNumbersDoNotPromote) {
  const at::Tensor a = at::randn({3}).to(at::kHalf), out = at::empty({3}, at::kHalf);
  NodeBuilder("aten::mul", "Tensor").tensor(a).scalar_tensor(3.0, at::kDouble, true).write(out).run();
  EXPECT_TRUE(at::equal(out, a * 3.0));
  const at::Tensor n = at::ones({2}, at::kInt), wide = at::empty({2}, at::kFloat);
  NodeBuilder("aten::mul", "Tensor").tensor(n).scalar_tensor(0.5, at::kFloat, false).write(wide).run();
  EXPECT_TRUE(at::equal(wide, n * at::scalar_tensor(0.5, at::kFloat)));
}

TEST(Reference, ListsOptionalsAndUnwantedReturns) {
  const at::Tensor a = at::randn({2, 3}), b = at::randn({1, 3}), out = at::empty({3, 3});
  NodeBuilder("aten::cat").tensors({a, b}).constant(int64_t{0}).write(out).run();
  EXPECT_TRUE(at::equal(out, at::cat({a, b})));

  const at::Tensor x = at::randn({4, 5, 6}), i = at::tensor({1, 3}, at::kLong), picked = at::empty({4, 2, 6});
  NodeBuilder("aten::index", "Tensor").tensor(x).tensors({at::Tensor(), i}).write(picked).run();
  EXPECT_TRUE(at::equal(picked, x.index_select(1, i)));

  const at::Tensor largest = at::empty({4, 6}), where = at::empty({4, 6}, at::kLong);
  NodeBuilder("aten::max", "dim").tensor(x).constant(int64_t{1}).constant(false).write(at::Tensor()).write(where).run();
  EXPECT_TRUE(at::equal(where, std::get<1>(x.max(1))));

  const at::Tensor norm = at::empty({4, 5, 6});
  NodeBuilder("aten::native_layer_norm")
      .tensor(x)
      .constant(std::vector<int64_t>{6})
      .none()
      .none()
      .scalar(1e-5)
      .write(norm)
      .write(at::Tensor())
      .write(at::Tensor())
      .run();
  EXPECT_TRUE(at::allclose(norm, at::layer_norm(x, {6})));
}

TEST(Reference, ConjugateAndNegativeBits) {
  const at::Tensor z = at::randn({3, 3}, at::kComplexFloat), out = at::empty({3, 3}, at::kComplexFloat);
  NodeBuilder("aten::mul", "Tensor").tensor(z.conj()).tensor(z).write(out).run();
  EXPECT_TRUE(at::allclose(out, z.conj() * z));
  const at::Tensor imag = at::imag(z.conj()), real = at::empty({3, 3});
  ASSERT_TRUE(imag.is_neg());
  NodeBuilder("aten::neg").tensor(imag).write(real).run();
  EXPECT_TRUE(at::equal(real, at::imag(z)));
}

TEST(Reference, MutatingNodeWritesItsArgumentsAndFreshReturns) {
  const at::Tensor x = at::randn({8, 3, 4, 4}), mean = at::zeros({3}), var = at::ones({3});
  at::Tensor expected_mean = mean.clone(), expected_var = var.clone();
  const auto expected = at::native_batch_norm(x, {}, {}, expected_mean, expected_var, true, 0.1, 1e-5);
  const at::Tensor out = at::empty_like(x), save_mean = at::empty({3}), save_invstd = at::empty({3});
  NodeBuilder("aten::native_batch_norm")
      .tensor(x)
      .none()
      .none()
      .tensor(mean)
      .tensor(var)
      .constant(true)
      .scalar(0.1)
      .scalar(1e-5)
      .mutates({3, 4})
      .write(out)
      .write(save_mean)
      .write(save_invstd)
      .run();
  EXPECT_TRUE(at::allclose(out, std::get<0>(expected)));
  EXPECT_TRUE(at::allclose(save_mean, std::get<1>(expected)));
  EXPECT_TRUE(at::allclose(mean, expected_mean));
  EXPECT_TRUE(at::allclose(var, expected_var));

  const at::Tensor y = at::zeros({5}), index = at::tensor({1, 1, 4}, at::kLong);
  NodeBuilder("aten::index_put_").tensor(y).tensors({index}).tensor(at::ones({3})).constant(true).mutates({0}).run();
  EXPECT_TRUE(at::equal(y, at::tensor({0.f, 2.f, 0.f, 0.f, 1.f})));
}

TEST(Reference, FactoriesRunOnTheHost) {
  const at::Tensor out = at::empty({3});
  NodeBuilder("aten::full")
      .constant(std::vector<int64_t>{3})
      .scalar(1.5)
      .none()
      .none()
      .constant(c10::Device(c10::DeviceType::PrivateUse1, 0))
      .constant(true)
      .write(out)
      .run();
  EXPECT_TRUE(at::equal(out, at::full({3}, 1.5)));
}

TEST(Reference, KernelErrorsPropagate) {
  const at::Tensor w = at::randn({4, 2}), i = at::tensor({9}, at::kLong), out = at::empty({1, 2});
  EXPECT_THROW(NodeBuilder("aten::index_select").tensor(w).constant(int64_t{0}).tensor(i).write(out).run(), c10::Error);
}

TEST(Random, UniformFollowsTheNote) {
  const at::Tensor x = at::empty({3, 7});
  NodeBuilder("aten::uniform").tensor(x).scalar(-1.0).scalar(3.0).none().random(42, 5).write(x).run();
  for (int64_t i = 0; i < x.numel(); ++i) {
    EXPECT_EQ(x.const_data_ptr<float>()[i], -1.0f + 4.0f * philox_uniform_float(42, 5, static_cast<uint64_t>(i)));
  }
  const at::Tensor wide = at::empty({9}, at::kDouble);
  NodeBuilder("aten::uniform").tensor(wide).scalar(0.0).scalar(1.0).none().random(42, 5).write(wide).run();
  EXPECT_EQ(wide[8].item<double>(), philox_uniform_double(42, 5, 8));
}

TEST(Random, SameOffsetSameNumbersOtherOffsetOthers) {
  auto draw = [](int64_t offset) {
    at::Tensor x = at::empty({1000});
    NodeBuilder("aten::normal_functional").tensor(x).scalar(0.0).scalar(1.0).none().random(1, offset).write(x).run();
    return x;
  };
  EXPECT_TRUE(at::equal(draw(0), draw(0)));
  EXPECT_FALSE(at::equal(draw(0), draw(1000)));
  EXPECT_NEAR(draw(0).mean().item<double>(), 0, 0.1);
  EXPECT_NEAR(draw(0).std().item<double>(), 1, 0.1);
}

TEST(Random, DropoutScalesWhatItKeeps) {
  const at::Tensor x = at::randn({64, 33}), out = at::empty({64, 33}), mask = at::empty({64, 33}, at::kBool);
  NodeBuilder("aten::native_dropout").tensor(x).scalar(0.25).constant(true).random(3, 0).write(out).write(mask).run();
  EXPECT_TRUE(at::allclose(out, x * mask / 0.75));
  EXPECT_NEAR(mask.to(at::kFloat).mean().item<double>(), 0.75, 0.03);
  for (uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(mask.const_data_ptr<bool>()[i], philox_uniform_float(3, 0, i) < 0.75f);
  }
}

TEST(Random, IntegersStayInRange) {
  const at::Tensor x = at::empty({4096}, at::kLong);
  NodeBuilder("aten::random", "from").tensor(x).constant(int64_t{-3}).constant(int64_t{5}).none().random(7, 0).write(x).run();
  EXPECT_EQ(x.min().item<int64_t>(), -3);
  EXPECT_EQ(x.max().item<int64_t>(), 4);
  const at::Tensor bytes = at::empty({4096}, at::kByte);
  NodeBuilder("aten::random").tensor(bytes).none().random(7, 0).write(bytes).run();
  EXPECT_EQ(bytes.max().item<int64_t>(), 255);
  const at::Tensor p = at::full({4096}, 0.3), flips = at::empty({4096});
  NodeBuilder("aten::bernoulli", "Tensor").tensor(flips).tensor(p).none().random(9, 0).write(flips).run();
  EXPECT_NEAR(flips.mean().item<double>(), 0.3, 0.03);
}

TEST(Composites, AttentionForwardAndBackward) {
  const at::Tensor q = at::randn({2, 4, 5, 8}).requires_grad_(), k = at::randn({2, 2, 5, 8}).requires_grad_(),
                   v = at::randn({2, 2, 5, 8}).requires_grad_();
  const at::Tensor expected = at::scaled_dot_product_attention(q, k, v, {}, 0.0, true, std::nullopt, /*enable_gqa=*/true);
  const at::Tensor out = at::empty({2, 4, 5, 8}), lse = at::empty({2, 4, 5}), none;
  NodeBuilder("aten::_scaled_dot_product_fused_attention_overrideable")
      .tensor(q.detach())
      .tensor(k.detach())
      .tensor(v.detach())
      .none()
      .scalar(0.0)
      .constant(true)
      .constant(false)
      .none()
      .write(out)
      .write(lse)
      .write(none)
      .write(none)
      .write(none)
      .write(none)
      .write(none)
      .write(none)
      .write(none)
      .run();
  EXPECT_TRUE(at::allclose(out, expected, 1e-4, 1e-5));
  const at::Tensor grad = at::randn({2, 4, 5, 8});
  expected.backward(grad);
  const at::Tensor gq = at::empty_like(q), gk = at::empty_like(k), gv = at::empty_like(v);
  NodeBuilder("aten::_scaled_dot_product_fused_attention_overrideable_backward")
      .tensor(grad)
      .tensor(q.detach())
      .tensor(k.detach())
      .tensor(v.detach())
      .none()
      .constant(c10::List<bool>({true, true, true, false}))
      .tensor(out)
      .tensor(lse)
      .none()
      .none()
      .constant(int64_t{5})
      .constant(int64_t{5})
      .scalar(0.0)
      .constant(true)
      .none()
      .none()
      .none()
      .write(gq)
      .write(gk)
      .write(gv)
      .write(none)
      .run();
  EXPECT_TRUE(at::allclose(gq, q.grad(), 1e-4, 1e-5));
  EXPECT_TRUE(at::allclose(gk, k.grad(), 1e-4, 1e-5));
  EXPECT_TRUE(at::allclose(gv, v.grad(), 1e-4, 1e-5));
}

}  // namespace
}  // namespace torch_hpu
