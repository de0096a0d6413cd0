// Generated kernels against ATen's CPU kernels called directly: the same memory, interleaved, the least time of each.
// A ratio above 1 means that the generated kernel is faster. `bench_codegen [filter]`.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/add.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/log.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/native_dropout.h>
#include <ATen/ops/native_layer_norm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/_softmax.h>
#include <ATen/ops/sub.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>

#include <chrono>
#include <cstdio>
#include <functional>

#include "test/cpp/codegen/loop_builder.h"

namespace torch_hpu::codegen {
namespace {

using Clock = std::chrono::steady_clock;
using Strides = std::vector<int64_t>;

double seconds(const std::function<void()>& f) {
  const auto start = Clock::now();
  f();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Case {
  std::string name;
  Loop loop;
  std::vector<at::Tensor> buffers;
  std::vector<ir::ScalarValue> scalars;
  std::function<void()> aten;
};

void run(const Case& c, const char* filter) {
  if (c.name.find(filter) == std::string::npos) {
    return;
  }
  std::shared_ptr<const Kernel> kernel;
  const double compile_time = seconds([&] { kernel = compile({c.loop})[0]; });
  std::vector<std::byte*> pointers;
  for (const at::Tensor& t : c.buffers) {
    pointers.push_back(static_cast<std::byte*>(t.data_ptr()));
  }
  const auto ours = [&] { kernel->run(pointers.data(), nullptr, c.scalars.data()); };
  ours();
  c.aten();
  double best = 1e9, best_aten = 1e9;
  const double estimate = seconds(ours) + seconds(c.aten);
  const int inner = std::max(1, static_cast<int>(20e-6 / estimate)),
            rounds = std::clamp(static_cast<int>(0.4 / (estimate * inner)), 5, 400);
  for (int i = 0; i < rounds; ++i) {
    best = std::min(best, seconds([&] {
                            for (int k = 0; k < inner; ++k) {
                              ours();
                            }
                          }) / inner);
    best_aten = std::min(best_aten, seconds([&] {
                                      for (int k = 0; k < inner; ++k) {
                                        c.aten();
                                      }
                                    }) / inner);
  }
  printf("%-34s compile %7.2f ms   ours %10.2f us   aten %10.2f us   ratio %6.2f\n", c.name.c_str(), compile_time * 1e3, best * 1e6,
         best_aten * 1e6, best_aten / best);
  fflush(stdout);
}

Case unary(const std::string& name, Op op, int64_t n, std::function<at::Tensor(const at::Tensor&)> f) {
  const at::Tensor x = at::randn({n}), y = at::zeros({n});
  LoopBuilder b(name, {n}, 1);
  b.store(1, S::Float, {1}, b.unary(op, b.load(0, S::Float, {1})));
  return {name, b.loop, {x, y}, {}, [=] { f(x); }};
}

Case chain(int64_t n) {
  const at::Tensor x = at::randn({n}), y = at::randn({n}), out = at::zeros({n});
  LoopBuilder b("chain", {n}, 1);
  const ExprId l = b.load(0, S::Float, {1}), r = b.load(1, S::Float, {1});
  ExprId v = l;
  for (int i = 0; i < 23; ++i) {
    v = b.binary(i % 3 == 0 ? Op::kMul : i % 3 == 1 ? Op::kAdd : Op::kSub, v, i % 2 ? l : r);
  }
  b.store(2, S::Float, {1}, b.unary(Op::kTanh, v));
  return {"24 pointwise ops, " + std::to_string(n), b.loop, {x, y, out}, {}, [=] {
            at::Tensor t = x;
            for (int i = 0; i < 23; ++i) {
              const at::Tensor& w = i % 2 ? x : y;
              t = i % 3 == 0 ? at::mul(t, w) : i % 3 == 1 ? at::add(t, w) : at::sub(t, w);
            }
            at::tanh(t);
          }};
}

Case add(int64_t n, S t) {
  const at::Tensor x = at::randn({n}).to(t), y = at::randn({n}).to(t), out = at::empty_like(x);
  LoopBuilder b("add", {n}, 1);
  b.store(2, t, {1}, b.binary(Op::kAdd, b.load(0, t, {1}), b.load(1, t, {1})));
  at::Tensor o = at::empty_like(x);
  return {
      std::string("add ") + c10::toString(t) + ", " + std::to_string(n), b.loop, {x, y, out}, {}, [=]() mutable { at::add_out(o, x, y); }};
}

Case softmax(int64_t rows, int64_t n) {
  const at::Tensor x = at::randn({rows, n}), out = at::zeros({rows, n});
  LoopBuilder b("softmax", {rows, n}, 1);
  const ExprId v = b.load(0, S::Float, {n, 1});
  const ExprId e = b.unary(Op::kExp, b.binary(Op::kSub, v, b.unary(Op::kReduceMax, v)));
  b.store(1, S::Float, {n, 1}, b.binary(Op::kMul, e, b.unary(Op::kReciprocal, b.unary(Op::kReduceSum, e))));
  return {"softmax " + std::to_string(rows) + "x" + std::to_string(n), b.loop, {x, out}, {}, [=] { at::_softmax(x, 1, false); }};
}

Case softmax_columns(int64_t batch, int64_t n, int64_t columns) {
  const at::Tensor x = at::randn({batch, n, columns}), out = at::zeros({batch, n, columns});
  LoopBuilder b("softmax", {batch, columns, n}, 2);
  const Strides strides{n * columns, 1, columns};
  const ExprId v = b.load(0, S::Float, strides);
  const ExprId e = b.unary(Op::kExp, b.binary(Op::kSub, v, b.unary(Op::kReduceMax, v)));
  b.store(1, S::Float, strides, b.binary(Op::kDiv, e, b.unary(Op::kReduceSum, e)));
  return {"softmax dim 1 " + std::to_string(batch) + "x" + std::to_string(n) + "x" + std::to_string(columns), b.loop, {x, out}, {}, [=] {
            at::_softmax(x, 1, false);
          }};
}

Case layer_norm(int64_t rows, int64_t n) {
  const at::Tensor x = at::randn({rows, n}), w = at::randn({n}), bias = at::randn({n}), out = at::zeros({rows, n}), m = at::zeros({rows}),
                   r = at::zeros({rows});
  LoopBuilder b("layer_norm", {rows, n}, 1);
  const ExprId v = b.load(0, S::Float, {n, 1});
  const ExprId scale = b.constant(S::Float, 1.0 / static_cast<double>(n));
  const ExprId mean = b.binary(Op::kMul, b.unary(Op::kReduceSum, v), scale);
  const ExprId c = b.binary(Op::kSub, v, mean);
  const ExprId var = b.binary(Op::kMul, b.unary(Op::kReduceSum, b.binary(Op::kMul, c, c)), scale);
  const ExprId rstd = b.unary(Op::kRsqrt, b.binary(Op::kAdd, var, b.constant(S::Float, 1e-5)));
  b.store(3, S::Float, {n, 1},
          b.expr(Op::kFma, S::Float, b.binary(Op::kMul, c, rstd), b.load(1, S::Float, {0, 1}), b.load(2, S::Float, {0, 1})));
  b.store(4, S::Float, {1, 0}, mean);
  b.store(5, S::Float, {1, 0}, rstd);
  return {"layer_norm " + std::to_string(rows) + "x" + std::to_string(n), b.loop, {x, w, bias, out, m, r}, {}, [=] {
            at::native_layer_norm(x, {n}, w, bias, 1e-5);
          }};
}

Case sum(std::vector<int64_t> sizes, int64_t dim) {
  const at::Tensor x = at::randn(sizes);
  const int64_t n = sizes[dim], rest = x.numel() / n;
  const at::Tensor out = at::zeros({rest});
  LoopBuilder b("sum", {rest, n}, 1);
  const bool rows = dim == static_cast<int64_t>(sizes.size()) - 1;
  b.store(1, S::Float, {1, 0}, b.unary(Op::kReduceSum, b.load(0, S::Float, rows ? Strides{n, 1} : Strides{1, rest})));
  return {"sum " + std::to_string(rest) + (rows ? " rows of " : " columns of ") + std::to_string(n), b.loop, {x, out}, {}, [=] {
            at::sum(x, dim);
          }};
}

Case argmax(int64_t rows, int64_t n) {
  const at::Tensor x = at::randn({rows, n}), out = at::zeros({rows}, at::kLong);
  LoopBuilder b("argmax", {rows, n}, 1);
  b.store(1, S::Long, {1, 0}, b.expr(Op::kReduceArgMax, S::Long, b.load(0, S::Float, {n, 1})));
  return {"argmax " + std::to_string(rows) + "x" + std::to_string(n), b.loop, {x, out}, {}, [=] { at::argmax(x, 1); }};
}

Case transpose(int64_t h, int64_t w) {
  const at::Tensor x = at::randn({w, h}), out = at::zeros({h, w});
  LoopBuilder b("transpose", {h, w}, 2);
  b.store(1, S::Float, {w, 1}, b.load(0, S::Float, {1, h}));
  return {"transpose " + std::to_string(h) + "x" + std::to_string(w), b.loop, {x, out}, {}, [=] { x.t().contiguous(); }};
}

Case dropout(int64_t n) {
  const at::Tensor x = at::randn({n}), out = at::zeros({n});
  LoopBuilder b("dropout", {n}, 1);
  b.loop.scalars = {ir::ScalarCategory::kInt, ir::ScalarCategory::kInt};
  b.loop.scalar_ids = {0, 1};
  b.loop.rng = 0;
  const ExprId u = b.expr(Op::kUniform, S::Float, b.index(0));
  const ExprId v = b.load(0, S::Float, {1});
  b.store(1, S::Float, {1},
          b.select(b.compare(Op::kLt, u, b.constant(S::Float, 0.9)), b.binary(Op::kMul, v, b.constant(S::Float, 1 / 0.9)),
                   b.constant(S::Float, 0)));
  return {"dropout " + std::to_string(n), b.loop, {x, out}, std::vector<ir::ScalarValue>(2), [=] { at::native_dropout(x, 0.1, true); }};
}

}  // namespace
}  // namespace torch_hpu::codegen

int main(int argc, char** argv) {
  using namespace torch_hpu::codegen;
  const char* filter = argc > 1 ? argv[1] : "";
  printf("%s, %d threads\n", host_description().c_str(), at::get_num_threads());
  constexpr int64_t k4M = 4 << 20;
  const auto gelu = [](const at::Tensor& x) { return at::gelu(x); };
  run(chain(k4M), filter);
  run(chain(1000), filter);
  run(add(k4M, S::Float), filter);
  run(add(k4M, S::BFloat16), filter);
  run(add(64, S::Float), filter);
  for (int64_t n : {k4M, int64_t{1} << 14}) {
    const std::string size = ", " + std::to_string(n);
    run(unary("exp" + size, Op::kExp, n, [](const at::Tensor& x) { return at::exp(x); }), filter);
    run(unary("log" + size, Op::kLog, n, [](const at::Tensor& x) { return at::log(x); }), filter);
    run(unary("tanh" + size, Op::kTanh, n, [](const at::Tensor& x) { return at::tanh(x); }), filter);
    run(unary("sigmoid" + size, Op::kSigmoid, n, [](const at::Tensor& x) { return at::sigmoid(x); }), filter);
    run(unary("erf against gelu" + size, Op::kErf, n, gelu), filter);
  }
  run(softmax(4096, 1024), filter);
  run(softmax(12 * 128, 128), filter);
  run(softmax(64, 32000), filter);
  run(softmax_columns(16, 64, 1024), filter);
  run(layer_norm(4096, 768), filter);
  run(layer_norm(128, 768), filter);
  run(layer_norm(8192, 64), filter);
  run(sum({k4M}, 0), filter);
  run(sum({4096, 1024}, 1), filter);
  run(sum({4096, 1024}, 0), filter);
  run(sum({65536, 8}, 1), filter);
  run(argmax(4096, 1024), filter);
  run(transpose(2048, 2048), filter);
  run(transpose(1000, 777), filter);
  run(dropout(k4M), filter);
}
