// Traps of graph capture as a LibTorch program meets them, and the wrappers that capture by themselves.
#include <ATen/accelerator/Graph.h>
#include <gtest/gtest.h>
#include <torch/nn.h>
#include <torch/optim.h>
#include <torch_hpu/device.h>
#include <torch_hpu/graphed.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/memory.h>
#include <torch_hpu/metrics.h>
#include <torch_hpu/random.h>

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <fstream>
#include <sstream>
#include <thread>

namespace {

using torch_hpu::CaptureMode;
using torch_hpu::HPUGraph;
using torch_hpu::HPUGraphCapture;
using torch_hpu::kDevice;

class Footguns : public testing::Test {
 protected:
  void SetUp() override {
    torch_hpu::set_option("tier", "compiled");
    torch::manual_seed(0);
    torch_hpu::synchronize();
  }
};

c10::Stream new_stream() {
  return c10::impl::VirtualGuardImpl(torch_hpu::kDeviceType).getNewStream(c10::Device(torch_hpu::kDeviceType, 0));
}

int64_t allocated() {
  torch_hpu::synchronize();
  return torch_hpu::memory_allocated();
}

void expect_close(const torch::Tensor& hpu, const torch::Tensor& cpu, double tolerance = 1e-5) {
  EXPECT_TRUE(torch::allclose(hpu.cpu(), cpu, tolerance, tolerance)) << "got\n" << hpu.cpu() << "\nexpected\n" << cpu;
}

template <typename F>
void expect_error(F f, const std::string& text) {
  try {
    f();
    ADD_FAILURE() << "no error; expected one with " << text;
  } catch (const c10::Error& error) {
    EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
  }
}

TEST_F(Footguns, FreedInput) {
  auto x = torch::ones({1000}, kDevice);
  HPUGraph graph;
  torch::Tensor y;
  {
    const HPUGraphCapture capture(graph);
    y = x + 1;
  }
  x.reset();
  expect_error([&] { graph.replay(); }, "freed");
}

TEST_F(Footguns, ReboundParameter) {
  torch::NoGradGuard no_grad;
  torch::nn::Linear net(torch::nn::LinearOptions(3, 2).bias(false));
  net->to(kDevice);
  const auto x = torch::ones({1, 3}, kDevice);
  HPUGraph graph;
  torch::Tensor y;
  {
    const HPUGraphCapture capture(graph);
    y = net->forward(x);
  }
  const auto old = net->weight.detach();
  net->weight.set_data(torch::ones({2, 3}, kDevice));
  graph.rebind(old, net->weight);
  graph.replay();
  expect_close(y, torch::full({1, 2}, 3.0f));
  net->weight.set_data(torch::zeros({2, 3}, kDevice));
  expect_error([&] { graph.replay(); }, "freed");
}

TEST_F(Footguns, ViewsAndAliases) {
  auto base = torch::arange(6.0, kDevice);
  auto a = base.slice(0, 0, 4), b = base.slice(0, 2);
  auto expected = torch::arange(6.0);
  HPUGraph graph;
  torch::Tensor sum;
  {
    const HPUGraphCapture capture(graph);
    a.add_(1);
    b.mul_(2);
    sum = base.sum().reshape({1});
  }
  const auto view = sum.squeeze();
  for (int i = 0; i < 3; ++i) {
    graph.replay();
    expected.slice(0, 0, 4).add_(1);
    expected.slice(0, 2).mul_(2);
    expect_close(base, expected);
    expect_close(view, expected.sum());
  }
}

TEST_F(Footguns, TwoGraphsOnOnePool) {
  const auto x = torch::rand({1 << 16}, kDevice);
  const auto before = allocated();
  HPUGraph first, second;
  torch::Tensor y, z;
  const auto body = [&] { return std::get<0>(std::get<0>(x.sort()).cumsum(0).sort()).sum(); };
  {
    const HPUGraphCapture capture(first);
    y = body();
  }
  const auto alone = allocated() - before;
  {
    const HPUGraphCapture capture(second, first.pool());
    z = body() + 1;
  }
  EXPECT_LT(allocated() - before - alone, 1 << 18);
  first.replay();
  second.replay();
  expect_close(z, y.cpu() + 1);
  first.reset();
  second.reset();
  y.reset();
  z.reset();
  EXPECT_EQ(allocated(), before);
}

TEST_F(Footguns, NestedCaptureAndForeignGraphs) {
  const auto x = torch::ones({4}, kDevice);
  HPUGraph outer;
  torch::Tensor y;
  {
    const HPUGraphCapture capture(outer);
    y = x + 1;
    HPUGraph inner;
    expect_error([&] { inner.capture_begin(); }, "cannot be nested");
    inner.reset();
    y = y * 2;
  }
  outer.replay();
  expect_close(y, torch::full({4}, 4.0f));
}

TEST_F(Footguns, CaptureOnTwoThreads) {
  const auto shared = torch::ones({16}, kDevice);
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int n = 0; n < 4; ++n) {
    threads.emplace_back([&, n] {
      const c10::StreamGuard stream(new_stream());
      HPUGraph graph;
      torch::Tensor y;
      {
        const HPUGraphCapture capture(graph);
        y = shared * n;
        for (int i = 0; i < 50; ++i) {
          y = y + shared;
        }
      }
      graph.replay();
      right += torch::equal(y.cpu(), torch::full({16}, n + 50.0f));
    });
  }
  for (auto& t : threads) {
    t.join();
  }
  EXPECT_EQ(right, 4);
}

TEST_F(Footguns, ExceptionAtEveryOp) {
  auto x = torch::ones({8, 8}, kDevice);
  HPUGraph graph;
  torch::Tensor y;
  const auto body = [&](int stop) {
    y = x;
    for (int i = 0; i < 50; ++i) {
      if (i == stop) {
        throw std::runtime_error("stop");
      }
      switch (i % 5) {
        case 0:
          y = y.matmul(x);
          break;
        case 1:
          x.mul_(2);
          break;
        case 2:
          y = y.softmax(1).t();
          break;
        case 3:
          y = torch::dropout(y, 0.5, true);
          break;
        default:
          y = std::get<0>(y.sort());
      }
    }
  };
  const auto before = allocated();
  for (int stop = 0; stop < 50; ++stop) {
    EXPECT_THROW(
        {
          const HPUGraphCapture capture(graph);
          body(stop);
        },
        std::runtime_error);
    EXPECT_FALSE(torch_hpu::is_current_stream_capturing());
  }
  y.reset();
  EXPECT_EQ(allocated(), before);
  expect_close(x, torch::ones({8, 8}));
  {
    const HPUGraphCapture capture(graph);
    body(-1);
  }
  graph.replay();
  expect_close(x, torch::full({8, 8}, 1024.0f));
}

TEST_F(Footguns, ReplayOnAnotherStreamAndDestruction) {
  const auto before = allocated();
  auto x = torch::ones({1 << 14}, kDevice);
  {
    HPUGraph graph;
    {
      const HPUGraphCapture capture(graph);
      x.add_(1);
    }
    for (int i = 0; i < 10; ++i) {
      const c10::StreamGuard stream(new_stream());
      graph.replay();
    }
  }  // destroyed while it may still run
  expect_close(x, torch::full({1 << 14}, 11.0f));
  x.reset();
  EXPECT_EQ(allocated(), before);
}

TEST_F(Footguns, ReplayAfterReset) {
  const auto x = torch::ones({4}, kDevice);
  HPUGraph graph;
  torch::Tensor y;
  {
    const HPUGraphCapture capture(graph, {0, 0}, CaptureMode::kGlobal, /*execute=*/true);
    y = x + 1;
  }
  graph.reset();
  expect_close(y, torch::full({4}, 2.0f));
  expect_error([&] { graph.replay(); }, "nothing is captured");
}

TEST_F(Footguns, RelaxedCaptureReadsWhatExisted) {
  const auto x = torch::full({2}, 3.0f, kDevice);
  HPUGraph graph;
  expect_error(
      [&] {
        const HPUGraphCapture capture(graph);
        x.sum().item<float>();
      },
      "item()");
  torch::Tensor y;
  {
    const HPUGraphCapture capture(graph, {0, 0}, CaptureMode::kRelaxed);
    y = x * x[0].item<float>();
  }
  graph.replay();
  expect_close(y, torch::full({2}, 9.0f));
}

TEST_F(Footguns, DropoutAdvances) {
  const auto x = torch::ones({256}, kDevice);
  HPUGraph graph;
  torch::Tensor y;
  {
    const HPUGraphCapture capture(graph);
    y = torch::dropout(x, 0.5, true);
  }
  torch_hpu::manual_seed(5);
  graph.replay();
  const auto first = y.cpu().clone();
  graph.replay();
  EXPECT_FALSE(torch::equal(y.cpu(), first));
  torch_hpu::manual_seed(5);
  graph.replay();
  EXPECT_TRUE(torch::equal(y.cpu(), first));
}

TEST_F(Footguns, DebugDump) {
  const auto x = torch::ones({64}, kDevice);
  HPUGraph graph;
  graph.enable_debug_mode();
  torch::Tensor y;
  {
    const HPUGraphCapture capture(graph);
    y = x.exp() + 1;
  }
  graph.replay();
  torch_hpu::synchronize();
  const auto dumped = [&](const std::string& ending) {
    const std::string path = testing::TempDir() + "/graph" + ending;
    graph.debug_dump(path);
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  };
  EXPECT_NE(dumped(".txt").find("node aten::exp"), std::string::npos);
  EXPECT_EQ(dumped(".dot").find("digraph"), 0);
  EXPECT_NE(dumped(".json").find("\"microseconds\""), std::string::npos);
  EXPECT_NE(torch_hpu::graph_table().find('\n'), torch_hpu::graph_table().rfind('\n'));
}

TEST_F(Footguns, AcceleratorGraph) {
  auto x = torch::zeros({4}, kDevice);
  at::accelerator::Graph graph;
  graph.capture_begin();
  x += 1;
  graph.capture_end();
  graph.instantiate();
  for (int i = 0; i < 3; ++i) {
    graph.replay();
  }
  expect_close(x, torch::full({4}, 3.0f));
  graph.reset();
  expect_error([&] { graph.replay(); }, "nothing is captured");
}

struct TwoHeaded : torch::nn::Module {
  TwoHeaded() : a(register_module("a", torch::nn::Linear(4, 3))), b(register_module("b", torch::nn::Linear(4, 2))) {}
  std::tuple<torch::Tensor, torch::Tensor> forward(const torch::Tensor& x, const torch::Tensor& y) {
    return {a->forward(x + y), b->forward(x * y)};
  }
  torch::nn::Linear a, b;
};

TEST_F(Footguns, WrappedModuleWithSeveralInputsAndOutputs) {
  const torch::NoGradGuard no_grad;
  auto net = std::make_shared<TwoHeaded>();
  const auto x = torch::randn({5, 4}), y = torch::randn({5, 4});
  const auto [p, q] = net->forward(x, y);
  net->to(kDevice);
  auto graphed = torch_hpu::wrap_in_hpu_graph(net);
  for (int i = 0; i < 3; ++i) {
    const auto [r, s] = graphed(x.to(kDevice), y.to(kDevice));
    expect_close(r, p);
    expect_close(s, q);
  }
  EXPECT_EQ(graphed.graphs(), 1);
}

TEST_F(Footguns, WrappedFunctionUpdatesItsArguments) {
  auto add = torch_hpu::wrap_in_hpu_graph(
      [](const std::vector<torch::Tensor>& list, torch::Tensor total, double scale) {
        for (const auto& t : list) {
          total.add_(t * scale);
        }
        return std::vector<torch::Tensor>{total * 2};
      },
      2);
  auto total = torch::zeros({2}, kDevice);
  const auto one = torch::ones({2}, kDevice);
  for (int i = 1; i <= 3; ++i) {
    expect_close(add(std::vector<torch::Tensor>{one, one}, total, 0.5)[0], torch::full({2}, 2.0f * i));
    expect_close(total, torch::full({2}, 1.0f * i));
  }
  EXPECT_EQ(add.graphs(), 1);
  add(std::vector<torch::Tensor>{one}, total, 0.5);
  add(std::vector<torch::Tensor>{one}, total, 0.25);
  EXPECT_EQ(add.graphs(), 2);  // the first went
}

TEST_F(Footguns, GraphedTrainingStep) {
  torch::nn::Linear cpu(6, 3), hpu(6, 3);
  {
    const torch::NoGradGuard no_grad;
    hpu->weight.copy_(cpu->weight);
    hpu->bias.copy_(cpu->bias);
  }
  hpu->to(kDevice);
  torch::optim::SGD cpu_optimizer(cpu->parameters(), torch::optim::SGDOptions(0.05).momentum(0.9));
  torch::optim::SGD hpu_optimizer(hpu->parameters(), torch::optim::SGDOptions(0.05).momentum(0.9));
  const auto step = [](auto& net, auto& optimizer, const torch::Tensor& x, const torch::Tensor& y) {
    optimizer.zero_grad();
    const auto loss = torch::mse_loss(net->forward(x), y);
    loss.backward();
    optimizer.step();
    return loss;
  };
  auto graphed = torch_hpu::make_graphed_step(
      [&](const std::vector<torch::Tensor>& batch) { return std::vector<torch::Tensor>{step(hpu, hpu_optimizer, batch[0], batch[1])}; });
  for (int i = 0; i < 20; ++i) {
    const auto x = torch::randn({10, 6}), y = torch::randn({10, 3});
    EXPECT_EQ(graphed.replays(), i >= 4);
    const auto loss = graphed({x.to(kDevice), y.to(kDevice)})[0];
    expect_close(loss, step(cpu, cpu_optimizer, x, y).detach(), 1e-4);
  }
  expect_close(hpu->weight.detach(), cpu->weight.detach(), 1e-4);
  expect_error([&] { graphed({torch::randn({2, 6}, kDevice), torch::randn({2, 3}, kDevice)}); }, "signature");
}

TEST_F(Footguns, AStepThatCountsOnTheHostIsRefused) {
  torch::nn::Linear net(6, 3);
  net->to(kDevice);
  torch::optim::Adam optimizer(net->parameters(), torch::optim::AdamOptions(1e-2));
  auto graphed = torch_hpu::make_graphed_step([&](const std::vector<torch::Tensor>& batch) {
    optimizer.zero_grad();
    const auto loss = net->forward(batch[0]).square().mean();
    loss.backward();
    optimizer.step();
    return std::vector<torch::Tensor>{loss};
  });
  const auto x = torch::randn({4, 6}, kDevice);
  for (int i = 0; i < 3; ++i) {
    graphed({x});
  }
  expect_error([&] { graphed({x}); }, "a scalar of aten::");
}

}  // namespace
