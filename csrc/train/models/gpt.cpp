#include <torch_hpu/models/gpt.h>

#include <ATen/ops/arange.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/multinomial.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <torch/nn/init.h>
#include <torch_hpu/device.h>
#include <torch_hpu/graphed.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/state_dict.h>

#include <cmath>

#include "csrc/train/checkpointing.h"
#include "csrc/train/json_text.h"
#include "csrc/train/models/pretrained.h"

namespace torch_hpu {

Conv1DImpl::Conv1DImpl(int64_t in, int64_t out) {
  weight = register_parameter("weight", at::empty({in, out}));
  bias = register_parameter("bias", at::zeros({out}));
}

at::Tensor Conv1DImpl::forward(const at::Tensor& x) {
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes.back() = bias.size(0);
  return at::addmm(bias, x.reshape({-1, x.size(-1)}), weight).view(sizes);
}

struct GPTBlockImpl : torch::nn::Module {
  GPTBlockImpl(const GPTConfig& c, int64_t layer) : layer(layer), heads(c.n_head), activation_name(c.activation_function) {
    const int64_t inner = c.n_inner.value_or(4 * c.n_embd);
    const auto norm = torch::nn::LayerNormOptions({c.n_embd}).eps(c.layer_norm_epsilon);
    ln_1 = register_module("ln_1", torch::nn::LayerNorm(norm));
    const auto attn = train::branch(*this, "attn");
    c_attn = attn->register_module("c_attn", Conv1D(c.n_embd, 3 * c.n_embd));
    c_proj = attn->register_module("c_proj", Conv1D(c.n_embd, c.n_embd));
    ln_2 = register_module("ln_2", torch::nn::LayerNorm(norm));
    const auto mlp = train::branch(*this, "mlp");
    c_fc = mlp->register_module("c_fc", Conv1D(c.n_embd, inner));
    mlp_proj = mlp->register_module("c_proj", Conv1D(inner, c.n_embd));
    attention_dropout = c.attn_pdrop;
    residual_dropout = c.resid_pdrop;
  }

  // x [B, T, E]; positions [T] int64 within the cache, mask [T, S] and cache [2, B, H, S, D] when decoding.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& positions, const at::Tensor& mask, const at::Tensor& cache) {
    const int64_t b = x.size(0), t = x.size(1), e = x.size(2);
    const auto qkv = c_attn(ln_1(x)).view({b, t, 3, heads, e / heads}).permute({2, 0, 3, 1, 4});  // [3, B, H, T, D]
    at::Tensor mixed;
    if (cache.defined()) {
      cache.index_copy_(3, positions, qkv.narrow(0, 1, 2));
      mixed = at::scaled_dot_product_attention(qkv[0], cache[0], cache[1], mask);
    } else {
      mixed = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], {}, is_training() ? attention_dropout : 0.0, /*is_causal=*/true);
    }
    const auto attended = x + drop(c_proj(mixed.transpose(1, 2).reshape({b, t, e})));
    return attended + drop(mlp_proj(train::activation(activation_name, c_fc(ln_2(attended)))));
  }

  at::Tensor drop(const at::Tensor& x) const {
    return at::dropout(x, residual_dropout, is_training());
  }

  int64_t layer, heads;
  std::string activation_name;
  double attention_dropout = 0, residual_dropout = 0;
  torch::nn::LayerNorm ln_1{nullptr}, ln_2{nullptr};
  Conv1D c_attn{nullptr}, c_proj{nullptr}, c_fc{nullptr}, mlp_proj{nullptr};
};

// Scores by the embedding's own weight.
struct GPTHeadImpl : torch::nn::Module {
  void tie(const at::Tensor& embedding) {
    weight = embedding;
    if (parameters_.contains("weight")) {
      parameters_["weight"] = embedding;
    } else {
      register_parameter("weight", embedding);
    }
  }
  at::Tensor forward(const at::Tensor& x) {  // [..., E] -> [..., V]
    return at::linear(x, weight);
  }
  at::Tensor weight;
};

GPTConfig GPTConfig::from_json(const std::string& text) {
  const train::ConfigReader reader("GPTConfig", text, "gpt2");
  reader.expect("scale_attn_weights", true);
  reader.expect("scale_attn_by_inverse_layer_idx", false);
  reader.expect("reorder_and_upcast_attn", false);
  reader.expect("add_cross_attention", false);
  reader.expect("tie_word_embeddings", true);
  GPTConfig c;
  reader.read("vocab_size", c.vocab_size);
  reader.read("n_positions", c.n_positions);
  reader.read("n_embd", c.n_embd);
  reader.read("n_layer", c.n_layer);
  reader.read("n_head", c.n_head);
  reader.read("n_inner", c.n_inner);
  reader.read("activation_function", c.activation_function);
  reader.read("resid_pdrop", c.resid_pdrop);
  reader.read("embd_pdrop", c.embd_pdrop);
  reader.read("attn_pdrop", c.attn_pdrop);
  reader.read("layer_norm_epsilon", c.layer_norm_epsilon);
  reader.read("initializer_range", c.initializer_range);
  c.validate();
  return c;
}

std::string GPTConfig::to_json() const {
  return train::dump_json({{"architectures", {"GPT2LMHeadModel"}},
                           {"model_type", "gpt2"},
                           {"vocab_size", vocab_size},
                           {"n_positions", n_positions},
                           {"n_embd", n_embd},
                           {"n_layer", n_layer},
                           {"n_head", n_head},
                           {"n_inner", n_inner ? nlohmann::ordered_json(*n_inner) : nlohmann::ordered_json(nullptr)},
                           {"activation_function", activation_function},
                           {"resid_pdrop", resid_pdrop},
                           {"embd_pdrop", embd_pdrop},
                           {"attn_pdrop", attn_pdrop},
                           {"layer_norm_epsilon", layer_norm_epsilon},
                           {"initializer_range", initializer_range},
                           {"bos_token_id", nullptr},
                           {"eos_token_id", nullptr}},
                          2);
}

void GPTConfig::validate() const {
  train::check_sizes("GPTConfig", {{"vocab_size", vocab_size},
                                   {"n_positions", n_positions},
                                   {"n_embd", n_embd},
                                   {"n_layer", n_layer},
                                   {"n_head", n_head},
                                   {"n_inner", n_inner.value_or(1)}});
  TORCH_CHECK_VALUE(n_embd % n_head == 0, "[GPTConfig] n_embd (", n_embd, ") must be a multiple of n_head (", n_head, ")");
  train::check_activation("GPTConfig", "activation_function", activation_function);
  train::check_probabilities("GPTConfig", {{"resid_pdrop", resid_pdrop}, {"embd_pdrop", embd_pdrop}, {"attn_pdrop", attn_pdrop}});
}

GPTImpl::GPTImpl(GPTConfig config) : config_(std::move(config)) {
  config_.validate();
  const auto transformer = train::branch(*this, "transformer");
  wte_ = transformer->register_module("wte", torch::nn::Embedding(config_.vocab_size, config_.n_embd));
  wpe_ = transformer->register_module("wpe", torch::nn::Embedding(config_.n_positions, config_.n_embd));
  drop_ = torch::nn::Dropout(config_.embd_pdrop);
  register_module("drop", drop_);
  auto h = transformer->register_module("h", std::make_shared<torch::nn::Module>("h"));
  for (int64_t i = 0; i < config_.n_layer; ++i) {
    blocks_.push_back(h->register_module(std::to_string(i), std::make_shared<GPTBlockImpl>(config_, i)));
  }
  ln_f_ = transformer->register_module("ln_f",
                                       torch::nn::LayerNorm(torch::nn::LayerNormOptions({config_.n_embd}).eps(config_.layer_norm_epsilon)));
  lm_head_ = register_module("lm_head", std::make_shared<GPTHeadImpl>());
  tie_weights();
  const torch::NoGradGuard no_grad;
  for (const auto& p : named_parameters()) {
    const std::string& name = p.key();
    if (name.ends_with("c_proj.weight")) {  // residual branches: scaled by the number of them
      torch::nn::init::normal_(p.value(), 0, config_.initializer_range / std::sqrt(2.0 * static_cast<double>(config_.n_layer)));
    } else if (name.ends_with(".weight") && name.find("ln_") == std::string::npos && name != "lm_head.weight") {
      torch::nn::init::normal_(p.value(), 0, config_.initializer_range);
    }
  }
}

void GPTImpl::tie_weights() {
  lm_head_->tie(wte_->weight);
}

at::Tensor GPTImpl::hidden(const at::Tensor& ids, const at::Tensor& positions, GPTCache* cache) {
  at::Tensor x = drop_(wte_(ids) + wpe_(positions));
  at::Tensor mask;
  if (cache != nullptr) {  // token at position p sees the positions up to p
    mask = at::arange(cache->values.size(4), positions.options()).unsqueeze(0).le(positions.unsqueeze(1));
  }
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const auto block = blocks_[i];
    const at::Tensor own = cache != nullptr ? cache->values[static_cast<int64_t>(i)] : at::Tensor();
    if (checkpointing_ && is_training() && cache == nullptr) {
      x = train::checkpoint([block](const at::Tensor& in) { return block->forward(in, {}, {}, {}); }, x, block->parameters());
    } else {
      x = block->forward(x, positions, mask, own);
    }
  }
  return ln_f_(x);
}

at::Tensor GPTImpl::logits(const at::Tensor& ids) {
  TORCH_CHECK(ids.dim() == 2 && ids.scalar_type() == at::kLong, "[GPT] input_ids: got ", ids.scalar_type(), " ", ids.sizes(),
              ", expected int64 [batch, tokens]");
  TORCH_CHECK(ids.size(1) <= config_.n_positions, "[GPT] input_ids: got ", ids.size(1),
              " tokens, expected at most n_positions = ", config_.n_positions);
  return lm_head_->forward(hidden(ids, at::arange(ids.size(1), ids.options()), nullptr));
}

ModelOutput GPTImpl::forward(const Batch& batch) {
  const auto ids = batch.find("input_ids");
  TORCH_CHECK(ids != batch.end(), "[GPT] the batch has no field input_ids");
  ModelOutput output;
  const at::Tensor scores = logits(ids->second);
  if (const auto labels = batch.find("labels"); labels != batch.end()) {
    const int64_t t = scores.size(1) - 1;
    TORCH_CHECK(labels->second.sizes() == ids->second.sizes(), "[GPT] labels: got ", labels->second.sizes(), ", expected ",
                ids->second.sizes());
    TORCH_CHECK(t > 0, "[GPT] a loss needs rows of at least 2 tokens");
    output.loss = at::cross_entropy_loss(scores.narrow(1, 0, t).reshape({-1, scores.size(2)}).to(at::kFloat),
                                         labels->second.narrow(1, 1, t).reshape({-1}));
  }
  output.predictions = {scores};
  return output;
}

GPTCache GPTImpl::make_cache(int64_t batch) const {
  const auto options = wte_->weight.options();
  return {at::zeros({config_.n_layer, 2, batch, config_.n_head, config_.n_positions, config_.n_embd / config_.n_head},
                    options.requires_grad(false)),
          at::zeros({}, options.dtype(at::kLong).requires_grad(false))};
}

at::Tensor GPTImpl::decode(const at::Tensor& tokens, GPTCache& cache) {
  const torch::NoGradGuard no_grad;
  const int64_t t = tokens.size(1);
  const at::Tensor positions = at::arange(t, tokens.options()) + cache.length;
  const at::Tensor x = hidden(tokens, positions, &cache);
  cache.length.add_(t);
  return lm_head_->forward(x.select(1, t - 1));
}

void GPTImpl::set_gradient_checkpointing(bool on) {
  checkpointing_ = on;
}

void GPTImpl::save_config(const std::string& folder) const {
  train::save_config("GPT", folder, config_.to_json());
}

void GPTImpl::save_pretrained(const std::string& folder) const {
  train::save_folder("GPT", folder, config_.to_json(), state_dict(*this));
}

std::shared_ptr<GPTImpl> GPTImpl::from_pretrained(const std::string& folder) {
  auto model = std::make_shared<GPTImpl>(GPTConfig::from_json(train::read_config("GPT", folder)));
  auto weights = train::read_weights("GPT", folder);
  if (weights.count("lm_head.weight") == 0 && weights.count("transformer.wte.weight") == 1) {
    weights["lm_head.weight"] = weights["transformer.wte.weight"];  // tied weights are saved once
  }
  train::load_weights(*model, "GPT", folder, weights);
  return model;
}

at::Tensor generate(GPT& model, const at::Tensor& input_ids, const GenerateOptions& options) {
  const GPTConfig& config = model->config();
  TORCH_CHECK(input_ids.dim() == 2 && input_ids.numel() > 0 && input_ids.scalar_type() == at::kLong, "[generate] input_ids: got ",
              input_ids.scalar_type(), " ", input_ids.sizes(), ", expected int64 [1 row or more, 1 token or more]");
  for (const auto& [name, value] :
       {std::pair{"max_new_tokens", static_cast<double>(options.max_new_tokens)}, std::pair{"temperature", options.temperature},
        std::pair{"top_k", static_cast<double>(options.top_k)}}) {
    TORCH_CHECK_VALUE(value >= 0, "[generate] ", name, ": got ", value, ", expected 0 or more");
  }
  TORCH_CHECK_VALUE(input_ids.size(1) + options.max_new_tokens <= config.n_positions, "[generate] ", input_ids.size(1), " tokens and ",
                    options.max_new_tokens, " new ones are more than n_positions = ", config.n_positions);
  const at::Tensor prompt = input_ids.to(at::kCPU);
  for (const int64_t token : {prompt.min().item<int64_t>(), prompt.max().item<int64_t>()}) {
    TORCH_CHECK_INDEX(token >= 0 && token < config.vocab_size, "[generate] input_ids: got token ", token, ", expected 0 to ",
                      config.vocab_size - 1);
  }
  const torch::NoGradGuard no_grad;
  struct EvalMode {
    GPTImpl& model;
    const bool was_training = model.is_training();
    ~EvalMode() {
      model.train(was_training);
    }
  } const mode{*model};
  model->eval();
  const c10::Device device = model->parameters().front().device();
  const bool hpu = device.type() == kDeviceType;
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(options.seed);
  GPTCache cache = model->make_cache(input_ids.size(0));
  // The device hands over the candidates: one small tensor for each token.
  const int64_t k = options.temperature == 0 ? 1 : options.top_k > 0 ? std::min(options.top_k, config.vocab_size) : config.vocab_size;
  const auto step = [&](const at::Tensor& tokens) -> std::vector<at::Tensor> {
    const at::Tensor scores = model->decode(tokens, cache);
    const auto [values, indices] = scores.topk(k, -1);
    return {values, indices};
  };
  const auto choose = [&](const std::vector<at::Tensor>& candidates) {  // [B, 1] on the CPU
    const at::Tensor values = candidates[0].to(at::kCPU), indices = candidates[1].to(at::kCPU);
    if (options.temperature == 0) {
      return indices.narrow(1, 0, 1);
    }
    const at::Tensor below = values - values.narrow(1, 0, 1);  // 0 and less: no temperature makes them infinite
    return indices.gather(1, at::multinomial((below / options.temperature).softmax(-1), 1, false, generator));
  };
  std::vector<at::Tensor> rows{prompt};
  GraphCache graphs(1);
  at::Tensor next;
  for (int64_t i = 0; i < options.max_new_tokens; ++i) {
    if (i == 0) {
      next = choose(step(prompt.to(device)));
    } else if (hpu && options.use_hpu_graphs) {
      next = choose(graphs.run({next.to(device)}, {}, [&](const std::vector<at::Tensor>& inputs) { return step(inputs[0]); }));
    } else {
      next = choose(step(next.to(device)));
    }
    rows.push_back(next);
  }
  return at::cat(rows, 1);
}

}  // namespace torch_hpu
