// Note [Checkpoints]
// A checkpoint is written into `checkpoint-N.partial`, every file is brought onto the disk, and the folder gets its name last. So a folder named
// checkpoint-N is whole, whenever the process or the machine stops; what is left behind of a partial one is removed by the next save.
// `training_state.safetensors` holds the generators of host and device, and the sum of the losses that are not logged yet: a run that goes
// on from it does bit by bit what the one that was stopped would have done.
#include <fcntl.h>
#include <torch_hpu/random.h>
#include <torch_hpu/safetensors.h>
#include <torch_hpu/state_dict.h>
#include <torch_hpu/trainer.h>
#include <unistd.h>

#include <ATen/CPUGeneratorImpl.h>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "csrc/train/files.h"
#include "csrc/train/json_text.h"
#include "csrc/train/trainer_impl.h"

namespace torch_hpu {
namespace {

namespace fs = std::filesystem;
constexpr const char* kPrefix = "checkpoint-";
constexpr const char* kPartial = ".partial";

std::string in(const std::string& folder, const char* file) {
  return (fs::path(folder) / file).string();
}

void sync_files(const std::string& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const int file = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    const bool synced = file >= 0 && ::fsync(file) == 0;
    const int error = errno;
    if (file >= 0) {
      ::close(file);
    }
    TORCH_CHECK(synced, "[GaudiTrainer] cannot write ", entry.path().string(), ": ", std::strerror(error));
  }
  train::sync_folder(folder);
}

at::Generator generator_of(bool hpu) {
  return hpu ? default_generator() : at::detail::getDefaultCPUGenerator();
}

at::Tensor generator_state(bool hpu) {
  at::Generator generator = generator_of(hpu);
  const std::lock_guard<std::mutex> lock(generator.mutex());
  return at::Tensor(generator.get_state());
}

void set_generator_state(bool hpu, const at::Tensor& state, const std::string& folder) {
  at::Generator generator = generator_of(hpu);
  const std::lock_guard<std::mutex> lock(generator.mutex());
  try {
    generator.set_state(state);
  } catch (const c10::Error& e) {
    TORCH_CHECK(false, "[GaudiTrainer] ", folder, "/training_state.safetensors: rng_state.", hpu ? "hpu" : "cpu",
                " is no state of its generator: ", e.what_without_backtrace());
  }
}

// Under its own name a checkpoint is whole until it is gone.
void remove_checkpoint(const fs::path& folder) {
  const fs::path partial = folder.string() + kPartial;
  fs::remove_all(partial);
  fs::rename(folder, partial);
  fs::remove_all(partial);
}

// The name of a rank's part of the state; rank 0's is that of a run on one process.
std::string of_rank(const std::string& name, int rank) {
  return rank == 0 ? name : name + "." + std::to_string(rank);
}

}  // namespace

std::vector<int64_t> train::checkpoint_steps(const std::string& folder) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    int64_t step = 0;
    const char* end = name.data() + name.size();
    if (name.rfind(kPrefix, 0) == 0 && std::from_chars(name.data() + std::string(kPrefix).size(), end, step).ptr == end &&
        entry.is_directory()) {
      steps.push_back(step);
    }
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::string GaudiTrainer::last_checkpoint(const std::string& folder) {
  const std::vector<int64_t> steps = train::checkpoint_steps(folder);
  return steps.empty() ? "" : (fs::path(folder) / (kPrefix + std::to_string(steps.back()))).string();
}

void GaudiTrainer::Impl::save_model(const std::string& folder) const {
  if (!writes()) {
    return;
  }
  train::make_folder(folder, "GaudiTrainer");
  save_safetensors(in(folder, "model.safetensors"), state_dict(*model.module));
  if (model.save_config) {
    model.save_config(folder);
  }
  args.save(in(folder, "training_args.json"));
  gaudi_config.save_pretrained(folder);
}

void GaudiTrainer::save_model(const std::string& folder) {
  impl_->save_model(folder.empty() ? impl_->args.output_dir : folder);
}

void GaudiTrainer::Impl::save_checkpoint() {
  const std::string folder = (fs::path(args.output_dir) / (kPrefix + std::to_string(state.global_step))).string();
  if (fs::exists(folder)) {  // of this step already
    if (state.best_global_step == state.global_step) {
      state.best_model_checkpoint = folder;
    }
    return;
  }
  // Every rank's generators go into rank 0's file.
  std::map<std::string, at::Tensor> generators{{"rng_state.cpu", generator_state(false)}};
  if (on_hpu()) {
    generators["rng_state.hpu"] = generator_state(true);
  }
  if (distributed) {
    std::map<std::string, at::Tensor> all;
    for (const auto& [name, own] : generators) {
      const at::Tensor states = all_gather(own);
      for (int r = 0; r < world_size(); ++r) {
        all[of_rank(name, r)] = states[r].clone();
      }
    }
    generators = std::move(all);
  }
  if (writes()) {
    write_checkpoint(folder, generators);
  } else if (state.best_global_step == state.global_step) {
    state.best_model_checkpoint = folder;
  }
  if (distributed) {
    barrier();  // nobody goes on, and perhaps loads the best model, before the files are there
  }
  call([&](TrainerCallback& c) { c.on_save(args, state, control, folder); });
}

void GaudiTrainer::Impl::write_checkpoint(const std::string& folder, const std::map<std::string, at::Tensor>& generators) {
  const std::string partial = folder + kPartial;
  fs::remove_all(partial);
  save_model(partial);
  save_safetensors(in(partial, "optimizer.safetensors"), optimizer->state());
  train::write_atomically(in(partial, "scheduler.json"), scheduler->state() + "\n", "GaudiTrainer");
  std::map<std::string, at::Tensor> rest = generators;
  rest["loss_sum"] = loss_sum;
  rest["logged_step"] = at::scalar_tensor(logged_step, at::kLong);
  save_safetensors(in(partial, "training_state.safetensors"), rest);
  const DataPosition position = loader->position();
  train::write_atomically(in(partial, "sampler.json"),
                          train::dump_json({{"epoch", position.epoch}, {"batch", position.batch}, {"order", position.order}}) + "\n",
                          "GaudiTrainer");
  if (state.best_global_step == state.global_step) {
    state.best_model_checkpoint = folder;
  }
  state.stateful_callbacks.clear();
  call([&](TrainerCallback& c) {
    if (!c.name().empty()) {
      state.stateful_callbacks[c.name()] = c.state();
    }
  });
  state.save_to_json(in(partial, "trainer_state.json"));
  sync_files(partial);
  std::error_code error;
  fs::rename(partial, folder, error);
  TORCH_CHECK(!error, "[GaudiTrainer] cannot rename ", partial, " to ", folder, ": ", error.message());
  train::sync_folder(args.output_dir);
  remove_old_checkpoints();
}

// Keeps the newest save_total_limit, the best one among them.
void GaudiTrainer::Impl::remove_old_checkpoints() const {
  for (const auto& entry : fs::directory_iterator(args.output_dir)) {
    if (entry.path().filename().string().rfind(kPrefix, 0) == 0 && entry.path().extension() == kPartial) {
      fs::remove_all(entry.path());  // of a run that was killed
    }
  }
  if (!args.save_total_limit) {
    return;
  }
  std::vector<std::string> folders;
  for (int64_t step : train::checkpoint_steps(args.output_dir)) {
    const std::string folder = (fs::path(args.output_dir) / (kPrefix + std::to_string(step))).string();
    if (folder != state.best_model_checkpoint) {
      folders.push_back(folder);
    }
  }
  auto keep = static_cast<size_t>(*args.save_total_limit);
  if (state.best_model_checkpoint && fs::exists(*state.best_model_checkpoint)) {
    // The best one takes a place, but the newest one always stays: a run must be able to go on.
    keep = std::max<size_t>(1, keep - 1);
    if (*args.save_total_limit == 1 && state.best_global_step == state.global_step) {
      keep = 0;
    }
  }
  for (size_t i = 0; i + keep < folders.size(); ++i) {
    remove_checkpoint(folders[i]);
  }
}

void GaudiTrainer::Impl::load_model(const std::string& folder) {
  load_state_dict(*model.module, load_safetensors(in(folder, "model.safetensors")));
}

void GaudiTrainer::Impl::load_checkpoint(const std::string& folder) {
  TORCH_CHECK(fs::is_directory(folder), "[GaudiTrainer] resume_from_checkpoint: ", folder, " is no folder");
  // Everything is read before anything is changed.
  const auto weights = load_safetensors(in(folder, "model.safetensors"));
  const auto moments = load_safetensors(in(folder, "optimizer.safetensors"));
  const auto rest = load_safetensors(in(folder, "training_state.safetensors"));
  const std::string schedule = train::read_file(in(folder, "scheduler.json"), "GaudiTrainer");
  const TrainerState saved = TrainerState::load_from_json(in(folder, "trainer_state.json"));
  const std::string what = "[GaudiTrainer] " + in(folder, "sampler.json");
  const auto position = train::parse_json(train::read_file(in(folder, "sampler.json"), "GaudiTrainer"), what);
  TORCH_CHECK(position.is_object(), what, " is no JSON object");
  for (const char* name : {"rng_state.cpu", "loss_sum", "logged_step"}) {
    TORCH_CHECK(rest.count(name) == 1, "[GaudiTrainer] ", folder, "/training_state.safetensors has no '", name, "'");
    TORCH_CHECK(name == std::string("rng_state.cpu") || rest.at(name).numel() == 1, "[GaudiTrainer] ", folder,
                "/training_state.safetensors: ", name, ": got shape ", rest.at(name).sizes(), ", expected one number");
  }
  load_state_dict(*model.module, weights);
  optimizer->load_state(moments);
  scheduler->load_state(schedule);
  if (!args.ignore_data_skip) {
    loader->restore({train::json_field<int64_t>(position, "epoch", what), train::json_field<int64_t>(position, "batch", what),
                     train::json_field<std::string>(position, "order", what)});
  }
  loss_sum.copy_(rest.at("loss_sum").reshape({}));
  logged_step = rest.at("logged_step").item<int64_t>();
  for (const bool hpu : {false, true}) {
    const std::string name = hpu ? "rng_state.hpu" : "rng_state.cpu";
    const auto own = rest.find(of_rank(name, rank()));
    const auto found = own != rest.end() ? own : rest.find(name);  // more ranks than when it was saved
    if (found != rest.end() && (!hpu || on_hpu())) {
      set_generator_state(hpu, found->second, folder);
    }
  }
  const int64_t max_steps = state.max_steps, epochs = state.num_train_epochs;
  state = saved;
  state.max_steps = max_steps;
  state.num_train_epochs = epochs;
  call([&](TrainerCallback& c) {
    if (const auto it = state.stateful_callbacks.find(c.name()); it != state.stateful_callbacks.end()) {
      c.load_state(it->second);
    }
  });
}

std::string GaudiTrainer::Impl::resume() {
  const std::string checkpoint = find_and_load();
  if (distributed) {
    const at::Tensor steps = all_gather(at::scalar_tensor(state.global_step, at::kLong));
    for (int r = 0; r < world_size(); ++r) {
      TORCH_CHECK(steps[r].item<int64_t>() == state.global_step, "[GaudiTrainer] rank ", rank(), " goes on from step ", state.global_step,
                  " and rank ", r, " from step ", steps[r].item<int64_t>(), ": all have to see the same checkpoints in ", args.output_dir);
    }
  }
  return checkpoint;
}

std::string GaudiTrainer::Impl::find_and_load() {
  if (!args.resume_from_checkpoint || *args.resume_from_checkpoint == "false" || *args.resume_from_checkpoint == "False") {
    TORCH_CHECK(args.overwrite_output_dir || train::checkpoint_steps(args.output_dir).empty(), "[GaudiTrainer] output_dir ",
                args.output_dir,
                " holds checkpoints: set resume_from_checkpoint=true to go on from the newest, or overwrite_output_dir=true to start anew");
    if (distributed) {
      barrier();  // all have looked
    }
    for (int64_t step : writes() ? train::checkpoint_steps(args.output_dir) : std::vector<int64_t>()) {
      remove_checkpoint(fs::path(args.output_dir) / (kPrefix + std::to_string(step)));
    }
    if (distributed) {
      barrier();
    }
    return "";
  }
  const std::string& wanted = *args.resume_from_checkpoint;
  if (wanted != "true" && wanted != "True") {
    load_checkpoint(wanted);
    return wanted;
  }
  std::vector<int64_t> steps = train::checkpoint_steps(args.output_dir);
  std::string reason;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const std::string folder = (fs::path(args.output_dir) / (kPrefix + std::to_string(*step))).string();
    try {
      load_checkpoint(folder);
      return folder;
    } catch (const std::exception& e) {
      const auto* error = dynamic_cast<const c10::Error*>(&e);
      reason = error != nullptr ? error->what_without_backtrace() : e.what();
      std::fprintf(stderr, "warning: checkpoint %s cannot be used and is skipped: %s\n", folder.c_str(), reason.c_str());
    }
  }
  TORCH_CHECK(steps.empty(), "[GaudiTrainer] resume_from_checkpoint: no checkpoint in ", args.output_dir,
              " can be used; the last reason: ", reason);
  std::fprintf(stderr, "There is no checkpoint in %s yet: starting anew\n", args.output_dir.c_str());
  return "";
}

}  // namespace torch_hpu
