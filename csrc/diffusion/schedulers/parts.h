// What the schedulers are made of, and hand to each other.
#pragma once

#include <torch_hpu/diffusion_scheduler.h>

#include <memory>
#include <string>
#include <vector>

#include "csrc/diffusion/models/config_fields.h"

namespace torch_hpu::diffusion {

// One class of scheduler. A bit each: rows of the table of fields say which classes have them.
enum class Solver : unsigned { kDdim = 1, kDdpm = 2, kPndm = 4, kEuler = 8, kEulerAncestral = 16, kDpm = 32, kUniPc = 64, kLcm = 128 };

struct SchedulerSetup {
  std::string class_name;
  Solver solver;
  SchedulerConfig config;
  Json given;  // the fields of the config that were given, those of other classes included
};

struct Schedule {
  std::vector<double> timesteps;
  std::vector<float> sigmas;    // at least one more than timesteps, or none
  bool whole_timesteps = true;  // int64, not float32
};

struct Advanced {
  at::Tensor sample;
  at::Tensor original;  // or undefined
  std::vector<at::Tensor> state;
};

// The columns that all rows begin with.
inline constexpr int64_t kTimestepColumn = 0, kDivisorColumn = 1, kFirstColumn = 2;

// A 0-d tensor.
inline at::Tensor column(const at::Tensor& row, int64_t i) {
  return row.select(0, i);
}

// JSON as Python writes it, with Infinity, and the names and types of all fields.
SchedulerSetup read_setup(const std::string& class_name, const std::string& json);  // class_name empty: the config's
std::string write_setup(const SchedulerSetup& setup);
std::vector<std::string> scheduler_classes();

// Throws unless a field has one of these values.
void expect_value(const SchedulerSetup& setup, const char* field, const std::string& got, const std::vector<std::string>& known);

std::shared_ptr<DiffusionScheduler> make_ddpm(SchedulerSetup setup);
std::shared_ptr<DiffusionScheduler> make_pndm(SchedulerSetup setup);
std::shared_ptr<DiffusionScheduler> make_euler(SchedulerSetup setup);  // both
std::shared_ptr<DiffusionScheduler> make_dpm(SchedulerSetup setup);
std::shared_ptr<DiffusionScheduler> make_unipc(SchedulerSetup setup);
std::shared_ptr<DiffusionScheduler> make_lcm(SchedulerSetup setup);

}  // namespace torch_hpu::diffusion
