// The schedules of DPM-Solver and UniPC.
#pragma once

#include <vector>

#include "csrc/diffusion/schedulers/noise_schedule.h"
#include "csrc/diffusion/schedulers/parts.h"

namespace torch_hpu::diffusion {

// Sigmas of the timesteps; or as many as there are timesteps, spaced as the config says, and their timesteps. unipc: in what is rounded, and in
// which sigma_min comes last, the two differ.
Schedule make_solver_schedule(const SchedulerConfig& config, const std::vector<float>& training_sigmas,
                              const std::vector<double>& timesteps, bool unipc);

}  // namespace torch_hpu::diffusion
