// GaudiDDIMScheduler: DDIM whose tables stay on the device and are rolled by one each step, so that every step is the same graph.
#pragma once

#include "torch_hpu/diffusion_scheduler.h"

namespace torch_hpu {

class TORCH_HPU_API GaudiDDIMScheduler final : public DiffusionScheduler {
 public:
  explicit GaudiDDIMScheduler(diffusion::SchedulerSetup setup);

  // Reads the config of any class of scheduler.
  static std::shared_ptr<GaudiDDIMScheduler> from_pretrained(const std::string& folder, const std::string& subfolder = "scheduler");
  static std::shared_ptr<GaudiDDIMScheduler> from_config(const std::string& json = "{}");

  // The step whose turn it is: the first row of the table, which is then rolled. After steps() calls the table is as it was before the first,
  // and the next image can begin. use_clipped_model_output: the noise is derived again from the clipped sample.
  SchedulerStep step(const at::Tensor& model_output, const at::Tensor& sample, double eta = 0, bool use_clipped_model_output = false,
                     const std::optional<at::Generator>& generator = std::nullopt, const at::Tensor& variance_noise = {});
  using DiffusionScheduler::step;
  // [steps - begin_index(), row_size()] on the device; the next step's row is the first.
  const at::Tensor& table() const;
  void roll_params();
  // Begins again with the first step: after a run that was left before its end.
  void reset_timestep_dependent_params();

  bool needs_noise() const override;  // eta > 0
  bool draws_noise(int64_t i) const override;
  bool accepts_eta() const override;
  void set_eta(double eta) override;
  double eta() const;
  void set_use_clipped_model_output(bool enabled);  // for advance(), too

  // [steps] each, of the steps in order: the products of alphas before and after each step, and its variance for eta = 1.
  std::vector<float> alpha_prod_t_list() const, alpha_prod_t_prev_list() const, variance_list() const;

 private:
  diffusion::Schedule make_schedule(int64_t steps, const std::vector<double>* given) const override;
  std::vector<float> coefficients(int64_t i) const override;
  diffusion::Advanced compute(const at::Tensor& prediction, const at::Tensor& sample, const std::vector<at::Tensor>& state,
                              const at::Tensor& row, const at::Tensor& noise) const override;
  void rows_changed(bool resets) override;
  float previous_alpha(int64_t i) const;
  float variance(int64_t i) const;

  double eta_ = 0;
  bool use_clipped_model_output_ = false;
  int64_t rolled_ = 0;
  mutable at::Tensor table_;  // made when it is asked for: advance() works on rows
};

}  // namespace torch_hpu
