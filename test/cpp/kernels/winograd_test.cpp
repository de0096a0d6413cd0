// Convolutions by Winograd's algorithm against sums in double, on each instruction-set level.
#include "csrc/kernels/onednn_plan.h"
#include "csrc/kernels/packed_weights.h"
#include "test/cpp/kernels/call_builder.h"
#include "test/cpp/kernels/isa_levels.h"

namespace torch_hpu {
namespace {

using kernels::PostOp;
using kernels::Primitive;
using kernels::simd::Isa;
using testing::CallBuilder;

class Winograd : public testing::IsaLevels {};
INSTANTIATE_TEST_SUITE_P(Isa, Winograd, testing::kIsaLevels, testing::isa_name);

struct Case {
  const char* what;
  int64_t images, in, out, height, width;
  std::vector<int64_t> padding;
};

const Case kCases[] = {
    {"whole tiles", 2, 64, 32, 16, 16, {1, 1}},
    {"part of a tile at the edges", 3, 48, 80, 13, 7, {1, 1}},
    {"no padding", 2, 32, 32, 10, 11, {0, 0}},
    {"wide padding", 2, 32, 48, 9, 6, {2, 1}},
    {"many channels, few tiles", 4, 400, 96, 8, 8, {1, 1}},
    {"many tiles", 1, 32, 32, 70, 70, {1, 1}},
};

at::Tensor weights_of(const Case& c) {
  return at::randn({c.out, c.in, 3, 3}) / std::sqrt(9.0 * static_cast<double>(c.in));  // outputs of magnitude 1
}

std::vector<int64_t> ints_of(const std::vector<int64_t>& padding, int64_t stride = 1) {
  return {2, stride, stride, padding[0], padding[1], 1, 1, 0, 0, 0, 1};
}

at::Tensor reference(const Case& c, const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias) {
  return at::conv2d(x.to(at::kDouble), w.to(at::kDouble), bias.defined() ? bias.to(at::kDouble) : bias, 1, c.padding);
}

bool pays(const CallBuilder& builder) {
  return kernels::onednn::winograd_gain(kernels::onednn::describe_convolution(builder.call())) != kernels::Winograd::Gain::kNone;
}

TEST_P(Winograd, EqualsTheDefinition) {
  for (const Case& c : kCases) {
    for (auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
      const at::Tensor x = at::randn({c.images, c.in, c.height, c.width}).contiguous(format), w = weights_of(c);
      for (const at::Tensor& bias : {at::Tensor(), at::randn({c.out}), at::randn({2 * c.out}).slice(0, 0, at::nullopt, 2)}) {
        const at::Tensor expected = reference(c, x, w, bias), out = at::empty(expected.sizes(), at::TensorOptions().memory_format(format));
        CallBuilder builder(Primitive::kConvolution);
        builder.read(x).read(w, /*constant=*/true).read(bias).write(out).ints(ints_of(c.padding));
        EXPECT_EQ(pays(builder), GetParam() != Isa::kBase) << c.what;
        builder.run();
        EXPECT_LT((out.to(at::kDouble) - expected).abs().max().item<double>(), 1.5e-5) << c.what;
        EXPECT_LT((out.to(at::kDouble) - expected).square().mean().sqrt().item<double>(), 1.5e-6) << c.what;
      }
    }
  }
}

TEST_P(Winograd, PostOps) {
  const Case& c = kCases[1];
  const at::Tensor x = at::randn({c.images, c.in, c.height, c.width}), w = weights_of(c), bias = at::randn({c.out});
  const at::Tensor expected = reference(c, x, w, bias), scale = at::randn({c.out, 1, 1}), out = at::empty(expected.sizes());
  for (auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    const at::Tensor other = at::randn(expected.sizes()).contiguous(format);
    CallBuilder builder(Primitive::kConvolution);
    builder.read(x)
        .read(w, /*constant=*/true)
        .read(bias)
        .write(out)
        .ints(ints_of(c.padding))
        .post_op(PostOp::Kind::kMul, scale)
        .post_op(PostOp::Kind::kScale, 0.5)
        .post_op(PostOp::Kind::kAdd, other)
        .post_op(PostOp::Kind::kRelu);
    EXPECT_EQ(pays(builder), GetParam() != Isa::kBase);
    builder.run();
    testing::expect_close(out, (expected * scale * 0.5 + other).relu(), 2e-5);
  }
}

TEST_P(Winograd, PackedWeightsFollowTheVersion) {
  const Case& c = kCases[0];
  const at::Tensor x = at::randn({c.images, c.in, c.height, c.width}), w = weights_of(c),
                   out = at::empty({c.images, c.out, c.height, c.width});
  CallBuilder builder(Primitive::kConvolution);
  builder.read(x).read(w, /*constant=*/true).read({}).write(out).ints(ints_of(c.padding));
  const auto step = builder.step();
  for (uint64_t version : {5, 5, 5, 6, 6, 6}) {
    w.fill_(static_cast<double>(version) / 100);
    step->run(builder.tags({{}, {.memory = 79, .version = version}, {}}).invocation());
    testing::expect_close(out, reference(c, x, w, {}), 2e-5, std::to_string(version));
  }
  kernels::set_packed_limit(0);
  kernels::set_packed_limit(size_t{1} << 30);
}

TEST_P(Winograd, FewTilesAreTimed) {
  const Case c{"few tiles", 2, 64, 48, 8, 8, {1, 1}};
  const at::Tensor x = at::randn({c.images, c.in, c.height, c.width}), w = weights_of(c), expected = reference(c, x, w, {});
  const at::Tensor out = at::empty(expected.sizes());
  CallBuilder builder(Primitive::kConvolution);
  builder.read(x).read(w, /*constant=*/true).read({}).write(out).ints(ints_of(c.padding));
  builder.run();
  testing::expect_close(out, expected, 1.5e-5, "by what is fastest");
  const auto convolution = kernels::onednn::describe_convolution(builder.call());
  if (GetParam() == Isa::kBase) {
    EXPECT_THROW(kernels::onednn::Plan(convolution, kernels::onednn::Method::kWinograd), dnnl::error);
    return;
  }
  EXPECT_EQ(kernels::onednn::winograd_gain(convolution), kernels::Winograd::Gain::kSome);
  kernels::onednn::Plan(convolution, kernels::onednn::Method::kWinograd).run({x.data_ptr(), w.data_ptr(), out.zero_().data_ptr()}, nullptr);
  testing::expect_close(out, expected, 1.5e-5, "by Winograd's algorithm");
}

TEST(WinogradChoice, LeavesTheOthersToOneDnn) {
  const at::Tensor x = at::randn({2, 64, 16, 16}), w = at::randn({64, 64, 3, 3}), out = at::empty({2, 64, 16, 16});
  const auto call = [](const at::Tensor& x, const at::Tensor& w, const at::Tensor& out, std::vector<int64_t> ints) {
    CallBuilder builder(Primitive::kConvolution);
    builder.read(x).read(w, true).read({}).write(out).ints(std::move(ints));
    return builder;
  };
  EXPECT_EQ(pays(call(x, w, out, ints_of({1, 1}))), kernels::simd::isa() != Isa::kBase);
  EXPECT_FALSE(pays(call(x, w, at::empty({2, 64, 8, 8}), ints_of({1, 1}, 2)))) << "stride";
  EXPECT_FALSE(pays(call(x, at::randn({64, 64, 5, 5}), out, ints_of({2, 2})))) << "5x5";
  EXPECT_FALSE(pays(call(x.slice(1, 0, 8), at::randn({64, 8, 3, 3}), out, ints_of({1, 1})))) << "few channels";
  EXPECT_FALSE(pays(call(x.slice(1, 0, 40), at::randn({64, 40, 3, 3}), out, ints_of({1, 1})))) << "no multiple of a vector";
  EXPECT_FALSE(pays(call(x.slice(2, 0, 4).slice(3, 0, 4), w, out.slice(2, 0, 4).slice(3, 0, 4), ints_of({1, 1})))) << "few tiles";
  EXPECT_FALSE(pays(call(x, w.contiguous(at::MemoryFormat::ChannelsLast), out, ints_of({1, 1})))) << "weights not dense";
  EXPECT_FALSE(pays(call(x.to(at::kBFloat16), w.to(at::kBFloat16), out.to(at::kBFloat16), ints_of({1, 1})))) << "bfloat16";
  EXPECT_FALSE(pays(call(x, at::randn({64, 32, 3, 3}), out, {2, 1, 1, 1, 1, 1, 1, 0, 0, 0, 2}))) << "groups";
  CallBuilder silu = call(x, w, out, ints_of({1, 1}));
  EXPECT_FALSE(pays(silu.post_op(PostOp::Kind::kSilu)));
}

}  // namespace
}  // namespace torch_hpu
