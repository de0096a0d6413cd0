// Which class has which fields, of which type; reading and writing scheduler_config.json.
#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <variant>

#include "csrc/diffusion/schedulers/parts.h"

namespace torch_hpu::diffusion {
namespace {

using C = SchedulerConfig;

struct ClassRow {
  const char* name;
  Solver solver;
};

constexpr ClassRow kClasses[] = {{"GaudiDDIMScheduler", Solver::kDdim},
                                 {"DDIMScheduler", Solver::kDdim},
                                 {"DDPMScheduler", Solver::kDdpm},
                                 {"PNDMScheduler", Solver::kPndm},
                                 {"EulerDiscreteScheduler", Solver::kEuler},
                                 {"EulerAncestralDiscreteScheduler", Solver::kEulerAncestral},
                                 {"DPMSolverMultistepScheduler", Solver::kDpm},
                                 {"UniPCMultistepScheduler", Solver::kUniPc},
                                 {"LCMScheduler", Solver::kLcm}};

constexpr unsigned kDdim = unsigned(Solver::kDdim), kDdpm = unsigned(Solver::kDdpm), kPndm = unsigned(Solver::kPndm),
                   kEuler = unsigned(Solver::kEuler), kAncestral = unsigned(Solver::kEulerAncestral), kDpm = unsigned(Solver::kDpm),
                   kUniPc = unsigned(Solver::kUniPc), kLcm = unsigned(Solver::kLcm), kEvery = 255;

struct Range {
  int64_t low, high;
};

using Member = std::variant<bool C::*, double C::*, std::string C::*, int64_t C::*, std::optional<double> C::*, std::vector<double> C::*,
                            std::vector<int64_t> C::*>;

struct FieldRow {
  const char* name;
  Member member;
  unsigned classes;
  Range range = {0, int64_t(1) << 20};  // of whole numbers
};

const FieldRow kFields[] = {
    {"num_train_timesteps", &C::num_train_timesteps, kEvery, {1, 100000}},
    {"beta_start", &C::beta_start, kEvery},
    {"beta_end", &C::beta_end, kEvery},
    {"beta_schedule", &C::beta_schedule, kEvery},
    {"trained_betas", &C::trained_betas, kEvery},
    {"rescale_betas_zero_snr", &C::rescale_betas_zero_snr, kEvery & ~kPndm},
    {"prediction_type", &C::prediction_type, kEvery},
    {"timestep_spacing", &C::timestep_spacing, kEvery},
    {"steps_offset", &C::steps_offset, kEvery},
    {"clip_sample", &C::clip_sample, kDdim | kDdpm | kLcm},
    {"clip_sample_range", &C::clip_sample_range, kDdim | kDdpm | kLcm},
    {"thresholding", &C::thresholding, kDdim | kDdpm | kLcm | kDpm | kUniPc},
    {"dynamic_thresholding_ratio", &C::dynamic_thresholding_ratio, kDdim | kDdpm | kLcm | kDpm | kUniPc},
    {"sample_max_value", &C::sample_max_value, kDdim | kDdpm | kLcm | kDpm | kUniPc},
    {"set_alpha_to_one", &C::set_alpha_to_one, kDdim | kPndm | kLcm},
    {"skip_prk_steps", &C::skip_prk_steps, kPndm},
    {"variance_type", &C::variance_type, kDdpm | kDpm},
    {"interpolation_type", &C::interpolation_type, kEuler},
    {"timestep_type", &C::timestep_type, kEuler},
    {"use_karras_sigmas", &C::use_karras_sigmas, kEuler | kDpm | kUniPc},
    {"use_exponential_sigmas", &C::use_exponential_sigmas, kEuler | kDpm | kUniPc},
    {"use_lu_lambdas", &C::use_lu_lambdas, kDpm},
    {"sigma_min", &C::sigma_min, kEuler | kUniPc},
    {"sigma_max", &C::sigma_max, kEuler | kUniPc},
    {"final_sigmas_type", &C::final_sigmas_type, kEuler | kDpm | kUniPc},
    {"solver_order", &C::solver_order, kDpm | kUniPc, {1, 4}},
    {"algorithm_type", &C::algorithm_type, kDpm},
    {"solver_type", &C::solver_type, kDpm | kUniPc},
    {"lower_order_final", &C::lower_order_final, kDpm | kUniPc},
    {"euler_at_final", &C::euler_at_final, kDpm},
    {"lambda_min_clipped", &C::lambda_min_clipped, kDpm},
    {"predict_x0", &C::predict_x0, kUniPc},
    {"disable_corrector", &C::disable_corrector, kUniPc},
    {"original_inference_steps", &C::original_inference_steps, kLcm, {1, 100000}},
    {"timestep_scaling", &C::timestep_scaling, kLcm},
};

// Switches of what is not there, and the classes that would obey them.
struct Refused {
  const char* name;
  const char* neutral;
  unsigned classes;
};
constexpr Refused kRefused[] = {{"use_beta_sigmas", "false", kEuler | kDpm | kUniPc},
                                {"use_flow_sigmas", "false", kDpm | kUniPc},
                                {"use_dynamic_shifting", "false", kDpm | kUniPc},
                                {"solver_p", "null", kUniPc},
                                {"shift_terminal", "null", kUniPc}};

constexpr const char* kMeaningless[] = {"flow_shift", "time_shift_type", "tensor_format", "timestep_values", "noise_sampler_seed"};

void set_class_defaults(Solver solver, C& config) {
  switch (solver) {
    case Solver::kDdim:
      break;
    case Solver::kDdpm:
      config.variance_type = "fixed_small";
      break;
    case Solver::kPndm:
      config.set_alpha_to_one = false;
      break;
    case Solver::kLcm:
      config.beta_start = 0.00085;
      config.beta_end = 0.012;
      config.beta_schedule = "scaled_linear";
      config.clip_sample = false;
      break;
    case Solver::kDpm:
    case Solver::kUniPc:
      config.solver_type = solver == Solver::kDpm ? "midpoint" : "bh2";
      [[fallthrough]];
    case Solver::kEuler:
    case Solver::kEulerAncestral:
      config.timestep_spacing = "linspace";
  }
}

const ClassRow& find_class(const std::string& name) {
  const auto found = std::find_if(std::begin(kClasses), std::end(kClasses), [&](const ClassRow& row) { return name == row.name; });
  TORCH_CHECK_VALUE(found != std::end(kClasses), "[DiffusionScheduler] the class of scheduler is not known: got ", name,
                    ", expected one of ", c10::Join(", ", scheduler_classes()));
  return *found;
}

// Python writes infinite numbers as words, which are no JSON: here they are the largest finite ones.
const std::string kHuge = "1.7976931348623157e308";

std::string without_infinity(const std::string& text) {
  std::string out;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!quoted && text.compare(i, 8, "Infinity") == 0) {
      out += kHuge;
      i += 7;
      continue;
    }
    quoted ^= text[i] == '"' && (i == 0 || text[i - 1] != '\\');
    out += text[i];
  }
  return out;
}

double with_infinity(double value) {
  return std::fabs(value) >= std::numeric_limits<double>::max() ? std::copysign(std::numeric_limits<double>::infinity(), value) : value;
}

std::string dump(const Json& value) {
  if (value.is_number_float() && std::isinf(with_infinity(value.get<double>()))) {
    return value.get<double>() < 0 ? "-Infinity" : "Infinity";
  }
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void read_field(ConfigFields& fields, const FieldRow& row, C& config) {
  std::visit(
      [&](auto member) {
        using T = std::decay_t<decltype(config.*member)>;
        if constexpr (std::is_same_v<T, int64_t>) {
          fields.read(row.name, config.*member, row.range.low, row.range.high);
        } else if constexpr (std::is_same_v<T, std::vector<int64_t>>) {
          fields.read(row.name, config.*member, row.range.low, row.range.high);
        } else if constexpr (std::is_same_v<T, double>) {
          fields.read(row.name, config.*member);
          config.*member = with_infinity(config.*member);
        } else if constexpr (std::is_same_v<T, std::vector<double>> || std::is_same_v<T, std::string>) {
          std::optional<T> value = config.*member;
          fields.read(row.name, value);
          config.*member = value.value_or(T());
        } else {
          fields.read(row.name, config.*member);
        }
      },
      row.member);
}

Json field_value(const FieldRow& row, const C& config) {
  return std::visit(
      [&](auto member) -> Json {
        using T = std::decay_t<decltype(config.*member)>;
        if constexpr (std::is_same_v<T, double>) {
          const double value = config.*member;
          return std::isinf(value) ? Json(std::copysign(std::numeric_limits<double>::max(), value)) : Json(value);
        } else if constexpr (std::is_same_v<T, std::optional<double>>) {
          return or_null(config.*member);
        } else if constexpr (std::is_same_v<T, std::vector<double>>) {
          return (config.*member).empty() ? Json() : Json(config.*member);
        } else if constexpr (std::is_same_v<T, std::string>) {
          return (config.*member).empty() ? Json() : Json(config.*member);
        } else {
          return Json(config.*member);
        }
      },
      row.member);
}

void check_values(const SchedulerSetup& setup) {
  const C& config = setup.config;
  const unsigned solver = unsigned(setup.solver);
  std::vector<std::string> betas = {"linear", "scaled_linear", "squaredcos_cap_v2"};
  if (solver == kDdpm) {
    betas.insert(betas.end(), {"laplace", "sigmoid"});
  }
  expect_value(setup, "beta_schedule", config.beta_schedule, betas);
  expect_value(setup, "timestep_spacing", config.timestep_spacing, {"leading", "trailing", "linspace"});
  std::vector<std::string> predictions = {"epsilon", "v_prediction"};
  if (!(solver & (kPndm | kAncestral))) {
    predictions.emplace_back("sample");
  }
  expect_value(setup, "prediction_type", config.prediction_type, predictions);
  expect_value(setup, "final_sigmas_type", config.final_sigmas_type, {"zero", "sigma_min"});
  const int64_t spacings = config.use_karras_sigmas + config.use_exponential_sigmas + config.use_lu_lambdas;
  TORCH_CHECK_VALUE(spacings <= 1, "[", setup.class_name,
                    "] at most one of use_karras_sigmas, use_exponential_sigmas and use_lu_lambdas can be ", "true: got ", spacings,
                    " of them");
  TORCH_CHECK_VALUE(config.clip_sample_range > 0, "[", setup.class_name, "] clip_sample_range must be positive: got ",
                    config.clip_sample_range);
  TORCH_CHECK_VALUE(config.dynamic_thresholding_ratio >= 0 && config.dynamic_thresholding_ratio <= 1, "[", setup.class_name,
                    "] dynamic_thresholding_ratio must be in [0, 1]: got ", config.dynamic_thresholding_ratio);
  TORCH_CHECK_VALUE(config.sample_max_value > 0, "[", setup.class_name, "] sample_max_value must be positive: got ",
                    config.sample_max_value);
  for (const auto& sigma : {config.sigma_min, config.sigma_max}) {
    TORCH_CHECK_VALUE(!sigma || *sigma > 0, "[", setup.class_name, "] sigma_min and sigma_max must be positive: got ", *sigma);
  }
}

}  // namespace

std::vector<std::string> scheduler_classes() {
  std::vector<std::string> names;
  for (const ClassRow& row : kClasses) {
    names.emplace_back(row.name);
  }
  return names;
}

void expect_value(const SchedulerSetup& setup, const char* field, const std::string& got, const std::vector<std::string>& known) {
  TORCH_CHECK_VALUE(std::find(known.begin(), known.end(), got) != known.end(), "[", setup.class_name, "] config field ", field,
                    " is not supported: got \"", got, "\", expected one of ", c10::Join(", ", known));
}

SchedulerSetup read_setup(const std::string& class_name, const std::string& text) {
  const std::string json = without_infinity(text);
  SchedulerSetup setup;
  setup.class_name = class_name;
  if (class_name.empty()) {
    std::optional<std::string> name;
    ConfigFields("DiffusionScheduler", json).read("_class_name", name);
    TORCH_CHECK_VALUE(name, "[DiffusionScheduler] the config has no _class_name, which says what scheduler it is of");
    setup.class_name = *name;
  }
  setup.solver = find_class(setup.class_name).solver;
  set_class_defaults(setup.solver, setup.config);
  ConfigFields fields(setup.class_name, json);
  for (const FieldRow& row : kFields) {
    row.classes& unsigned(setup.solver) ? read_field(fields, row, setup.config) : fields.ignore(row.name);
  }
  for (const Refused& row : kRefused) {
    row.classes& unsigned(setup.solver) ? fields.expect(row.name, Json::parse(row.neutral)) : fields.ignore(row.name);
  }
  for (const char* name : kMeaningless) {
    fields.ignore(name);
  }
  fields.finish();
  check_values(setup);
  setup.given = Json::parse(json);
  return setup;
}

std::string write_setup(const SchedulerSetup& setup) {
  Json json = setup.given;
  json["_class_name"] = setup.class_name;
  for (const FieldRow& row : kFields) {
    if (row.classes & unsigned(setup.solver)) {
      json[row.name] = field_value(row, setup.config);
    }
  }
  std::string text;
  for (const auto& [name, value] : json.items()) {
    text += (text.empty() ? "{\n  " : ",\n  ") + Json(name).dump() + ": " + dump(value);
  }
  return text + "\n}\n";
}

}  // namespace torch_hpu::diffusion
