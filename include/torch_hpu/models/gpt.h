// GPT-2: names, shapes and mathematics of transformers' GPT2LMHeadModel, so that its folders can be read and written.
#pragma once

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/normalization.h>
#include <torch_hpu/trainer.h>

#include <optional>
#include <string>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

struct TORCH_HPU_API GPTConfig {
  int64_t vocab_size = 50257;
  int64_t n_positions = 1024;
  int64_t n_embd = 768;
  int64_t n_layer = 12;
  int64_t n_head = 12;
  std::optional<int64_t> n_inner;                // by default 4 * n_embd
  std::string activation_function = "gelu_new";  // also gelu, relu
  double resid_pdrop = 0.1, embd_pdrop = 0.1, attn_pdrop = 0.1;
  double layer_norm_epsilon = 1e-5;
  double initializer_range = 0.02;

  // config.json of a GPT-2 folder. Fields that change the mathematics in ways that are not supported are refused by name.
  static GPTConfig from_json(const std::string& json);
  std::string to_json() const;
  void validate() const;
};

// Linear layer with its weight as [in, out], as GPT-2 has it.
struct TORCH_HPU_API Conv1DImpl : torch::nn::Module {
  Conv1DImpl(int64_t in, int64_t out);
  at::Tensor forward(const at::Tensor& x);  // [..., in] -> [..., out]
  at::Tensor weight, bias;
};
TORCH_MODULE(Conv1D);

// Keys and values of the tokens so far, [n_layer, 2, B, n_head, T, n_embd / n_head], and how many there are, a 0-dim int64 on the same device: so a
// step of decoding is the same graph at every position.
struct GPTCache {
  at::Tensor values;
  at::Tensor length;
};

struct GPTBlockImpl;
struct GPTHeadImpl;

class TORCH_HPU_API GPTImpl : public torch::nn::Module {
 public:
  explicit GPTImpl(GPTConfig config);

  // input_ids [B, T] int64 -> scores [B, T, vocab_size].
  at::Tensor logits(const at::Tensor& input_ids);
  // Fields input_ids [B, T] and, for a loss, labels [B, T] (-100: no item): the mean over the tokens behind the first of each row.
  ModelOutput forward(const Batch& batch);

  GPTCache make_cache(int64_t batch) const;
  // Tokens [B, T] that follow those in the cache -> scores of the last [B, vocab_size]. The cache grows by T.
  at::Tensor decode(const at::Tensor& tokens, GPTCache& cache);

  void tie_weights();  // lm_head is wte; to be called after a move to another device
  void set_gradient_checkpointing(bool on);
  void save_config(const std::string& folder) const;  // config.json
  void save_pretrained(const std::string& folder) const;
  static std::shared_ptr<GPTImpl> from_pretrained(const std::string& folder);
  const GPTConfig& config() const {
    return config_;
  }

 private:
  at::Tensor hidden(const at::Tensor& input_ids, const at::Tensor& positions, GPTCache* cache);

  GPTConfig config_;
  bool checkpointing_ = false;
  torch::nn::Embedding wte_{nullptr}, wpe_{nullptr};
  torch::nn::Dropout drop_{nullptr};
  std::vector<std::shared_ptr<GPTBlockImpl>> blocks_;
  torch::nn::LayerNorm ln_f_{nullptr};
  std::shared_ptr<GPTHeadImpl> lm_head_;
};
TORCH_MODULE(GPT);

struct GenerateOptions {
  int64_t max_new_tokens = 100;
  double temperature = 1;      // 0: the likeliest token
  int64_t top_k = 0;           // choose among the k likeliest; 0: all
  uint64_t seed = 0;           // of a generator on the host
  bool use_hpu_graphs = true;  // on hpu: one captured step, replayed
};

// Continues token rows: [B, T] int64 -> [B, T + max_new_tokens] on the CPU. Throws when that is more than n_positions.
TORCH_HPU_API at::Tensor generate(GPT& model, const at::Tensor& input_ids, const GenerateOptions& options);

}  // namespace torch_hpu
