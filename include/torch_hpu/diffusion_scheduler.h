// Diffusion schedulers in diffusers' format: scheduler_config.json, the same class names, timesteps and samples.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

// The fields of all classes, under diffusers' names. A class reads those that it knows; defaults that depend on the class are in its row of
// csrc/diffusion/schedulers/config.cpp.
struct TORCH_HPU_API SchedulerConfig {
  int64_t num_train_timesteps = 1000;
  double beta_start = 0.0001, beta_end = 0.02;
  std::string beta_schedule = "linear";  // or scaled_linear, squaredcos_cap_v2; DDPM: laplace and sigmoid, too
  std::vector<double> trained_betas;     // instead of a schedule, if there are any
  bool rescale_betas_zero_snr = false;
  std::string prediction_type = "epsilon";     // or sample, v_prediction
  std::string timestep_spacing = "leading";    // or trailing, linspace
  int64_t steps_offset = 0;                    // of leading timesteps
  bool clip_sample = true;                     // DDIM, DDPM, LCM: the predicted sample, to +-clip_sample_range
  double clip_sample_range = 1;                //
  bool thresholding = false;                   // dynamic, instead of clipping
  double dynamic_thresholding_ratio = 0.995;   // a quantile of the absolute values
  double sample_max_value = 1;                 //
  bool set_alpha_to_one = true;                // DDIM, PNDM, LCM: at the end of the last step; otherwise that of timestep 0
  bool skip_prk_steps = false;                 // PNDM: no Runge-Kutta steps before the multistep ones
  std::string variance_type;                   // DDPM: fixed_small, fixed_small_log, fixed_large
  std::string interpolation_type = "linear";   // Euler: of sigmas; or log_linear
  std::string timestep_type = "discrete";      // Euler: or continuous, with v_prediction
  bool use_karras_sigmas = false;              // Euler, DPM-Solver, UniPC: at most one of these
  bool use_exponential_sigmas = false;         //
  bool use_lu_lambdas = false;                 // DPM-Solver
  std::optional<double> sigma_min, sigma_max;  // Euler, UniPC: of such sigmas
  std::string final_sigmas_type = "zero";      // Euler, DPM-Solver, UniPC: or sigma_min
  int64_t solver_order = 2;                    // DPM-Solver: 1 to 3; UniPC: 1 to 4
  std::string algorithm_type = "dpmsolver++";  // DPM-Solver: or dpmsolver, sde-dpmsolver, sde-dpmsolver++
  std::string solver_type;                     // DPM-Solver: midpoint, heun; UniPC: bh1, bh2
  bool lower_order_final = true;               // DPM-Solver, UniPC
  bool euler_at_final = false;                 // DPM-Solver
  double lambda_min_clipped = -std::numeric_limits<double>::infinity();  // DPM-Solver
  bool predict_x0 = true;                                                // UniPC
  std::vector<int64_t> disable_corrector;                                // UniPC: indices of steps
  int64_t original_inference_steps = 50;                                 // LCM
  double timestep_scaling = 10;                                          // LCM
};

struct TORCH_HPU_API SchedulerStep {
  at::Tensor prev_sample;  // one step less noisy
  // What the model takes the sample without noise for, after clipping; undefined if the class has no such thing.
  at::Tensor pred_original_sample;
};

namespace diffusion {
struct SchedulerSetup;
struct Schedule;
struct Advanced;
}  // namespace diffusion

// A scheduler turns a model's predictions into less and less noisy samples. Each step is a pure function, advance(), of tensors on the device:
// what differs from step to step (timesteps, noise levels, orders of solvers, corrections) is in a row of numbers. So one captured graph, or
// one compiled one, does every step of every image; only the row that it reads changes. step() is the same as diffusers' eager call. Not
// thread-safe. Half-precision samples are computed with in float.
class TORCH_HPU_API DiffusionScheduler {
 public:
  virtual ~DiffusionScheduler();
  DiffusionScheduler(const DiffusionScheduler&) = delete;
  DiffusionScheduler& operator=(const DiffusionScheduler&) = delete;

  // Reads folder/subfolder/scheduler_config.json (no subfolder: "").
  static std::shared_ptr<DiffusionScheduler> from_pretrained(const std::string& folder, const std::string& subfolder = "scheduler");
  // The class is the config's _class_name; "DDIMScheduler" is GaudiDDIMScheduler, too. Throws with the name of an unknown class, of an unknown
  // field and of one with a value that is not supported. Fields of other classes are kept and not used.
  static std::shared_ptr<DiffusionScheduler> from_config(const std::string& json);
  // The same with another class, whatever the config's is.
  static std::shared_ptr<DiffusionScheduler> make(const std::string& class_name, const std::string& config_json);
  // Another class with what this one was given: its defaults are not handed on.
  std::shared_ptr<DiffusionScheduler> switched(const std::string& class_name) const;
  // The same with some fields changed: a JSON object.
  std::shared_ptr<DiffusionScheduler> changed(const std::string& fields) const;
  static std::vector<std::string> class_names();

  void save_pretrained(const std::string& folder) const;  // scheduler_config.json, for diffusers, too. Makes the folder if need be
  std::string config_json() const;                        // what save_pretrained() writes: all fields
  const SchedulerConfig& config() const;
  const std::string& class_name() const;  // the name it was made with

  // The steps of one image, from the noisiest. Resets everything that is remembered of the image before. The rows are put on `device`. Throws
  // when the schedule has steps that cannot be computed.
  void set_timesteps(int64_t steps, c10::Device device = c10::kCPU);
  // The same for timesteps of one's own, in descending order: DDPM, Euler, DPM-Solver and LCM, as in diffusers.
  void set_timesteps(const std::vector<double>& timesteps, c10::Device device = c10::kCPU);
  // The first step that is done is this one (image-to-image). The rows are computed anew: solvers of higher order start there.
  void set_begin_index(int64_t index);
  int64_t begin_index() const;
  const at::Tensor& timesteps() const;       // [steps], on the CPU; int64, of the Euler classes float32
  const std::vector<float>& sigmas() const;  // at least [steps + 1]; empty for classes that do not use sigmas
  int64_t steps() const;                     // the number of timesteps, which can differ from what was asked for (PNDM)
  double init_noise_sigma() const;           // the standard deviation of the noise to begin with

  // Row i, [row_size()] float32 on the device: everything that advance() needs to know of step i, which must not be before begin_index().
  const at::Tensor& step_table(int64_t i) const;
  int64_t row_size() const;
  // What the functions of a row take from it, all pure: they read nothing but their arguments and the config.
  at::Tensor timestep(const at::Tensor& row) const;  // [] float32, for the model
  at::Tensor scale_model_input(const at::Tensor& latents, const at::Tensor& row) const;
  // {next latents, new state...}. prediction: of the model, [N, C, H, W] like latents; state: initial_state(), then what the last call
  // returned; noise: standard normal, like latents; where needs_noise() is false it is not used.
  std::vector<at::Tensor> advance(const at::Tensor& prediction, const at::Tensor& latents, const std::vector<at::Tensor>& state,
                                  const at::Tensor& row, const at::Tensor& noise = {}) const;
  std::vector<at::Tensor> initial_state(const at::Tensor& latents) const;  // zeros
  virtual bool needs_noise() const;                                        // whether some step adds noise
  virtual bool draws_noise(int64_t i) const;                               // whether step i does; for others any finite noise will do

  // As diffusers' step(): the first call after set_timesteps() finds its step by the timestep (or begins at begin_index()), later calls must
  // follow in order; classes without a history (DDIM, DDPM) find each one. Noise is drawn by a CPU generator (default: the default one) and
  // moved, so it is the same on all devices; or it is given. Throws before set_timesteps().
  SchedulerStep step(const at::Tensor& model_output, double timestep, const at::Tensor& sample,
                     const std::optional<at::Generator>& generator = std::nullopt, const at::Tensor& variance_noise = {});
  // scale_model_input() for the step that step() does next.
  at::Tensor scale_model_input(const at::Tensor& sample, double timestep);

  // The samples with the noise that step `index` starts from.
  at::Tensor add_noise(const at::Tensor& original, const at::Tensor& noise, int64_t index) const;

  // For training: samples [N, ...] with noise, and the target of v_prediction, at timesteps [N] int64 in [0, num_train_timesteps). Pure; the
  // table of them is made with the first call for a device.
  at::Tensor add_training_noise(const at::Tensor& original, const at::Tensor& noise, const at::Tensor& timesteps) const;
  at::Tensor velocity(const at::Tensor& sample, const at::Tensor& noise, const at::Tensor& timesteps) const;
  const at::Tensor& alphas_cumprod() const;  // [num_train_timesteps] float32 on the CPU

  // For DDIM, which can add noise in [0, 1] times its natural standard deviation; otherwise it has no effect. Changes the rows, not the steps.
  virtual bool accepts_eta() const;
  virtual void set_eta(double eta);

 protected:
  explicit DiffusionScheduler(diffusion::SchedulerSetup setup);

  // All timesteps and sigmas; given: null, or timesteps of the user's, of which there are `steps`.
  virtual diffusion::Schedule make_schedule(int64_t steps, const std::vector<double>* given) const = 0;
  virtual bool takes_timesteps() const;
  // The numbers of step i for compute(), which are in the row behind timestep and divisor of the model's input.
  virtual std::vector<float> coefficients(int64_t i) const = 0;
  virtual diffusion::Advanced compute(const at::Tensor& prediction, const at::Tensor& sample, const std::vector<at::Tensor>& state,
                                      const at::Tensor& row, const at::Tensor& noise) const = 0;
  virtual int64_t state_size() const;
  virtual float input_divisor(int64_t i) const;
  virtual std::pair<float, float> noise_level(int64_t index) const;  // what add_noise() multiplies samples and noise by
  virtual void rows_changed(bool resets);                            // there are new ones; resets: the next step is the first

  void update_rows(bool resets = false);
  bool has_timesteps() const;
  float alpha_cumprod(int64_t t) const;  // throws when t is not in [0, num_train_timesteps)
  int64_t timestep_at(int64_t i) const;
  int64_t inference_steps() const;  // what set_timesteps() was asked for
  const std::string& noun() const;  // for errors
  SchedulerStep apply(const at::Tensor& model_output, const at::Tensor& sample, const at::Tensor& row, int64_t index,
                      const std::optional<at::Generator>& generator, const at::Tensor& variance_noise);
  const std::vector<at::Tensor>& rows() const;       // on the device
  const std::vector<at::Tensor>& host_rows() const;  // the same on the CPU
  void check_timesteps_set() const;

 private:
  void start(diffusion::Schedule schedule, int64_t steps, c10::Device device);
  int64_t find_step(double timestep);
  diffusion::Advanced checked_compute(const at::Tensor& prediction, const at::Tensor& latents, const std::vector<at::Tensor>& state,
                                      const at::Tensor& row, const at::Tensor& noise) const;
  const at::Tensor& alphas_on(c10::Device device) const;

  std::unique_ptr<diffusion::SchedulerSetup> setup_;
  at::Tensor timesteps_;
  at::Tensor alphas_cumprod_;
  std::vector<float> alphas_;  // the same numbers
  std::vector<float> sigmas_;
  mutable at::Tensor device_alphas_;
  c10::Device device_ = c10::kCPU;
  std::vector<at::Tensor> rows_, host_rows_;
  int64_t inference_steps_ = 0, begin_ = 0;
  bool begin_given_ = false;
  std::optional<int64_t> next_step_;  // of step()
  std::vector<at::Tensor> state_;     // of step()
};

// Standard normal noise from CPU generators, as diffusers draws it: none (the default one), one for all, or one for each of the N samples.
TORCH_HPU_API at::Tensor draw_noise(at::IntArrayRef sizes, const std::vector<at::Generator>& generators, at::ScalarType dtype,
                                    c10::Device device);

}  // namespace torch_hpu
