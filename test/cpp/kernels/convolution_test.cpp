#include "csrc/kernels/onednn_plan.h"
#include "csrc/kernels/packed_weights.h"
#include "test/cpp/kernels/call_builder.h"

namespace torch_hpu {
namespace {

using kernels::PostOp;
using kernels::Primitive;
using testing::CallBuilder;
using testing::expect_close;
using testing::tolerance_of;

struct Case {
  const char* what;
  std::vector<int64_t> x, w, stride, padding, dilation, output_padding;
  bool transposed = false;
  int64_t groups = 1;
};

const Case kCases[] = {
    {"3x3", {2, 3, 12, 12}, {8, 3, 3, 3}, {1, 1}, {1, 1}, {1, 1}, {0, 0}},
    {"stride", {2, 16, 13, 12}, {32, 16, 3, 3}, {2, 1}, {1, 0}, {1, 1}, {0, 0}},
    {"1x1", {1, 32, 8, 8}, {48, 32, 1, 1}, {1, 1}, {0, 0}, {1, 1}, {0, 0}},
    {"dilation", {1, 8, 16, 16}, {8, 8, 3, 3}, {1, 1}, {2, 2}, {2, 2}, {0, 0}},
    {"groups", {2, 8, 9, 9}, {12, 4, 3, 3}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, false, 2},
    {"depthwise", {2, 16, 9, 9}, {16, 1, 3, 3}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, false, 16},
    {"1d", {3, 4, 20}, {6, 4, 5}, {2}, {2}, {1}, {0}},
    {"3d", {1, 3, 6, 7, 8}, {4, 3, 2, 3, 3}, {1, 2, 1}, {0, 1, 1}, {1, 1, 1}, {0, 0, 0}},
    {"transposed", {2, 6, 7, 7}, {6, 5, 4, 4}, {2, 2}, {1, 1}, {1, 1}, {0, 0}, true},
    {"transposed, output padding, groups", {1, 8, 5, 6}, {8, 3, 3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, true, 2},
    {"transposed 1d", {1, 4, 9}, {4, 2, 4}, {2}, {0}, {1}, {1}, true},
};

std::vector<int64_t> ints_of(const Case& c) {
  std::vector<int64_t> v{static_cast<int64_t>(c.stride.size())};
  for (const auto* list : {&c.stride, &c.padding, &c.dilation, &c.output_padding}) {
    v.insert(v.end(), list->begin(), list->end());
  }
  v.push_back(c.transposed);
  v.push_back(c.groups);
  return v;
}

at::Tensor reference(const Case& c, const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias) {
  return at::convolution(x.to(at::kDouble), w.to(at::kDouble), bias.defined() ? bias.to(at::kDouble) : bias, c.stride, c.padding,
                         c.dilation, c.transposed, c.output_padding, c.groups);
}

TEST(Convolution, Forward) {
  for (const Case& c : kCases) {
    for (auto dtype : {at::kFloat, at::kBFloat16}) {
      const at::Tensor x = at::randn(c.x).to(dtype), w = (at::randn(c.w) * 0.3).to(dtype);
      const int64_t channels = c.transposed ? c.w[1] * c.groups : c.w[0];
      for (const at::Tensor& bias : {at::Tensor(), at::randn({channels}).to(dtype), at::randn({1}).to(dtype).expand({channels})}) {
        const at::Tensor expected = reference(c, x, w, bias), out = at::empty(expected.sizes(), dtype);
        CallBuilder builder(Primitive::kConvolution);
        builder.read(x).read(w).read(bias).write(out).ints(ints_of(c));
        if (dtype == at::kBFloat16 && !builder.supported()) {
          continue;  // not on this machine
        }
        builder.run();
        expect_close(out, expected, tolerance_of(dtype) * 4, c.what);
      }
    }
  }
}

TEST(Convolution, Backwards) {
  for (const Case& c : kCases) {
    const at::Tensor x = at::randn(c.x), w = at::randn(c.w) * 0.3, y = reference(c, x, w, {}), g = at::randn(y.sizes());
    const auto [gx, gw, gb] =
        at::convolution_backward(g.to(at::kDouble), x.to(at::kDouble), w.to(at::kDouble), c10::nullopt, c.stride, c.padding, c.dilation,
                                 c.transposed, c.output_padding, c.groups, {true, true, false});
    const at::Tensor got_x = at::empty(c.x), got_w = at::empty(c.w);
    CallBuilder(Primitive::kConvolutionBackwardInput).read(g).read(w).write(got_x).ints(ints_of(c)).run();
    expect_close(got_x, gx, 1e-4, c.what);
    CallBuilder(Primitive::kConvolutionBackwardWeight).read(g).read(x).write(got_w).ints(ints_of(c)).run();
    expect_close(got_w, gw, 2e-4, c.what);
  }
}

TEST(Convolution, ChannelsLastInAndOut) {
  const Case& c = kCases[1];
  const at::Tensor x = at::randn(c.x).contiguous(at::MemoryFormat::ChannelsLast),
                   w = at::randn(c.w).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor expected = reference(c, x, w, {});
  const at::Tensor out = at::empty(expected.sizes(), at::TensorOptions().memory_format(at::MemoryFormat::ChannelsLast));
  CallBuilder(Primitive::kConvolution).read(x).read(w).read({}).write(out).ints(ints_of(c)).run();
  expect_close(out, expected, 1e-4);
  const at::Tensor slice = at::empty({2, 20, 14, 12}).slice(1, 2, 18).slice(2, 0, 13);  // neither plain nor channels-last
  slice.copy_(x);
  CallBuilder(Primitive::kConvolution).read(slice).read(w).read({}).write(out.zero_()).ints(ints_of(c)).run();
  expect_close(out, expected, 1e-4);
}

TEST(Convolution, PostOps) {
  const Case& c = kCases[1];
  const at::Tensor x = at::randn(c.x), w = at::randn(c.w) * 0.1, bias = at::randn({32}), expected = reference(c, x, w, bias);
  const at::Tensor other = at::randn(expected.sizes()), scale = at::randn({32, 1, 1}), out = at::empty(expected.sizes());
  CallBuilder(Primitive::kConvolution)
      .read(x)
      .read(w)
      .read(bias)
      .write(out)
      .ints(ints_of(c))
      .post_op(PostOp::Kind::kMul, scale)
      .post_op(PostOp::Kind::kAdd, other)
      .post_op(PostOp::Kind::kRelu)
      .run();
  expect_close(out, (expected * scale + other).relu(), 1e-4);
  for (const auto& [kind, value] :
       {std::pair{PostOp::Kind::kSilu, at::silu(expected)}, std::pair{PostOp::Kind::kGeluErf, at::gelu(expected)},
        std::pair{PostOp::Kind::kSigmoid, expected.sigmoid()}}) {
    CallBuilder(Primitive::kConvolution).read(x).read(w).read(bias).write(out).ints(ints_of(c)).post_op(kind).run();
    expect_close(out, value, 1e-4);
  }
}

// Steps of equal calls share a plan while one of them lives; these differ by what a text with six digits does not show.
TEST(Convolution, APlanIsNotSharedByCallsOfOtherNumbers) {
  const at::Tensor x = at::randn({1, 16, 8, 8}), w = at::eye(16).view({16, 16, 1, 1}), out = at::empty({1, 16, 8, 8}), bias;
  std::vector<std::unique_ptr<Step>> steps;
  for (const float scale : {2.F, 2.0000005F, 2.F}) {
    CallBuilder builder(Primitive::kConvolution);
    builder.read(x).read(w).read(bias).write(out).ints(ints_of(kCases[2])).post_op(PostOp::Kind::kScale, scale);
    steps.push_back(builder.step());
    steps.back()->run(builder.invocation());
    EXPECT_TRUE(at::equal(out, x * scale)) << scale;
  }
}

// What the timing chooses differs between machines; here the plan is asked for.
std::unique_ptr<kernels::onednn::Plan> product_of(const CallBuilder& builder) {
  return std::make_unique<kernels::onednn::Plan>(kernels::onednn::describe_convolution(builder.call()), kernels::onednn::Method::kProduct);
}

TEST(Convolution, OnePointAsAProduct) {
  const Case cases[] = {{"images", {3, 20, 9, 7}, {12, 20, 1, 1}, {1, 1}, {0, 0}, {1, 1}, {0, 0}},
                        {"one output channel", {2, 20, 9, 7}, {1, 20, 1, 1}, {1, 1}, {0, 0}, {1, 1}, {0, 0}},
                        {"one input channel", {2, 1, 9, 7}, {12, 1, 1, 1}, {1, 1}, {0, 0}, {1, 1}, {0, 0}},
                        {"one channel", {1, 1, 9, 7}, {1, 1, 1, 1}, {1, 1}, {0, 0}, {1, 1}, {0, 0}},
                        {"one point", {2, 16, 1, 1}, {8, 16, 1, 1}, {1, 1}, {0, 0}, {1, 1}, {0, 0}},
                        {"1d", {2, 6, 11}, {5, 6, 1}, {1}, {0}, {1}, {0}},
                        {"3d", {2, 6, 3, 4, 5}, {5, 6, 1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {1, 1, 1}, {0, 0, 0}}};
  for (const Case& c : cases) {
    for (auto dtype : {at::kFloat, at::kBFloat16}) {
      if (!kernels::onednn::has_dtype(dtype)) {
        continue;  // not on this machine
      }
      for (const bool last : {false, true}) {
        // Plain, or channels-last for any number of dims.
        const auto laid = [last](const at::Tensor& t) { return last ? t.movedim(1, -1).contiguous().movedim(-1, 1) : t.contiguous(); };
        const at::Tensor x = laid(at::randn(c.x).to(dtype)), w = (at::randn(c.w) * 0.3).to(dtype), bias = at::randn({c.w[0]}).to(dtype);
        at::Tensor expected = reference(c, x, w, bias);
        std::vector<int64_t> per_channel(static_cast<size_t>(x.dim()) - 1, 1);
        per_channel[0] = c.w[0];
        const at::Tensor scale = at::randn(per_channel).to(dtype), other = laid(at::randn(expected.sizes()).to(dtype));
        const at::Tensor out = laid(at::empty(expected.sizes(), dtype));
        CallBuilder builder(Primitive::kConvolution);
        builder.read(x).read(w).read(bias).write(out).ints(ints_of(c));
        product_of(builder)->run({x.data_ptr(), w.data_ptr(), out.data_ptr(), bias.data_ptr()}, nullptr);
        expect_close(out, expected, tolerance_of(dtype) * 4, c.what);
        builder.post_op(PostOp::Kind::kMul, scale).post_op(PostOp::Kind::kSilu).post_op(PostOp::Kind::kAdd, other);
        product_of(builder)->run({x.data_ptr(), w.data_ptr(), out.data_ptr(), bias.data_ptr(), scale.data_ptr(), other.data_ptr()},
                                 nullptr);
        expect_close(out, at::silu(expected * scale.to(at::kDouble)) + other.to(at::kDouble), tolerance_of(dtype) * 8, c.what);
      }
    }
  }
}

TEST(Convolution, NoProduct) {
  const auto refuses = [](const Case& c, const at::Tensor& x, const at::Tensor& bias = {}) {
    CallBuilder builder(Primitive::kConvolution);
    builder.read(x).read(at::randn(c.w)).read(bias).write(at::empty(reference(c, x, at::randn(c.w), bias).sizes())).ints(ints_of(c));
    EXPECT_THROW(product_of(builder), dnnl::error) << c.what;
  };
  const at::Tensor x = at::randn({1, 8, 6, 6});
  const Case plain{"plain", {}, {8, 8, 1, 1}, {1, 1}, {0, 0}, {1, 1}, {0, 0}};
  refuses({"3x3", {}, {8, 8, 3, 3}, {1, 1}, {0, 0}, {1, 1}, {0, 0}}, x);
  refuses({"stride", {}, {8, 8, 1, 1}, {2, 1}, {0, 0}, {1, 1}, {0, 0}}, x);
  refuses({"padding", {}, {8, 8, 1, 1}, {1, 1}, {0, 1}, {1, 1}, {0, 0}}, x);
  refuses({"groups", {}, {8, 4, 1, 1}, {1, 1}, {0, 0}, {1, 1}, {0, 0}, false, 2}, x);
  refuses({"transposed", {}, {8, 8, 1, 1}, {1, 1}, {0, 0}, {1, 1}, {0, 0}, true}, x);
  refuses(plain, at::randn({1, 8, 6, 8}).slice(3, 0, 6));                   // points that are not equally far apart
  refuses(plain, x, at::randn({1}).expand({8}));                            // a bias that is not dense
  refuses(plain, x, at::randn({16}).slice(0, 0, at::nullopt, /*step=*/2));  // nor is this
}

TEST(Convolution, PackedWeightsFollowTheVersion) {
  const Case& c = kCases[1];
  const at::Tensor x = at::randn(c.x), w = at::randn(c.w), out = at::empty(reference(c, x, w, {}).sizes());
  CallBuilder builder(Primitive::kConvolution);
  builder.read(x).read(w, /*constant=*/true).read({}).write(out).ints(ints_of(c));
  const auto step = builder.step();
  for (uint64_t version : {5, 5, 5, 6, 6, 6}) {
    w.fill_(static_cast<double>(version) / 8);
    step->run(builder.tags({{}, {.memory = 78, .version = version}, {}}).invocation());
    expect_close(out, reference(c, x, w, {}), 1e-4, std::to_string(version));
  }
  kernels::set_packed_limit(0);
  kernels::set_packed_limit(size_t{1} << 30);
}

TEST(Convolution, ImplementationsThatNeedSgemm) {
  for (const char* name : {"gemm:jit", "x64:gemm:jit"}) {  // of matmul, of convolution
    EXPECT_TRUE(kernels::onednn::uses_sgemm(name)) << name;
  }
  for (const char* name : {"brgconv:avx512_core", "brg:avx512_core", "jit:avx2", "ref:any"}) {
    EXPECT_FALSE(kernels::onednn::uses_sgemm(name)) << name;
  }
}

TEST(Convolution, EmptyBatchAndDeclined) {
  const Case& c = kCases[0];
  const at::Tensor w = at::randn(c.w);
  CallBuilder(Primitive::kConvolution)
      .read(at::empty({0, 3, 12, 12}))
      .read(w)
      .read({})
      .write(at::empty({0, 8, 12, 12}))
      .ints(ints_of(c))
      .run();
  CallBuilder wide(Primitive::kConvolution);
  wide.read(at::randn(c.x, at::kDouble))
      .read(at::randn(c.w, at::kDouble))
      .read({})
      .write(at::empty({2, 8, 12, 12}, at::kDouble))
      .ints(ints_of(c));
  EXPECT_FALSE(wide.supported());
}

}  // namespace
}  // namespace torch_hpu
