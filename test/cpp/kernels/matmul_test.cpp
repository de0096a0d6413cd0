#include "csrc/kernels/matmul.h"
#include "csrc/kernels/packed_weights.h"
#include "csrc/support/packed_bytes.h"
#include "test/cpp/kernels/call_builder.h"

namespace torch_hpu {
namespace {

using kernels::PostOp;
using kernels::Primitive;
using testing::CallBuilder;
using testing::expect_close;
using testing::tolerance_of;

at::Tensor random(c10::IntArrayRef sizes, c10::ScalarType dtype = at::kFloat) {
  return at::randn(sizes, at::kFloat).to(dtype);
}

void check(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias, const at::Tensor& out, const std::string& what) {
  CallBuilder builder(Primitive::kMatmul);
  builder.read(a).read(b).read(bias).write(out).run();
  at::Tensor expected = at::matmul(a.to(at::kDouble), b.to(at::kDouble));
  if (bias.defined()) {
    expected = expected + bias.to(at::kDouble);
  }
  const double scale = std::sqrt(static_cast<double>(std::max<int64_t>(1, a.size(-1))));
  expect_close(out, expected, tolerance_of(out.scalar_type()) * scale, what + " " + kernels::to_string(builder.call()));
}

// oneDNN multiplies bfloat16 only with AVX-512.
std::vector<at::ScalarType> dtypes() {
  std::vector<at::ScalarType> list{at::kFloat, at::kDouble};
  if (__builtin_cpu_supports("avx512bw")) {
    list.push_back(at::kBFloat16);
  }
  return list;
}

TEST(Matmul, ShapesTimesDtypes) {
  const int64_t shapes[][3] = {{1, 1, 1},    {1, 64, 64},   {2, 3, 5},     {1, 1000, 37}, {7, 1, 9},
                               {33, 65, 17}, {128, 96, 64}, {64, 10, 784}, {1, 1, 300}};
  for (auto dtype : dtypes()) {
    for (const auto& [m, n, k] : shapes) {
      const std::string what = std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
      check(random({m, k}, dtype), random({k, n}, dtype), {}, at::empty({m, n}, dtype), what);
      check(random({m, k}, dtype), random({n, k}, dtype).t(), random({n}, dtype), at::empty({m, n}, dtype), what + " b^T + bias");
      check(random({k, m}, dtype).t(), random({k, n}, dtype), {}, at::empty({m, n}, dtype), what + " a^T");
      check(random({m, k}, dtype), random({k, n}, dtype), random({m, n}, dtype), at::empty({n, m}, dtype).t(), what + " out^T + full bias");
    }
  }
}

TEST(Matmul, BatchesBroadcastAndMerge) {
  check(random({4, 8, 16}), random({4, 16, 12}), {}, at::empty({4, 8, 12}), "batch");
  check(random({2, 3, 8, 16}), random({16, 12}), random({12}), at::empty({2, 3, 8, 12}), "shared b folds into rows");
  check(random({2, 3, 8, 16}), random({2, 1, 16, 12}), {}, at::empty({2, 3, 8, 12}), "b broadcasts over one dim");
  check(random({2, 1, 8, 16}), random({1, 3, 16, 12}), {}, at::empty({2, 3, 8, 12}), "both broadcast");
  check(random({2, 8, 3, 16}).transpose(1, 2), random({2, 8, 3, 16}).permute({0, 2, 3, 1}), {}, at::empty({2, 3, 8, 8}), "heads");
  check(random({5, 1, 16}).expand({5, 4, 16}), random({5, 16, 3}), {}, at::empty({5, 4, 3}), "expanded rows");
  check(random({3, 8, 32}).slice(2, 0, 32, 2), random({3, 16, 12}), {}, at::empty({3, 8, 12}), "no unit stride");
  check(random({3, 8, 16}), random({3, 16, 12}), {}, at::empty({3, 8, 24}).slice(2, 0, 24, 2), "strided out");
  check(random({6, 1, 16}), random({16, 12}), {}, at::empty({6, 1, 12}), "rows of one");
}

TEST(Matmul, EmptyAndEmptyInner) {
  check(random({0, 4}), random({4, 3}), {}, at::empty({0, 3}), "no rows");
  check(random({2, 0}), random({0, 3}), random({3}), at::full({2, 3}, 7.0), "no inner");
}

TEST(Matmul, AlphaBetaAccumulate) {
  const at::Tensor a = random({5, 6}), b = random({6, 7}), bias = random({7}), out = at::empty({5, 7});
  CallBuilder(Primitive::kMatmul).read(a).read(b).read(bias).write(out).scalars({0.5, -2}).run();
  expect_close(out, at::addmm(bias, a, b, -2, 0.5), 1e-5);
  const at::Tensor nan = at::full({7}, NAN);
  CallBuilder(Primitive::kMatmul).read(a).read(b).read(nan).write(out).scalars({1, 0}).run();
  expect_close(out, at::mm(a, b), 1e-5);
  const at::Tensor before = out.clone();
  CallBuilder(Primitive::kMatmul).read(a).read(b).read({}).write(out).ints({1}).run();
  expect_close(out, before + at::mm(a, b), 1e-5);
  CallBuilder(Primitive::kMatmul).read(a).read(b).read({}).write(out).ints({1}).scalars({2, 3}).run();
  expect_close(out, (before + at::mm(a, b)) * 3 + at::mm(a, b) * 2, 1e-4);
}

TEST(Matmul, PostOps) {
  for (auto dtype : dtypes()) {
    for (int64_t m : {1, 40}) {
      const at::Tensor a = random({2, m, 48}, dtype), b = random({48, 72}, dtype) * 0.2, bias = random({72}, dtype);
      const at::Tensor other = random({2, m, 72}, dtype), scale = random({72}, dtype);
      const at::Tensor product = at::matmul(a.to(at::kDouble), b.to(at::kDouble)) + bias.to(at::kDouble);
      const std::pair<PostOp::Kind, at::Tensor> cases[] = {{PostOp::Kind::kRelu, product.relu()},
                                                           {PostOp::Kind::kGeluErf, at::gelu(product)},
                                                           {PostOp::Kind::kGeluTanh, at::gelu(product, "tanh")},
                                                           {PostOp::Kind::kSilu, at::silu(product)},
                                                           {PostOp::Kind::kSigmoid, product.sigmoid()},
                                                           {PostOp::Kind::kTanh, product.tanh()},
                                                           {PostOp::Kind::kScale, product * 0.25}};
      for (const auto& [kind, expected] : cases) {
        const at::Tensor out = at::empty({2, m, 72}, dtype);
        CallBuilder builder(Primitive::kMatmul);
        builder.read(a)
            .read(b)
            .read(bias)
            .write(out)
            .post_op(kind, 0.25)
            .post_op(PostOp::Kind::kMul, scale)
            .post_op(PostOp::Kind::kAdd, other)
            .run();
        expect_close(out, expected * scale.to(at::kDouble) + other.to(at::kDouble), tolerance_of(dtype) * 4,
                     kernels::to_string(builder.call()));
      }
    }
  }
}

TEST(Matmul, TensorsOfPostOps) {
  const at::Tensor out = at::empty({2, 6, 8});
  CallBuilder builder(Primitive::kMatmul);
  builder.read(random({2, 6, 5})).read(random({2, 5, 8})).read({}).write(out);
  const auto fuses = [&](const at::Tensor& t) {
    const kernels::Operand o{
        99, t.scalar_type(), 0, ir::kNone, {t.sizes().begin(), t.sizes().end()}, {t.strides().begin(), t.strides().end()}};
    PostOp post_op;
    post_op.kind = PostOp::Kind::kMul;
    return kernels::can_fuse(builder.call(), post_op, o);
  };
  EXPECT_TRUE(fuses(random({8})));
  EXPECT_TRUE(fuses(random({1})));
  EXPECT_TRUE(fuses(random({2, 1, 8})));
  EXPECT_TRUE(fuses(random({2, 6, 8})));
  EXPECT_FALSE(fuses(random({6, 1})));
  EXPECT_FALSE(fuses(random({2, 1, 1})));
  EXPECT_FALSE(fuses(random({6, 8})));
  EXPECT_FALSE(fuses(random({16}).slice(0, 0, 16, 2)));
  EXPECT_FALSE(fuses(random({6, 3}).slice(1, 0, 1)));
  EXPECT_FALSE(fuses(random({6, 9}).slice(1, 0, 8)));
  EXPECT_FALSE(fuses(random({2, 3, 8}).slice(1, 0, 1)));
  EXPECT_FALSE(fuses(random({2, 8, 6}).transpose(1, 2)));
  EXPECT_FALSE(fuses(random({7})));
  for (auto dtype : dtypes()) {
    check(random({33, 20}, dtype), random({20, 48}, dtype), random({96}, dtype).slice(0, 0, 96, 2), at::empty({33, 48}, dtype),
          "strided bias");
    check(random({33, 20}, dtype), random({20, 48}, dtype), random({33, 3}, dtype).slice(1, 0, 1), at::empty({33, 48}, dtype),
          "column of many");
    check(random({33, 20}, dtype), random({20, 48}, dtype), random({48, 33}, dtype).t(), at::empty({33, 48}, dtype), "transposed bias");
  }
}

TEST(Matmul, EveryKernelAgrees) {
  kernels::MatmulProblem p;
  p.m = 6, p.n = 100, p.k = 48;
  p.batch = {3};
  p.a = {{6 * 48}, 48, 1};
  p.b = {{48 * 100}, 100, 1};
  p.out = {{600}, 100, 1};
  p.extras.push_back({PostOp::Kind::kAdd, 1, true, at::kFloat, {{0}, 0, 1}});
  p.extras.push_back({PostOp::Kind::kRelu, 1, false, at::kFloat, {}});
  const at::Tensor a = random({3, 6, 48}), b = random({3, 48, 100}), bias = random({100});
  const at::Tensor expected = (at::bmm(a, b) + bias).relu();
  int kernels_seen = 0;
  for (const auto& kernel :
       {make_onednn_matmul(p, true), make_onednn_matmul(p, false), kernels::make_tile_matmul(p), kernels::make_blas_matmul(p)}) {
    ASSERT_NE(kernel, nullptr);
    ++kernels_seen;
    const at::Tensor out = at::empty({3, 6, 100}), packed = at::empty({static_cast<int64_t>(kernel->packed_bytes())}, at::kByte);
    kernels::MatmulPointers pointers{a.data_ptr(), b.data_ptr(), out.data_ptr(), nullptr, {bias.data_ptr()}};
    kernel->run(pointers);
    expect_close(out, expected, 1e-5, kernel->name());
    if (kernel->packed_bytes() > 0) {
      kernel->pack(b.data_ptr(), packed.data_ptr());
      pointers.packed_b = packed.data_ptr();
      out.zero_();
      kernel->run(pointers);
      expect_close(out, expected, 1e-5, kernel->name());
    }
  }
  EXPECT_EQ(kernels_seen, 4);
}

TEST(Matmul, PackedWeightsFollowTheVersion) {
  const at::Tensor a = random({256, 512}), w = random({512, 512}), out = at::empty({256, 512});
  CallBuilder builder(Primitive::kMatmul);
  builder.read(a).read(w, /*constant=*/true).read({}).write(out);
  const auto step = builder.step();
  const int64_t before = packed_bytes.load();
  for (uint64_t version : {1, 1, 1, 2, 3, 3, 3}) {
    w.copy_(at::randn({512, 512}).mul_(static_cast<double>(version)));
    if (version == 1 || version == 3) {
      w.fill_(static_cast<double>(version));  // the same bytes as long as the version stays
    }
    step->run(builder.tags({{}, {.memory = 77, .version = version}, {}}).invocation());
    expect_close(out, at::mm(a.to(at::kDouble), w.to(at::kDouble)), 1e-3, std::to_string(version));
  }
  EXPECT_TRUE(packed_bytes.load() == before || packed_bytes.load() - before >= 512 * 512 * 4);
  kernels::set_packed_limit(0);
  EXPECT_EQ(packed_bytes.load(), 0);
  step->run(builder.invocation());
  expect_close(out, at::mm(a, w), 1e-3);
  kernels::set_packed_limit(size_t{1} << 30);
}

// Three products of one operand into the columns of one matrix; the first and the last have a bias.
class SiblingMatmuls : public ::testing::Test {
 protected:
  SiblingMatmuls() {
    builder_.read(a_);
    for (size_t i = 0; i < 3; ++i) {
      builder_.read(weights_[i].t(), true).read(biases_[i], true);
    }
    int64_t column = 0;
    for (const at::Tensor& w : weights_) {
      builder_.write(out_.slice(1, column, column + w.size(0)));
      column += w.size(0);
    }
  }
  void expect_values(const std::string& what) const {
    std::vector<at::Tensor> parts;
    for (size_t i = 0; i < 3; ++i) {
      const at::Tensor product = at::mm(a_.to(at::kDouble), weights_[i].t().to(at::kDouble));
      parts.push_back(biases_[i].defined() ? product + biases_[i] : product);
    }
    expect_close(out_, at::cat(parts, 1), 1e-4, what);
  }
  // Large enough that nothing is timed: the packed kernel is taken.
  at::Tensor a_ = random({512, 512}), out_ = at::empty({512, 512 + 384 + 128});
  std::vector<at::Tensor> weights_{random({512, 512}), random({384, 512}), random({128, 512})}, biases_{random({512}), {}, random({128})};
  CallBuilder builder_{Primitive::kSiblingMatmuls};
};

TEST_F(SiblingMatmuls, FollowTheVersionOfEachWeightAndBias) {
  kernels::set_packed_limit(0);
  kernels::set_packed_limit(size_t{1} << 30);
  const auto step = builder_.step();
  // Buffers in the order of reads: a, w0, b0, w1, w2, b2; then out.
  std::vector<BufferTag> tags(7);
  for (size_t i = 1; i < 6; ++i) {
    tags[i] = {.memory = 700 + i, .version = 1};
  }
  for (const at::Tensor& changed : {at::Tensor(), weights_[1], biases_[2], weights_[0]}) {
    if (changed.defined()) {
      changed.mul_(-0.5);
      tags[changed.is_same(weights_[1]) ? 3 : changed.is_same(biases_[2]) ? 5 : 1].version += 1;
    }
    for (int run = 0; run < 3; ++run) {  // apart, packing, together
      out_.fill_(NAN);
      step->run(builder_.tags(tags).invocation());
      expect_values(std::to_string(run));
      EXPECT_GE(packed_bytes.load(), run == 0 ? 0 : 1024 * 512 * 4);
      EXPECT_LE(packed_bytes.load(), run == 0 ? 0 : 1024 * 512 * 5);
    }
  }
}

TEST_F(SiblingMatmuls, FactorsOtherThanOneKeepThemApart) {
  const auto step = builder_.scalars({2, 1, 1, 1, 0.5, -1}).floats({0, 0, 0, 0, 0, 0}).step();
  std::vector<BufferTag> tags(7);
  for (size_t i = 1; i < 6; ++i) {
    tags[i] = {.memory = 800 + i, .version = 1};
  }
  for (int run = 0; run < 3; ++run) {
    step->run(builder_.tags(tags).invocation());
    expect_close(out_.slice(1, 0, 512), at::addmm(biases_[0], a_, weights_[0].t(), 1, 2), 1e-4, "alpha");
    expect_close(out_.slice(1, 896, 1024), at::addmm(biases_[2], a_, weights_[2].t(), -1, 0.5), 1e-4, "alpha and beta");
  }
}

TEST(PackedWeights, SecondSightPacksAndNewVersionDrops) {
  kernels::set_packed_limit(0);
  kernels::set_packed_limit(1 << 20);
  const uint32_t layout = kernels::layout_id("test");
  EXPECT_EQ(layout, kernels::layout_id("test"));
  EXPECT_NE(layout, kernels::layout_id("other"));
  int packs = 0;
  auto pack = [&](std::byte* to) {
    ++packs;
    to[0] = std::byte{1};
  };
  auto get = [&](uint64_t version, size_t nbytes = 1000) {
    return kernels::packed_weight(kernels::WeightSource({99, version}, 0), layout, nbytes, pack);
  };
  EXPECT_EQ(get(1), nullptr);
  EXPECT_NE(get(1), nullptr);
  EXPECT_NE(get(1), nullptr);
  EXPECT_EQ(packs, 1);
  EXPECT_EQ(packed_bytes.load(), 1000);
  EXPECT_EQ(get(2), nullptr);
  EXPECT_EQ(packed_bytes.load(), 0);
  EXPECT_EQ(get(2, 2 << 20), nullptr);  // does not fit
  EXPECT_EQ(kernels::packed_weight(kernels::WeightSource({0, 1}, 0), layout, 8, pack), nullptr);
  kernels::set_packed_limit(size_t{1} << 30);
}

TEST(Matmul, DeclinesIntegersAndMixedDtypes) {
  CallBuilder integers(Primitive::kMatmul);
  integers.read(at::ones({2, 2}, at::kLong)).read(at::ones({2, 2}, at::kLong)).read({}).write(at::empty({2, 2}, at::kLong));
  EXPECT_FALSE(integers.supported());
  CallBuilder mixed(Primitive::kMatmul);
  mixed.read(random({2, 2})).read(random({2, 2}, at::kDouble)).read({}).write(at::empty({2, 2}));
  EXPECT_FALSE(mixed.supported());
}

}  // namespace
}  // namespace torch_hpu
