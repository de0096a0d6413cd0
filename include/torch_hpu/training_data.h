// Data for training: datasets of named tensors, the order in which an epoch visits them, and a loader that makes batches of them.
// The order is a pure function of seed and epoch, so that a run can go on in the middle of an epoch without loading what it skips, and a
// Python program can follow it.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <c10/util/ArrayRef.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "torch_hpu/export.h"

namespace torch_hpu {

// One example: named CPU tensors without a batch dimension ("input_ids" [T], "labels" []). A batch: the same names, batch dimension first.
using Example = std::map<std::string, at::Tensor>;
using Batch = std::map<std::string, at::Tensor>;

// Makes a batch of examples: at least one, all with the same names.
using Collate = std::function<Batch(const std::vector<Example>&)>;

// Stacks every field. A field of one dimension whose lengths differ is padded at its end to the longest one, with the value given for its
// name; without one that is an error, and so is any other difference of shapes, of dtypes or of names.
class TORCH_HPU_API PadCollate {
 public:
  // {"input_ids": 0, "token_type_ids": 0, "attention_mask": 0, "labels": -100}
  PadCollate();
  // multiple_of: padded lengths are rounded up to a multiple of it, so that fewer different shapes arise; also where no lengths differ.
  explicit PadCollate(std::map<std::string, double> padding, int64_t multiple_of = 1);
  Batch operator()(const std::vector<Example>& examples) const;

 private:
  std::map<std::string, double> padding_;
  int64_t multiple_of_;
};

// Examples by index. All methods may be called by several threads at once.
class TORCH_HPU_API Dataset {
 public:
  virtual ~Dataset();
  virtual int64_t size() const = 0;
  // The example of an index in [0, size()). The tensors may share memory with the dataset; nobody writes them.
  virtual Example get(int64_t index) const = 0;
  // What LengthGroupedSampler sorts by; empty if the dataset does not know it without loading the example.
  virtual std::optional<int64_t> length(int64_t index) const;
  // The batch of some indices; by default PadCollate() of get(). It owns its memory.
  virtual Batch get_batch(c10::IntArrayRef indices) const;
};

// The length of every example: length(), or the first size of its "input_ids" where the dataset does not know. Throws if neither exists.
TORCH_HPU_API std::vector<int64_t> dataset_lengths(const Dataset& dataset);

// Example i is row i of every tensor [N, ...]. length(): the value of a field "length" [N], or else the first size of "input_ids" [N, T].
class TORCH_HPU_API TensorDataset : public Dataset {
 public:
  explicit TensorDataset(std::map<std::string, at::Tensor> tensors);  // on the CPU, at least one, all with the same first size
  int64_t size() const override;
  Example get(int64_t index) const override;
  std::optional<int64_t> length(int64_t index) const override;
  Batch get_batch(c10::IntArrayRef indices) const override;
  const std::map<std::string, at::Tensor>& tensors() const {
    return tensors_;
  }

 private:
  std::map<std::string, at::Tensor> tensors_;
  int64_t size_ = 0;
};

// The tensors of a safetensors file as a TensorDataset. The file is mapped, not read: only rows that are asked for come into memory.
class TORCH_HPU_API SafetensorsDataset : public TensorDataset {
 public:
  explicit SafetensorsDataset(const std::string& path);
};

// Examples that were made before and may differ in shape.
class TORCH_HPU_API ListDataset : public Dataset {
 public:
  explicit ListDataset(std::vector<Example> examples);
  int64_t size() const override;
  Example get(int64_t index) const override;
  std::optional<int64_t> length(int64_t index) const override;

 private:
  std::vector<Example> examples_;
};

// A text as token numbers, cut into blocks: example i holds "input_ids" [block_size] int64, the tokens from i * block_size on, and "labels",
// an equal tensor. Labels are not shifted: the model compares its output at position t with the label at t + 1, as transformers' models
// do. Tokens after the last whole block are left out.
//
// A token file is a header of 24 bytes and the tokens, all little-endian: 8 bytes "HPUTOKEN"; uint32 version (1); uint32 bytes per token
// (1, 2 or 4, unsigned); uint64 number of tokens. The file is mapped, not read.
class TORCH_HPU_API TokenDataset : public Dataset {
 public:
  TokenDataset(const std::string& path, int64_t block_size);
  // A file of tokens alone, without a header: uint8, uint16 or uint32.
  TokenDataset(const std::string& path, int64_t block_size, c10::ScalarType dtype);
  // [N] on the CPU: uint8, uint16, uint32, int32 or int64.
  TokenDataset(const at::Tensor& tokens, int64_t block_size);
  int64_t size() const override;
  Example get(int64_t index) const override;
  std::optional<int64_t> length(int64_t index) const override;
  Batch get_batch(c10::IntArrayRef indices) const override;
  int64_t tokens() const;  // in the whole text

 private:
  at::Tensor block(c10::IntArrayRef indices) const;  // [B, block_size] int64
  at::Tensor tokens_;
  int64_t block_size_;
};

// Writes a token file. tokens [N], integers of 0 or more; dtype: uint8, uint16 or uint32, every token must fit. The file appears under its
// name only when it is complete.
TORCH_HPU_API void save_tokens(const std::string& path, const at::Tensor& tokens, c10::ScalarType dtype);

// A torch::data dataset (a class with `get(size_t)`, or `get_batch(ArrayRef<size_t>)`, and `size()`; also the result of `.map(...)`) as a
// Dataset. Its examples become fields: torch::data::Example's data and target under the given names, a tensor alone under the first, a map
// of names as it is. Calls are serialised, because such datasets promise nothing about threads.
template <typename Source>
class TorchDataset : public Dataset {
 public:
  explicit TorchDataset(Source source, std::string data_name = "data", std::string target_name = "target")
      : source_(std::move(source)), data_name_(std::move(data_name)), target_name_(std::move(target_name)) {}

  int64_t size() const override {
    const std::lock_guard lock(mutex_);
    const std::optional<size_t> size = source_.size();
    TORCH_CHECK(size, "[TorchDataset] the dataset has no size: only datasets of examples by index can be used");
    return static_cast<int64_t>(*size);
  }
  Example get(int64_t index) const override {
    const std::lock_guard lock(mutex_);
    const auto i = static_cast<size_t>(index);
    if constexpr (requires(Source& source) { source.get(i); }) {
      return fields(source_.get(i));
    } else {
      const auto list = source_.get_batch(c10::ArrayRef<size_t>(&i, 1));
      if constexpr (requires { list.front(); }) {
        TORCH_CHECK(list.size() == 1, "[TorchDataset] get_batch() of one index gave ", list.size(), " examples");
        return fields(list.front());
      } else {  // its map stacks: a batch of one
        Example example = fields(list);
        for (auto& [name, tensor] : example) {
          tensor = tensor.squeeze(0);
        }
        return example;
      }
    }
  }

 private:
  template <typename Item>
  Example fields(const Item& item) const {
    if constexpr (std::is_convertible_v<Item, Example>) {
      return item;
    } else if constexpr (std::is_convertible_v<Item, at::Tensor>) {
      return {{data_name_, item}};
    } else if constexpr (requires { at::Tensor(item.target); }) {
      return {{data_name_, item.data}, {target_name_, item.target}};
    } else {
      return {{data_name_, item.data}};
    }
  }

  mutable Source source_;
  mutable std::mutex mutex_;
  std::string data_name_, target_name_;
};

template <typename Source>
std::shared_ptr<Dataset> from_torch_data(Source source, std::string data_name = "data", std::string target_name = "target") {
  return std::make_shared<TorchDataset<Source>>(std::move(source), std::move(data_name), std::move(target_name));
}

// The order in which an epoch visits a dataset. Immutable and thread-safe.
class TORCH_HPU_API Sampler {
 public:
  virtual ~Sampler();
  virtual int64_t size() const = 0;                               // indices in an epoch
  virtual std::vector<int64_t> indices(int64_t epoch) const = 0;  // size() of them
  // Kind and arguments: equal texts, equal orders. The rank of a process is left out, so that all can go on from one saved position.
  virtual std::string describe() const = 0;
};

// 0, 1, ... size - 1.
class TORCH_HPU_API SequentialSampler : public Sampler {
 public:
  explicit SequentialSampler(int64_t size);
  int64_t size() const override;
  std::vector<int64_t> indices(int64_t epoch) const override;
  std::string describe() const override;

 private:
  int64_t size_;
};

// Permutations, one after the other, from a CPU generator g seeded with seed + epoch: torch.randperm(size, generator=g), again if more
// indices are asked for, the last one cut off. The same as torch.utils.data.RandomSampler with that generator (and accelerate's
// SeedableRandomSampler). Without num_samples: every index once.
class TORCH_HPU_API RandomSampler : public Sampler {
 public:
  RandomSampler(int64_t size, uint64_t seed, std::optional<int64_t> num_samples = std::nullopt);
  int64_t size() const override;
  std::vector<int64_t> indices(int64_t epoch) const override;
  std::string describe() const override;

 private:
  int64_t size_;
  uint64_t seed_;
  int64_t num_samples_;
};

// RandomSampler with the number of indices rounded up to a multiple of batch_size, so that every batch is full and the device meets one
// shape only; what is missing comes from a second permutation. GaudiTrainer's order for one process without drop_last.
class TORCH_HPU_API PaddedRandomSampler : public RandomSampler {
 public:
  PaddedRandomSampler(int64_t size, int64_t batch_size, uint64_t seed);
};

// Batches of examples of similar length, as transformers' LengthGroupedSampler with a generator seeded with seed + epoch: a permutation
// is cut into mega-batches of mega_batches * batch_size indices, each is sorted by length (longest first), and the longest example of all
// comes first. batch_size: transformers' trainer gives the examples of a whole optimizer step, with all accumulated batches.
// mega_batches: by default min(size / (4 * batch_size), 50), at least 1.
class TORCH_HPU_API LengthGroupedSampler : public Sampler {
 public:
  LengthGroupedSampler(std::vector<int64_t> lengths, int64_t batch_size, uint64_t seed, std::optional<int64_t> mega_batches = std::nullopt);
  int64_t size() const override;
  std::vector<int64_t> indices(int64_t epoch) const override;
  std::string describe() const override;

 private:
  std::vector<int64_t> lengths_;
  int64_t batch_size_;
  uint64_t seed_;
  int64_t mega_batches_;
};

// The part of another order that one process of several sees: every world_size-th index from rank on. The order is first padded from its
// beginning to a multiple of world_size, or with drop_last cut off, so that all parts are equally long: as torch's DistributedSampler
// over a RandomSampler or SequentialSampler, and transformers' DistributedLengthGroupedSampler over a LengthGroupedSampler.
class TORCH_HPU_API DistributedSampler : public Sampler {
 public:
  DistributedSampler(std::shared_ptr<const Sampler> order, int64_t rank, int64_t world_size, bool drop_last = false);
  int64_t size() const override;
  std::vector<int64_t> indices(int64_t epoch) const override;
  std::string describe() const override;

 private:
  std::shared_ptr<const Sampler> order_;
  int64_t rank_, world_size_;
  bool drop_last_;
};

struct DataLoaderOptions {
  int64_t batch_size = 8;
  bool drop_last = false;   // leave out a last batch that is not full
  int num_workers = 0;      // threads that load; 0: next() loads
  int prefetch_factor = 2;  // batches loaded ahead per worker
  Collate collate;          // empty: the dataset's get_batch()
  bool pin_memory = false;  // batches lie in pinned host memory; without an accelerator a warning
  // Where batches are to be; empty: they stay on the CPU. With workers the copy of the next batch begins when next() returns the one
  // before it, so that it overlaps with the work on that one.
  std::optional<c10::Device> device;
  bool non_blocking = true;  // of the copies to the device
};

// Where a loader stands. A checkpoint keeps it, restore() goes on from it.
struct DataPosition {
  int64_t epoch = 0;
  int64_t batch = 0;  // the batch of the epoch that next() gives next
  std::string order;  // the sampler's description and the batch size
};

// Batches of a dataset in a sampler's order. The batches and their order do not depend on the number of workers: the ops of a dataset and of
// a collation run on one thread each, and record no gradients. Used by one thread.
class TORCH_HPU_API DataLoader {
 public:
  DataLoader(std::shared_ptr<const Dataset> dataset, std::shared_ptr<const Sampler> sampler, DataLoaderOptions options = {});
  // Stops the workers: each finishes at most the example at hand (the batch, if get_batch() is the dataset's own).
  ~DataLoader();
  DataLoader(const DataLoader&) = delete;
  DataLoader& operator=(const DataLoader&) = delete;

  int64_t size() const;  // batches in an epoch

  // Goes to a batch of an epoch; what lies before it is not loaded. A new loader stands at epoch 0, batch 0.
  void start_epoch(int64_t epoch, int64_t batch = 0);

  // The next batch; empty after the last one of the epoch. An exception of the dataset or of the collation is thrown here, in its turn,
  // and names the example or the batch; the call after it gives the batch after it.
  std::optional<Batch> next();

  DataPosition position() const;
  // Throws when the position was saved with another order, or is not in this one.
  void restore(const DataPosition& position);

  const Dataset& dataset() const;
  const Sampler& sampler() const;
  const DataLoaderOptions& options() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace torch_hpu
