// The collectives of torch_hpu/distributed.h on both devices, and predictions of several ranks in the dataset's order; run under tools/launch.py by
// test_trainer_distributed.py. Prints "OK" or throws.
#include <torch_hpu/device.h>
#include <torch_hpu/distributed.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/trainer.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

using namespace torch_hpu;

namespace {

void check_equal(const at::Tensor& got, const at::Tensor& expected, const char* what) {
  TORCH_CHECK(at::equal(got.cpu(), expected), what, " on rank ", rank(), ": got\n", got.cpu(), "\nexpected\n", expected);
}

void check_collectives(const c10::Device& device) {
  const int n = world_size(), r = rank();
  const auto options = at::TensorOptions().device(device);
  for (const c10::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kLong, at::kShort}) {
    at::Tensor t = at::full({2, 3}, r + 1, options.dtype(dtype));
    all_reduce(t);
    check_equal(t, at::full({2, 3}, n * (n + 1) / 2, dtype), "all_reduce");
    all_reduce(t, Reduce::kMean);
    check_equal(t, at::full({2, 3}, n * (n + 1) / 2, dtype), "all_reduce of means");
    at::Tensor part = at::zeros({4, 4}, options.dtype(dtype));
    part.narrow(1, 1, 2).add_(r + 1);
    broadcast(part.narrow(1, 1, 2), n - 1);
    at::Tensor expected = at::zeros({4, 4}, dtype);
    expected.narrow(1, 1, 2).fill_(n);
    check_equal(part, expected, "broadcast");
    check_equal(all_gather(at::full({2}, r, options.dtype(dtype))), at::arange(n).view({n, 1}).expand({n, 2}).to(dtype), "all_gather");
  }
  const at::Tensor scalar = at::full({}, r, options.dtype(at::kFloat));
  all_reduce(scalar, Reduce::kMax);
  check_equal(scalar, at::full({}, n - 1, at::kFloat), "all_reduce of a scalar");
  at::Tensor later = at::ones({1000}, options);
  const Pending pending = all_reduce_async(later);
  pending.wait();
  pending.wait();
  check_equal(later, at::full({1000}, n, at::kFloat), "all_reduce_async");
  barrier();
}

struct ThreeTimesImpl : torch::nn::Module {
  ThreeTimesImpl() : weight(register_parameter("weight", at::full({1}, 3.0))) {}
  ModelOutput forward(const Batch& batch) {
    const at::Tensor& x = batch.at("x");
    return {(x * weight).mean(), {x * weight, at::ones({x.size(0), rank() + 1}, x.options())}};
  }
  at::Tensor weight;
};
TORCH_MODULE(ThreeTimes);

void check_predictions(bool hpu, int64_t examples) {
  GaudiTrainingArguments args;
  args.output_dir = "unused";
  args.use_habana = hpu;
  args.use_cpu = !hpu;
  args.use_lazy_mode = hpu;
  args.per_device_eval_batch_size = 3;
  args.disable_tqdm = true;
  TrainerOptions options;
  options.label_names = {"y"};
  const at::Tensor x = at::arange(examples).to(at::kFloat);
  auto data = std::make_shared<TensorDataset>(std::map<std::string, at::Tensor>{{"x", x}, {"y", x + 100}});
  GaudiTrainer trainer(trainer_model(ThreeTimes()), GaudiConfig(), args, options);
  const PredictionOutput output = trainer.predict(data);
  check_equal(output.values.predictions.at(0), x * 3, "predictions");
  check_equal(output.values.labels.at("y"), x + 100, "labels");
  // Ranks give rows of different widths: the narrow ones are padded.
  const bool shared = examples >= world_size();
  TORCH_CHECK(output.values.predictions.at(1).size(1) == (shared ? world_size() : rank() + 1));
  TORCH_CHECK(!shared || output.values.predictions[1][0][world_size() - 1].item<float>() == -100);
  const double loss = (x * 3).mean().item<double>();
  TORCH_CHECK(std::abs(output.metrics.number("test_loss") - loss) < 1e-4, "test_loss: ", output.metrics.number("test_loss"), " is not ",
              loss);
}

}  // namespace

int main() {
  try {
    TORCH_CHECK(!is_distributed() && rank() == 0 && world_size() == 1);
    if (!init_process_group_from_env(std::chrono::seconds(20))) {
      std::printf("no group\n");
      return 0;
    }
    std::raise(SIGPIPE);  // a write to a rank that has ended must not end this one
    check_collectives(at::kCPU);
    check_collectives(kDevice);
    for (const int64_t examples : {17, 8, 1}) {
      check_predictions(false, examples);
      check_predictions(true, examples);
    }
    destroy_process_group();
    TORCH_CHECK(!is_distributed());
    std::printf("OK\n");
    return 0;
  } catch (const c10::Error& e) {
    std::fprintf(stderr, "%s\n", e.what_without_backtrace());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
  }
  return 1;
}
