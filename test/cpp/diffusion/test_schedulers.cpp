// Errors, state, tables and compiled graphs of the diffusion schedulers. Values: test_diffusion_schedulers.py.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <gtest/gtest.h>
#include <torch_hpu/ddim_scheduler.h>
#include <torch_hpu/device.h>
#include <torch_hpu/diffusion_scheduler.h>
#include <torch_hpu/graphed.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/metrics.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "test/cpp/api/compile_at_once.h"
#include "test/cpp/diffusion/error_words.h"

namespace {

namespace fs = std::filesystem;
using namespace torch_hpu;

const std::string kStableDiffusion = R"("beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1)";

std::string config_of(const std::string& name, const std::string& more = "") {
  return "{\"_class_name\": \"" + name + "\", " + kStableDiffusion + (more.empty() ? "" : ", " + more) + "}";
}

std::shared_ptr<DiffusionScheduler> make(const std::string& name, const std::string& more = "") {
  return DiffusionScheduler::from_config(config_of(name, more));
}

// One of each kind of step.
std::vector<std::shared_ptr<DiffusionScheduler>> make_all() {
  std::vector<std::shared_ptr<DiffusionScheduler>> all;
  for (const std::string& name : DiffusionScheduler::class_names()) {
    all.push_back(make(name, "\"skip_prk_steps\": true"));
  }
  all.push_back(make("PNDMScheduler"));
  all.push_back(make("DPMSolverMultistepScheduler", R"("algorithm_type": "sde-dpmsolver++", "solver_order": 3)"));
  all.push_back(make("UniPCMultistepScheduler", R"("solver_order": 3, "disable_corrector": [1], "thresholding": true)"));
  all.push_back(make("DDIMScheduler", R"("thresholding": true, "prediction_type": "v_prediction")"));
  all.back()->set_eta(1);
  return all;
}

std::string config_error(const std::string& json) {
  return error_of([&] { DiffusionScheduler::from_config(json); });
}

std::vector<at::Tensor> advance_all(const DiffusionScheduler& scheduler, const at::Tensor& prediction, const at::Tensor& noise,
                                    at::Tensor sample) {
  std::vector<at::Tensor> samples, state = scheduler.initial_state(sample);
  for (int64_t i = scheduler.begin_index(); i < scheduler.steps(); ++i) {
    std::vector<at::Tensor> next = scheduler.advance(prediction * sample, sample, state, scheduler.step_table(i), noise);
    sample = next[0];
    state.assign(next.begin() + 1, next.end());
    samples.push_back(sample);
    mark_step();
  }
  return samples;
}

TEST(DiffusionScheduler, BadConfigs) {
  expect_words(config_error("{"), {"not valid JSON"});
  expect_words(config_error("[]"), {"JSON object"});
  expect_words(config_error("{}"), {"_class_name"});
  expect_words(config_error(R"({"_class_name": "HeunDiscreteScheduler"})"), {"HeunDiscreteScheduler", "UniPCMultistepScheduler"});
  expect_words(error_of([] { DiffusionScheduler::make("", "{}"); }), {"empty"});
  expect_words(config_error(config_of("DDIMScheduler", "\"wavelets\": 3")), {"DDIMScheduler", "not known", "wavelets"});
  expect_words(config_error(config_of("DDIMScheduler", "\"prediction_type\": \"flow\"")), {"prediction_type", "flow", "epsilon", "sample"});
  expect_words(config_error(config_of("PNDMScheduler", "\"prediction_type\": \"sample\"")), {"prediction_type", "sample"});
  expect_words(config_error(config_of("DDIMScheduler", "\"timestep_spacing\": \"even\"")), {"timestep_spacing", "even", "leading"});
  expect_words(config_error(config_of("DDIMScheduler", "\"num_train_timesteps\": 0")), {"num_train_timesteps", "0"});
  expect_words(config_error(config_of("DDIMScheduler", "\"clip_sample\": \"yes\"")), {"clip_sample", "true or false"});
  expect_words(config_error(config_of("DDIMScheduler", "\"trained_betas\": [0.1]")), {"trained_betas", "got 1", "expected 1000"});
  expect_words(config_error(R"({"_class_name": "DDIMScheduler", "beta_end": 1.5})"), {"betas", "[0, 1)"});
  expect_words(config_error(R"({"_class_name": "DDIMScheduler", "beta_schedule": "sigmoid"})"), {"beta_schedule", "sigmoid"});
  expect_words(config_error(config_of("DDPMScheduler", "\"variance_type\": \"learned_range\"")), {"variance_type", "learned_range"});
  expect_words(config_error(config_of("DPMSolverMultistepScheduler", "\"use_beta_sigmas\": true")), {"use_beta_sigmas"});
  expect_words(config_error(config_of("UniPCMultistepScheduler", "\"use_flow_sigmas\": true")), {"use_flow_sigmas"});
  expect_words(config_error(config_of("DPMSolverMultistepScheduler", "\"algorithm_type\": \"dpmsolver\"")),
               {"final_sigmas_type", "sigma_min"});
  expect_words(config_error(config_of("DPMSolverMultistepScheduler", "\"solver_order\": 4")), {"solver_order", "4"});
  expect_words(config_error(config_of("EulerDiscreteScheduler", "\"use_karras_sigmas\": true, \"use_exponential_sigmas\": true")),
               {"at most one"});
  EXPECT_EQ(config_error(config_of("EulerDiscreteScheduler", "\"skip_prk_steps\": true, \"clip_sample\": false, \"variance_type\": null")),
            "");
}

TEST(DiffusionScheduler, BadCalls) {
  const at::Tensor sample = at::ones({2, 1, 2, 2});
  for (const auto& scheduler : make_all()) {
    expect_words(error_of([&] { scheduler->step(sample, 1, sample); }), {scheduler->class_name(), "set_timesteps()"});
    expect_words(error_of([&] { scheduler->timesteps(); }), {"set_timesteps()"});
    expect_words(error_of([&] { scheduler->set_begin_index(0); }), {"set_timesteps()"});
    expect_words(error_of([&] { scheduler->step_table(0); }), {"set_timesteps()"});
    expect_words(error_of([&] { scheduler->set_timesteps(0); }), {"[1, 1000]", "got 0"});
    expect_words(error_of([&] { scheduler->set_timesteps(1001); }), {"[1, 1000]", "got 1001"});
    scheduler->set_timesteps(5);
    const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(1);
    const double first = scheduler->timesteps()[0].item<double>();
    expect_words(error_of([&] { scheduler->step(sample, first, sample, generator, sample); }), {"either", "both"});
    expect_words(error_of([&] { scheduler->step(sample, first + 0.5, sample); }), {"timestep", "one of the schedule's"});
    expect_words(error_of([&] { scheduler->step(sample.slice(0, 0, 1), first, sample, std::nullopt, sample); }), {"shape", "[1, 1, 2, 2]"});
    expect_words(error_of([&] { scheduler->set_begin_index(100); }), {"got 100"});
    expect_words(error_of([&] { scheduler->step_table(-1); }), {"got -1"});
    std::vector<at::Tensor> state = scheduler->initial_state(sample);
    if (scheduler->needs_noise()) {
      expect_words(error_of([&] { scheduler->advance(sample, sample, state, scheduler->step_table(0)); }), {"adds noise"});
    }
    state.push_back(sample);
    expect_words(error_of([&] { scheduler->advance(sample, sample, state, scheduler->step_table(0), sample); }),
                 {"state", "got " + std::to_string(state.size())});
  }
  const auto ddim = GaudiDDIMScheduler::from_config();
  expect_words(error_of([&] { ddim->step(sample, sample); }), {"set_timesteps()"});
  expect_words(error_of([&] { ddim->set_timesteps(std::vector<double>{10, 5}); }), {"a number of steps", "2 timesteps"});
  expect_words(error_of([&] { ddim->set_eta(1.5); }), {"eta", "1.5"});
  const auto ddpm = make("DDPMScheduler");
  expect_words(error_of([&] { ddpm->set_timesteps(std::vector<double>{5, 10}); }), {"descending"});
  expect_words(error_of([&] { ddpm->set_timesteps(std::vector<double>{1000, 10}); }), {"[0, 1000)", "1000"});
  expect_words(error_of([&] { ddpm->set_timesteps(std::vector<double>{10.5}); }), {"whole", "10.5"});
  expect_words(error_of([&] { ddpm->set_timesteps(std::vector<double>()); }), {"empty"});
  expect_words(error_of([&] { make("PNDMScheduler")->set_timesteps(3); }), {"skip_prk_steps", "got 3"});
  expect_words(error_of([&] { make("LCMScheduler")->set_timesteps(51); }), {"original_inference_steps", "51"});
  expect_words(error_of([&] { make("UniPCMultistepScheduler", "\"lower_order_final\": false")->set_timesteps(5); }),
               {"step 4", "not finite"});
  expect_words(error_of([&] {
                 draw_noise({3, 2}, {at::make_generator<at::CPUGeneratorImpl>(1), at::make_generator<at::CPUGeneratorImpl>(2)}, at::kFloat,
                            at::kCPU);
               }),
               {"3 samples", "got 2"});
}

TEST(DiffusionScheduler, StepsOutOfOrder) {
  const at::Tensor sample = at::ones({1, 1, 2, 2});
  const auto solver = make("UniPCMultistepScheduler");
  solver->set_timesteps(3);
  const auto time = [&](int64_t i) { return solver->timesteps()[i].item<double>(); };
  solver->step(sample, time(0), sample);
  expect_words(error_of([&] { solver->step(sample, time(2), sample); }), {"next timestep", "expected"});
  solver->step(sample, time(1), sample);
  solver->step(sample, time(2), sample);
  expect_words(error_of([&] { solver->step(sample, time(0), sample); }), {"all steps are done"});
  solver->set_timesteps(3);
  solver->step(sample, time(0), sample);
  const auto ddim = make("DDIMScheduler");  // without a history any order will do
  ddim->set_timesteps(3);
  const at::Tensor last = ddim->step(sample, 1, sample).prev_sample;
  ddim->step(sample, 667, sample);
  EXPECT_TRUE(at::equal(ddim->step(sample, 1, sample).prev_sample, last));
}

TEST(DiffusionScheduler, FoldersAndSwitching) {
  const fs::path folder = fs::temp_directory_path() / ("schedulers_" + std::to_string(getpid()));
  expect_words(error_of([&] { DiffusionScheduler::from_pretrained(folder.string()); }), {"cannot read", "scheduler_config.json"});
  for (const std::string& name : DiffusionScheduler::class_names()) {
    const auto scheduler = make(name, "\"lambda_min_clipped\": -Infinity, \"prediction_type\": \"v_prediction\"");
    scheduler->save_pretrained((folder / "scheduler").string());
    const auto again = DiffusionScheduler::from_pretrained(folder.string());
    EXPECT_EQ(again->class_name(), name);
    EXPECT_EQ(again->config_json(), scheduler->config_json());
    EXPECT_EQ(GaudiDDIMScheduler::from_pretrained(folder.string())->config().prediction_type, "v_prediction");
    EXPECT_EQ(scheduler->switched("LCMScheduler")->config().beta_start, 0.00085);
    EXPECT_EQ(scheduler->switched("DDPMScheduler")->config().clip_sample, true);
  }
  std::ofstream(folder / "scheduler" / "scheduler_config.json") << "{\"_class_name\": 3}";
  expect_words(error_of([&] { DiffusionScheduler::from_pretrained(folder.string()); }), {"_class_name", "a text"});
  fs::remove_all(folder);
}

// The first figures of a run of the original.
TEST(GaudiDDIMScheduler, Tables) {
  const auto scheduler = std::dynamic_pointer_cast<GaudiDDIMScheduler>(make("GaudiDDIMScheduler", "\"set_alpha_to_one\": false"));
  scheduler->set_timesteps(5);
  const std::vector<int64_t> times = {801, 601, 401, 201, 1};
  EXPECT_TRUE(at::equal(scheduler->timesteps(), at::tensor(times, at::kLong)));
  const auto near = [](const std::vector<float>& got, const std::vector<float>& expected) {
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(got.at(i), expected[i], 2e-5 * expected[i]);
    }
  };
  near(scheduler->alpha_prod_t_list(), {0.036546F, 0.159816F, 0.422881F, 0.752143F, 0.998296F});
  near(scheduler->alpha_prod_t_prev_list(), {0.159816F, 0.422881F, 0.752143F, 0.998296F, 0.999150F});
  near(scheduler->variance_list(), {0.672634F, 0.427303F, 0.188008F, 0.00169515F, 0.000426346F});
}

TEST(GaudiDDIMScheduler, TablesRollBack) {
  const CompileAtOnce tier;  // values are compared bit by bit
  for (const c10::Device device : {c10::Device(c10::kCPU), kDevice}) {
    const auto scheduler = GaudiDDIMScheduler::from_config(config_of("DDIMScheduler"));
    scheduler->set_timesteps(7, device);
    const at::Tensor before = scheduler->table().cpu(), sample = at::linspace(-1, 1, 8).reshape({1, 2, 2, 2}).to(device);
    std::vector<at::Tensor> results;
    for (int image = 0; image < 2; ++image) {
      at::Tensor x = sample;
      for (int i = 0; i < 7; ++i) {
        EXPECT_EQ(at::equal(scheduler->table().cpu(), before), i == 0);
        x = scheduler->step(x * 0.5, x).prev_sample;
      }
      results.push_back(x.cpu());
    }
    EXPECT_TRUE(at::equal(scheduler->table().cpu(), before));
    EXPECT_TRUE(at::equal(results[0], results[1]));
    scheduler->step(sample, sample);
    EXPECT_FALSE(at::equal(scheduler->table().cpu(), before));
    scheduler->reset_timestep_dependent_params();
    EXPECT_TRUE(at::equal(scheduler->table().cpu(), before));
    scheduler->step(sample, sample);
    scheduler->set_timesteps(3, device);  // begins anew
    EXPECT_EQ(scheduler->table().size(0), 3);
    EXPECT_TRUE(at::equal(scheduler->table()[0].cpu(), scheduler->step_table(0).cpu()));
  }
}

TEST(DiffusionScheduler, NothingOfOneImageIsLeftForTheNext) {
  const at::Tensor prediction = at::linspace(0.2, 0.8, 16).reshape({1, 4, 2, 2}), noise = prediction.cos();
  for (const auto& scheduler : make_all()) {
    scheduler->set_timesteps(6);
    const auto first = advance_all(*scheduler, prediction, noise, noise * 3);
    const auto again = advance_all(*scheduler, prediction, noise, noise * 3);
    scheduler->set_timesteps(9);
    scheduler->set_begin_index(2);
    scheduler->step(noise, scheduler->timesteps()[2].item<double>(), noise);
    scheduler->set_timesteps(6);
    const auto later = advance_all(*scheduler, prediction, noise, noise * 3);
    for (size_t i = 0; i < first.size(); ++i) {
      EXPECT_TRUE(at::equal(first[i], again[i]) && at::equal(first[i], later[i])) << scheduler->class_name() << " step " << i;
      EXPECT_TRUE(first[i].isfinite().all().item<bool>());
    }
  }
}

TEST(DiffusionScheduler, HalfPrecisionLatents) {
  const at::Tensor prediction = at::linspace(0.2, 0.8, 16).reshape({1, 4, 2, 2}), noise = prediction.cos();
  for (const auto& scheduler : make_all()) {
    scheduler->set_timesteps(4);
    const auto exact = advance_all(*scheduler, prediction, noise, noise);
    const auto half = advance_all(*scheduler, prediction, noise, noise.to(at::kBFloat16));
    EXPECT_EQ(half.back().scalar_type(), at::kBFloat16);
    const double scale = std::max(1.0, exact.back().abs().max().item<double>());
    EXPECT_LT((half.back().to(at::kFloat) - exact.back()).abs().max().item<double>(), 0.1 * scale) << scheduler->class_name();
  }
}

std::string last_reason() {
  const std::vector<std::string> reasons = compilation_reasons();
  return reasons.empty() ? "" : reasons.back();
}

// Whatever the timestep, the number of steps and the image: one graph for the first step (fresh state) and those after it.
TEST(DiffusionScheduler, OneGraphForAllSteps) {
  const CompileAtOnce tier;
  const at::Tensor prediction = at::linspace(0.2, 0.8, 64).reshape({1, 4, 4, 4}).to(kDevice), noise = prediction.cos();
  for (const auto& scheduler : make_all()) {
    scheduler->set_timesteps(4, kDevice);
    const at::Tensor start = at::ones({1, 4, 4, 4}).to(kDevice);
    std::vector<at::Tensor> state = scheduler->initial_state(start);
    at::Tensor sample = start;
    synchronize();
    const auto step = [&](int64_t i) {
      std::vector<at::Tensor> next = scheduler->advance(prediction, sample, state, scheduler->step_table(i), noise);
      sample = next[0];
      state.assign(next.begin() + 1, next.end());
      next.clear();
      mark_step();
    };
    step(0);
    step(1);
    synchronize();
    const auto before = metrics_snapshot();
    for (const int64_t steps : {50, 20}) {
      scheduler->set_timesteps(steps, kDevice);
      for (int64_t i = 0; i < scheduler->steps(); ++i) {
        step(i);
      }
    }
    synchronize();
    const auto after = metrics_snapshot();
    for (const std::string counter : {"compilations", "recipe_misses", "host_reads", "breaking_calls"}) {
      EXPECT_EQ(after.at(counter), before.at(counter)) << scheduler->class_name() << " " << counter << ": " << last_reason();
    }
  }
}

TEST(DiffusionScheduler, OneCapturedGraphReplaysAllSteps) {
  const at::Tensor prediction = at::linspace(0.2, 0.8, 64).reshape({1, 4, 4, 4}), noise = prediction.cos();
  for (const auto& scheduler : make_all()) {
    const auto body = [&](const std::vector<at::Tensor>& in) {  // row, sample, prediction, noise, state...
      const at::Tensor input = scheduler->scale_model_input(in[1], in[0]) + scheduler->timestep(in[0]) * 1e-3;
      return scheduler->advance(in[2] * input, in[1], {in.begin() + 4, in.end()}, in[0], in[3]);
    };
    auto graph = wrap_in_hpu_graph(std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>(body));
    std::vector<at::Tensor> results;
    for (const c10::Device device : {c10::Device(c10::kCPU), kDevice}) {
      scheduler->set_timesteps(20, device);
      at::Tensor sample = noise.to(device) * scheduler->init_noise_sigma();
      std::vector<at::Tensor> state = scheduler->initial_state(sample);
      for (int64_t i = 0; i < scheduler->steps(); ++i) {
        std::vector<at::Tensor> in = {scheduler->step_table(i), sample, prediction.to(device), noise.to(device)};
        in.insert(in.end(), state.begin(), state.end());
        const std::vector<at::Tensor> out = device == kDevice ? graph(in) : body(in);
        sample = out[0];
        state.assign(out.begin() + 1, out.end());
      }
      results.push_back(sample.cpu());
    }
    EXPECT_EQ(graph.graphs(), 1U);
    const double scale = std::max(1.0, results[0].abs().max().item<double>());
    EXPECT_LT((results[0] - results[1]).abs().max().item<double>(), 1e-4 * scale) << scheduler->class_name();
  }
}

TEST(DiffusionScheduler, RolledStepIsOneGraph) {
  const CompileAtOnce tier;
  const auto scheduler = GaudiDDIMScheduler::from_config(config_of("DDIMScheduler"));
  scheduler->set_timesteps(50, kDevice);
  at::Tensor sample = at::ones({1, 4, 4, 4}).to(kDevice);
  const auto step = [&] {
    sample = scheduler->step(sample * 0.5, sample).prev_sample;
    mark_step();
  };
  step();
  step();
  synchronize();
  const auto before = metrics_snapshot();
  for (int i = 0; i < 100; ++i) {
    step();
  }
  synchronize();
  const auto after = metrics_snapshot();
  EXPECT_EQ(after.at("compilations"), before.at("compilations"));
  EXPECT_EQ(after.at("host_reads"), before.at("host_reads"));
}

}  // namespace
