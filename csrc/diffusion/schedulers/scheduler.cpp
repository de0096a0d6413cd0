// What all schedulers have in common: files, schedules and their rows. Steps: steps.cpp.
#include <torch_hpu/ddim_scheduler.h>
#include <torch_hpu/diffusion_scheduler.h>

#include <ATen/Functions.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "csrc/diffusion/schedulers/noise_schedule.h"
#include "csrc/diffusion/schedulers/parts.h"

namespace torch_hpu {

using diffusion::Schedule;
using diffusion::SchedulerSetup;
using diffusion::Solver;

namespace {

namespace fs = std::filesystem;

constexpr const char* kFile = "scheduler_config.json";

std::shared_ptr<DiffusionScheduler> construct(SchedulerSetup setup) {
  switch (setup.solver) {
    case Solver::kDdim:
      return std::make_shared<GaudiDDIMScheduler>(std::move(setup));
    case Solver::kDdpm:
      return diffusion::make_ddpm(std::move(setup));
    case Solver::kPndm:
      return diffusion::make_pndm(std::move(setup));
    case Solver::kEuler:
    case Solver::kEulerAncestral:
      return diffusion::make_euler(std::move(setup));
    case Solver::kDpm:
      return diffusion::make_dpm(std::move(setup));
    case Solver::kUniPc:
      return diffusion::make_unipc(std::move(setup));
    case Solver::kLcm:
      return diffusion::make_lcm(std::move(setup));
  }
  TORCH_INTERNAL_ASSERT(false);
}

std::string read_scheduler_file(const std::string& folder, const std::string& subfolder) {
  const fs::path path = fs::path(folder) / subfolder / kFile;
  std::ifstream file(path);
  TORCH_CHECK(file, "[DiffusionScheduler] cannot read ", path.string(), ": expected a folder that save_pretrained() wrote");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

// ---- making and saving

DiffusionScheduler::DiffusionScheduler(SchedulerSetup setup) : setup_(std::make_unique<SchedulerSetup>(std::move(setup))) {
  const bool keeps_a_little = unsigned(setup_->solver) & (unsigned(Solver::kEuler) | unsigned(Solver::kEulerAncestral) |
                                                          unsigned(Solver::kDpm) | unsigned(Solver::kUniPc));
  alphas_cumprod_ = diffusion::make_alphas_cumprod(noun(), config(), keeps_a_little).contiguous();
  alphas_.assign(alphas_cumprod_.data_ptr<float>(), alphas_cumprod_.data_ptr<float>() + alphas_cumprod_.numel());
}

DiffusionScheduler::~DiffusionScheduler() = default;

std::shared_ptr<DiffusionScheduler> DiffusionScheduler::from_pretrained(const std::string& folder, const std::string& subfolder) {
  return from_config(read_scheduler_file(folder, subfolder));
}

std::shared_ptr<DiffusionScheduler> DiffusionScheduler::from_config(const std::string& json) {
  return construct(diffusion::read_setup("", json));
}

std::shared_ptr<DiffusionScheduler> DiffusionScheduler::make(const std::string& class_name, const std::string& config_json) {
  TORCH_CHECK_VALUE(!class_name.empty(), "[DiffusionScheduler] the class of scheduler is empty, expected one of ",
                    c10::Join(", ", class_names()));
  return construct(diffusion::read_setup(class_name, config_json));
}

std::shared_ptr<DiffusionScheduler> DiffusionScheduler::switched(const std::string& class_name) const {
  return make(class_name, setup_->given.dump());
}

std::shared_ptr<DiffusionScheduler> DiffusionScheduler::changed(const std::string& fields) const {
  diffusion::Json given = setup_->given;
  given.update(diffusion::Json::parse(fields));
  return make(class_name(), given.dump());
}

std::vector<std::string> DiffusionScheduler::class_names() {
  return diffusion::scheduler_classes();
}

void DiffusionScheduler::save_pretrained(const std::string& folder) const {
  fs::create_directories(folder);
  const fs::path path = fs::path(folder) / kFile;
  std::ofstream file(path);
  file << config_json() << std::flush;
  TORCH_CHECK(file, "[", noun(), "] cannot write ", path.string());
}

std::string DiffusionScheduler::config_json() const {
  return diffusion::write_setup(*setup_);
}

const SchedulerConfig& DiffusionScheduler::config() const {
  return setup_->config;
}

const std::string& DiffusionScheduler::class_name() const {
  return setup_->class_name;
}

const std::string& DiffusionScheduler::noun() const {
  return setup_->class_name;
}

// ---- schedules

void DiffusionScheduler::set_timesteps(int64_t steps, c10::Device device) {
  TORCH_CHECK_VALUE(steps >= 1 && steps <= config().num_train_timesteps, "[", noun(), "] the number of steps must be in [1, ",
                    config().num_train_timesteps, "], as the model was trained with that many: got ", steps);
  start(make_schedule(steps, nullptr), steps, device);
}

void DiffusionScheduler::set_timesteps(const std::vector<double>& timesteps, c10::Device device) {
  TORCH_CHECK_VALUE(takes_timesteps(), "[", noun(), "] takes a number of steps: got a list of ", timesteps.size(), " timesteps");
  TORCH_CHECK_VALUE(!timesteps.empty(), "[", noun(), "] the list of timesteps is empty");
  const auto limit = static_cast<double>(config().num_train_timesteps);
  for (size_t i = 0; i < timesteps.size(); ++i) {
    TORCH_CHECK_VALUE(timesteps[i] >= 0 && timesteps[i] < limit, "[", noun(), "] timesteps must be in [0, ", limit, "): got ",
                      timesteps[i]);
    TORCH_CHECK_VALUE(i == 0 || timesteps[i] < timesteps[i - 1], "[", noun(), "] timesteps must be in descending order: got ", timesteps[i],
                      " after ", timesteps[i - 1]);
  }
  const auto steps = static_cast<int64_t>(timesteps.size());
  start(make_schedule(steps, &timesteps), steps, device);
}

void DiffusionScheduler::start(Schedule schedule, int64_t steps, c10::Device device) {
  at::Tensor timesteps = at::tensor(schedule.timesteps, at::kDouble).to(schedule.whole_timesteps ? at::kLong : at::kFloat);
  timesteps_ = std::move(timesteps);
  sigmas_ = std::move(schedule.sigmas);
  inference_steps_ = steps;
  device_ = device;
  begin_ = 0;
  begin_given_ = false;
  next_step_.reset();
  state_.clear();
  update_rows(/*resets=*/true);
}

void DiffusionScheduler::set_begin_index(int64_t index) {
  check_timesteps_set();
  TORCH_CHECK_VALUE(index >= 0 && index < steps(), "[", noun(), "] the first step must be in [0, ", steps(), "): got ", index);
  const bool changes = index != begin_;
  begin_ = index;
  begin_given_ = true;
  next_step_.reset();
  state_.clear();
  if (changes) {
    update_rows(/*resets=*/true);
  } else {
    rows_changed(/*resets=*/true);
  }
}

void DiffusionScheduler::update_rows(bool resets) {
  std::vector<at::Tensor> rows;
  const int64_t first = state_size() > 0 ? begin_ : 0;  // solvers with a history begin there
  const at::Tensor times = timesteps_.to(at::kFloat);
  for (int64_t i = 0; i < steps(); ++i) {
    std::vector<float> values = {times[i].item<float>(), 1};
    if (i >= first) {
      values[diffusion::kDivisorColumn] = input_divisor(i);
      const std::vector<float> more = coefficients(i);
      values.insert(values.end(), more.begin(), more.end());
    }
    for (const float value : values) {
      if (!std::isfinite(value)) {
        timesteps_ = at::Tensor();
        rows_.clear();
        TORCH_CHECK_VALUE(false, "[", noun(), "] step ", i,
                          " of the schedule cannot be computed (a coefficient is not finite): fewer steps, another ",
                          "timestep_spacing or another final_sigmas_type can help");
      }
    }
    rows.push_back(at::tensor(values, at::kFloat));
  }
  for (int64_t i = 0; i < first; ++i) {
    rows[i] = at::constant_pad_nd(rows[i], {0, rows.back().numel() - rows[i].numel()});
  }
  rows_.clear();
  for (const at::Tensor& row : rows) {
    rows_.push_back(row.to(device_));
  }
  host_rows_ = std::move(rows);
  rows_changed(resets);
}

void DiffusionScheduler::check_timesteps_set() const {
  TORCH_CHECK_VALUE(timesteps_.defined(), "[", noun(), "] there are no timesteps: call set_timesteps() after making the scheduler");
}

int64_t DiffusionScheduler::begin_index() const {
  return begin_;
}

const at::Tensor& DiffusionScheduler::timesteps() const {
  check_timesteps_set();
  return timesteps_;
}

const std::vector<float>& DiffusionScheduler::sigmas() const {
  return sigmas_;
}

int64_t DiffusionScheduler::steps() const {
  return timesteps().numel();
}

double DiffusionScheduler::init_noise_sigma() const {
  const unsigned euler = unsigned(Solver::kEuler) | unsigned(Solver::kEulerAncestral);
  if (!(unsigned(setup_->solver) & euler)) {
    return 1;
  }
  check_timesteps_set();
  const float most = *std::max_element(sigmas_.begin(), sigmas_.end());
  return config().timestep_spacing == "leading" ? std::sqrt(most * most + 1) : most;
}

const at::Tensor& DiffusionScheduler::step_table(int64_t i) const {
  check_timesteps_set();
  TORCH_CHECK_INDEX(i >= 0 && i < steps(), "[", noun(), "] the step must be in [0, ", steps(), "): got ", i);
  return rows_[i];
}

const std::vector<at::Tensor>& DiffusionScheduler::rows() const {
  check_timesteps_set();
  return rows_;
}

const std::vector<at::Tensor>& DiffusionScheduler::host_rows() const {
  return host_rows_;
}

int64_t DiffusionScheduler::row_size() const {
  return rows().front().numel();
}

bool DiffusionScheduler::takes_timesteps() const {
  return false;
}

int64_t DiffusionScheduler::state_size() const {
  return 0;
}

float DiffusionScheduler::input_divisor(int64_t) const {
  return 1;
}

void DiffusionScheduler::rows_changed(bool) {}

bool DiffusionScheduler::has_timesteps() const {
  return timesteps_.defined();
}

float DiffusionScheduler::alpha_cumprod(int64_t t) const {
  const auto count = static_cast<int64_t>(alphas_.size());
  TORCH_CHECK_VALUE(t >= 0 && t < count, "[", noun(), "] the schedule has a timestep that is not in [0, ", count, "): ", t,
                    "; another number of steps, steps_offset or timestep_spacing can help");
  return alphas_[t];
}

int64_t DiffusionScheduler::timestep_at(int64_t i) const {
  return timesteps_[i].item<int64_t>();
}

int64_t DiffusionScheduler::inference_steps() const {
  return inference_steps_;
}

}  // namespace torch_hpu
