// A denoising step, as one graph.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <torch_hpu/autocast.h>
#include <torch_hpu/diffusion_loop.h>

#include <utility>

namespace torch_hpu {

namespace {

constexpr size_t kMaxGraphs = 10;

// The tensors of a step as one list, and back. Which of them are there, and how many, is part of a graph's signature.
struct FlatInputs {
  std::vector<at::Tensor> tensors;
  std::vector<int64_t> structure;

  void add(const at::Tensor& tensor) {
    structure.push_back(tensor.defined());
    if (tensor.defined()) {
      tensors.push_back(tensor);
    }
  }
};

FlatInputs flatten(const DenoisingInputs& inputs) {
  FlatInputs flat;
  for (const at::Tensor* tensor :
       {&inputs.latents, &inputs.embeddings, &inputs.row, &inputs.guidance_scale, &inputs.noise, &inputs.timestep_cond}) {
    flat.add(*tensor);
  }
  for (const at::Tensor& tensor : inputs.state) {
    flat.add(tensor);
  }
  return flat;
}

DenoisingInputs unflatten(const DenoisingInputs& like, const std::vector<at::Tensor>& tensors) {
  DenoisingInputs inputs = like;
  auto next = tensors.begin();
  for (at::Tensor* tensor :
       {&inputs.latents, &inputs.embeddings, &inputs.row, &inputs.guidance_scale, &inputs.noise, &inputs.timestep_cond}) {
    if (tensor->defined()) {
      *tensor = *next++;
    }
  }
  for (at::Tensor& tensor : inputs.state) {
    tensor = *next++;
  }
  return inputs;
}

}  // namespace

DenoisingStep::DenoisingStep(std::shared_ptr<UNet2DConditionModel> unet, std::shared_ptr<DiffusionScheduler> scheduler, bool graphs,
                             double rescale, bool autocast)
    : unet_(std::move(unet)),
      scheduler_(std::move(scheduler)),
      use_graphs_(graphs),
      autocast_(autocast),
      rescale_(rescale),
      cache_(kMaxGraphs) {
  TORCH_CHECK(unet_ && scheduler_, "denoising step has no ", unet_ ? "scheduler" : "UNet");
}

size_t DenoisingStep::graphs() const {
  return cache_.size();
}

at::Tensor DenoisingStep::operator()(DenoisingInputs& inputs) {
  const bool guided = inputs.guidance_scale.defined();
  const at::Tensor &latents = inputs.latents, &embeddings = inputs.embeddings;
  TORCH_CHECK(latents.dim() == 4 && embeddings.dim() == 3 && embeddings.size(0) == latents.size(0) * (guided ? 2 : 1),
              "inputs of a denoising step do not fit: got latents ", latents.sizes(), " and embeddings ", embeddings.sizes(),
              guided ? " with" : " without", " guidance, expected [B, C, h, w] and [", guided ? "2 * " : "", "B, T, d]");
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> results;
  if (use_graphs_) {
    const FlatInputs flat = flatten(inputs);
    results =
        cache_.run(flat.tensors, flat.structure, [&](const std::vector<at::Tensor>& tensors) { return run(unflatten(inputs, tensors)); });
  } else {
    results = run(inputs);
  }
  inputs.latents = results.at(1);
  inputs.state.assign(results.begin() + 2, results.end());
  return results[0];
}

std::vector<at::Tensor> DenoisingStep::run(const DenoisingInputs& inputs) const {
  const bool guided = inputs.guidance_scale.defined();
  at::Tensor prediction = scheduler_->scale_model_input(inputs.latents, inputs.row);
  {
    const Autocast autocast(inputs.latents.device().type(), autocast_);
    UNet2DConditionInputs more;
    more.timestep_cond = inputs.timestep_cond;
    prediction =
        unet_->forward(guided ? at::cat({prediction, prediction}) : prediction, scheduler_->timestep(inputs.row), inputs.embeddings, more);
  }
  prediction = prediction.to(inputs.latents.scalar_type());
  std::vector<at::Tensor> results = scheduler_->advance(guided ? guide(prediction, inputs.guidance_scale, rescale_) : prediction,
                                                        inputs.latents, inputs.state, inputs.row, inputs.noise);
  results.insert(results.begin(), std::move(prediction));
  return results;
}

}  // namespace torch_hpu
