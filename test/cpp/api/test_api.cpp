// What a LibTorch program sees, through the public headers and the shared library only.
#include <gtest/gtest.h>
#include <torch/nn.h>
#include <torch/optim.h>
#include <torch_hpu/device.h>
#include <torch_hpu/event.h>
#include <torch_hpu/graphed.h>
#include <torch_hpu/hpu_graph.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/memory.h>
#include <torch_hpu/metrics.h>
#include <torch_hpu/random.h>
#include <torch_hpu/safetensors.h>
#include <torch_hpu/stream.h>

#include <fstream>
#include <thread>

namespace {

using torch_hpu::kDevice;

class Api : public testing::Test {
 protected:
  void SetUp() override {
    torch_hpu::set_option("tier", "compiled");
    torch::manual_seed(0);
    torch_hpu::synchronize();
    before_ = torch_hpu::metrics_snapshot();
  }
  // What a counter moved since the last call.
  uint64_t moved(const std::string& name) {
    torch_hpu::synchronize();
    const auto now = torch_hpu::metrics_snapshot();
    const uint64_t n = now.at(name) - before_.at(name);
    before_[name] = now.at(name);
    return n;
  }
  std::map<std::string, uint64_t> before_;
};

void expect_close(const torch::Tensor& hpu, const torch::Tensor& cpu, double tolerance = 1e-5) {
  EXPECT_EQ(hpu.device().type(), torch_hpu::kDeviceType);
  EXPECT_TRUE(torch::allclose(hpu.cpu(), cpu, tolerance, tolerance)) << "got\n" << hpu.cpu() << "\nexpected\n" << cpu;
}

TEST_F(Api, ModulesMoveAndRun) {
  torch::nn::Sequential net(torch::nn::Linear(8, 16), torch::nn::ReLU(), torch::nn::Linear(16, 4));
  const auto x = torch::randn({5, 8});
  const auto expected = net->forward(x).detach();
  net->to(kDevice);
  expect_close(net->forward(x.to(kDevice)).detach(), expected);
  EXPECT_EQ(moved("breaking_calls"), 0);
}

TEST_F(Api, TrainingEqualsTheCpu) {
  torch::nn::Linear cpu(6, 3), hpu(6, 3);
  {
    const torch::NoGradGuard no_grad;
    hpu->weight.copy_(cpu->weight);
    hpu->bias.copy_(cpu->bias);
  }
  hpu->to(kDevice);
  torch::optim::AdamW cpu_optimizer(cpu->parameters(), torch::optim::AdamWOptions(1e-2)),
      hpu_optimizer(hpu->parameters(), torch::optim::AdamWOptions(1e-2));
  const auto x = torch::randn({10, 6}), y = torch::randn({10, 3});
  const auto step = [](auto& net, auto& optimizer, const torch::Tensor& x, const torch::Tensor& y) {
    optimizer.zero_grad();
    const auto loss = torch::mse_loss(net->forward(x), y);
    loss.backward();
    optimizer.step();
    torch_hpu::mark_step();
    return loss.detach();
  };
  for (int i = 0; i < 4; ++i) {
    step(hpu, hpu_optimizer, x.to(kDevice), y.to(kDevice));
    step(cpu, cpu_optimizer, x, y);
  }
  moved("compilations");
  torch::Tensor a, b;
  for (int i = 0; i < 30; ++i) {
    a = step(hpu, hpu_optimizer, x.to(kDevice), y.to(kDevice));
    b = step(cpu, cpu_optimizer, x, y);
  }
  expect_close(a, b, 1e-4);
  EXPECT_EQ(moved("compilations"), 0);  // Adam's step count and bias corrections are run-time arguments
}

TEST_F(Api, CaptureAndReplay) {
  const torch::NoGradGuard no_grad;
  auto x = torch::ones({4}).to(kDevice);
  torch_hpu::HPUGraph graph;
  torch::Tensor y;
  {
    const torch_hpu::HPUGraphCapture capture(graph);
    y = (x * 2 + 1).relu();
    EXPECT_TRUE(torch_hpu::is_current_stream_capturing());
  }
  moved("recipe_misses");
  for (int i = 1; i < 4; ++i) {
    x.fill_(i);
    graph.replay();
    expect_close(y, torch::full({4}, 2.0f * i + 1));
  }
  EXPECT_EQ(moved("graph_replays"), 3);
  EXPECT_EQ(graph.statistics().at("kernels"), 1);
}

TEST_F(Api, AnExceptionAbortsTheCapture) {
  auto x = torch::ones({4}).to(kDevice);
  torch_hpu::HPUGraph graph;
  EXPECT_THROW(
      {
        const torch_hpu::HPUGraphCapture capture(graph);
        const auto y = x + 1;
        y.sum().item<float>();  // the host is out of reach
      },
      c10::Error);
  EXPECT_FALSE(torch_hpu::is_current_stream_capturing());
  expect_close(x + 1, torch::full({4}, 2.0f));
}

TEST_F(Api, WrappedModules) {
  const torch::NoGradGuard no_grad;
  torch::nn::Linear net(3, 2);
  const auto x = torch::randn({4, 3});
  const auto expected = net->forward(x);
  net->to(kDevice);
  auto graphed = torch_hpu::wrap_in_hpu_graph(net);
  expect_close(graphed(x.to(kDevice)), expected);
  expect_close(graphed(x.to(kDevice)), expected);
  graphed(torch::randn({1, 3}).to(kDevice));
  EXPECT_EQ(graphed.graphs(), 2);
  EXPECT_THROW(graphed(x), c10::Error);
}

TEST_F(Api, EagerMode) {
  const torch_hpu::EagerMode eager;
  const auto x = torch::randn({3, 3});
  expect_close(torch::softmax(x.to(kDevice) * 2, 1), torch::softmax(x * 2, 1));
  EXPECT_EQ(moved("compilations"), 0);
  EXPECT_GE(moved("eager_calls"), 2);
}

TEST_F(Api, StreamsAndEvents) {
  const auto stream = torch_hpu::new_stream();
  EXPECT_NE(stream, torch_hpu::default_stream());
  const auto x = torch::ones({4}, kDevice);
  torch_hpu::Event start(/*timing=*/true), end(/*timing=*/true);
  torch::Tensor y;
  {
    const c10::StreamGuard guard(stream);
    EXPECT_EQ(torch_hpu::current_stream(), stream);
    start.record();
    y = x * 3;  // the default stream's ones() run first
    end.record();
  }
  EXPECT_EQ(torch_hpu::current_stream(), torch_hpu::default_stream());
  end.block(torch_hpu::default_stream());
  expect_close(y + 1, torch::full({4}, 4.0f));
  end.synchronize();
  EXPECT_TRUE(start.query() && end.query() && stream.query());
  EXPECT_GE(start.elapsed_ms(end), 0);
  stream.synchronize();
  torch_hpu::set_current_stream(stream);
  EXPECT_EQ(torch_hpu::current_stream(), stream);
  torch_hpu::set_current_stream(torch_hpu::default_stream());
  EXPECT_THROW(torch_hpu::new_stream(7), c10::Error);
  EXPECT_THROW(torch_hpu::Event().elapsed_ms(end), c10::Error);
}

TEST_F(Api, FailuresAreThrownWhenTheyAreSeen) {
  const auto table = torch::ones({10, 4}, kDevice), index = torch::full({2}, 50, torch::dtype(torch::kLong).device(kDevice));
  torch_hpu::synchronize();  // the failing graph must not be the one that makes them
  const auto rows = torch::embedding(table, index);
  torch_hpu::mark_step();
  try {
    torch_hpu::synchronize();
    FAIL() << "no error";
  } catch (const c10::Error& error) {
    const std::string text = error.what();
    for (const char* part : {"index out of range", "aten::embedding", "node 0 of graph "}) {
      EXPECT_NE(text.find(part), std::string::npos) << text;
    }
  }
  EXPECT_NO_THROW(torch_hpu::synchronize());
  EXPECT_THROW(rows.cpu(), c10::Error);
  expect_close(table * 2, torch::full({10, 4}, 2.0f));
}

TEST_F(Api, CompilationsAreExplained) {
  for (int rows : {2, 3}) {
    (torch::ones({rows, 5}).to(kDevice).atan() * 2).cpu();
  }
  const std::string reason = torch_hpu::compilation_reasons().back();
  EXPECT_NE(reason.find("shape: [aten::atan] argument 'self' has shape [3, 5], in graph "), std::string::npos) << reason;
}

TEST_F(Api, TheInTreeNameIsExplained) {
  try {
    torch::empty({2}, torch::TensorOptions().device(torch::kHPU));
    FAIL() << "no error";
  } catch (const c10::Error& error) {
    EXPECT_NE(std::string(error.what()).find("torch_hpu::kDevice"), std::string::npos) << error.what();
  }
}

TEST_F(Api, MemoryAndSeeds) {
  torch_hpu::synchronize();
  const auto before = torch_hpu::memory_allocated();
  auto x = torch::zeros({1 << 18}, kDevice);
  torch_hpu::synchronize();
  EXPECT_EQ(torch_hpu::memory_allocated(), before + (4 << 18));
  x.reset();
  EXPECT_EQ(torch_hpu::memory_allocated(), before);
  torch_hpu::manual_seed(3);
  const auto a = torch::rand({10}, kDevice).cpu();
  torch_hpu::manual_seed(3);
  EXPECT_TRUE(torch::equal(torch::rand({10}, kDevice).cpu(), a));
  EXPECT_THROW(torch_hpu::set_option("tier", "warp"), c10::ValueError);
}

TEST_F(Api, EightThreads) {
  const auto shared = torch::full({64}, 3.0f, kDevice);
  torch_hpu::synchronize();
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const auto own = torch::full({64}, static_cast<float>(t), kDevice);
        wrong += (own * shared + i).sum().item<float>() != 64.0f * (3 * t + i);
      }
    });
  }
  for (auto& t : threads) {
    t.join();
  }
  EXPECT_EQ(wrong, 0);
}

TEST(Safetensors, RoundTripAndErrors) {
  const std::string path = testing::TempDir() + "/tensors.safetensors";
  const std::map<std::string, torch::Tensor> tensors{
      {"a", torch::randn({2, 3})}, {"b", torch::arange(5)}, {"c", torch::ones({4}).to(torch::kBFloat16)}};
  torch_hpu::save_safetensors(path, tensors);
  const auto loaded = torch_hpu::load_safetensors(path);
  ASSERT_EQ(loaded.size(), 3);
  for (const auto& [name, tensor] : tensors) {
    EXPECT_TRUE(torch::equal(loaded.at(name), tensor)) << name;
  }
  const auto broken = [&](std::string header, size_t data) {
    std::ofstream out(path, std::ios::binary);
    const uint64_t size = header.size();
    out.write(reinterpret_cast<const char*>(&size), 8) << header << std::string(data, 'x');
    out.close();
    EXPECT_THROW(torch_hpu::load_safetensors(path), c10::Error) << header;
  };
  broken("{", 0);
  broken(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4);                      // bytes do not fit the shape
  broken(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8);                      // a hole
  broken(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8);                      // bytes behind the end
  broken(R"({"a":{"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,4]}})", 4);  // overflow
  broken(R"({"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}})", 4);
  std::ofstream(path, std::ios::binary) << "pickle";
  EXPECT_THROW(torch_hpu::load_safetensors(path), c10::Error);
  EXPECT_THROW(torch_hpu::load_safetensors("/nonexistent"), c10::Error);
}

}  // namespace
