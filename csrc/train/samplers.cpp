// Orders of an epoch. Every random one draws from a CPU generator of its own, seeded with seed + epoch, by torch.randperm alone: that is what
// the Python samplers do, so the orders agree index by index.
#include <torch_hpu/training_data.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randperm.h>

#include <algorithm>
#include <numeric>

namespace torch_hpu {
namespace {

at::Generator epoch_generator(uint64_t seed, int64_t epoch) {
  return at::detail::createCPUGenerator(seed + static_cast<uint64_t>(epoch));
}

void append_permutation(std::vector<int64_t>& indices, int64_t size, int64_t count, const at::Generator& generator) {
  const at::Tensor permutation = at::randperm(size, generator, at::TensorOptions().dtype(at::kLong).device(at::kCPU));
  const auto* first = permutation.const_data_ptr<int64_t>();
  indices.insert(indices.end(), first, first + count);
}

int64_t checked_size(const char* sampler, int64_t size) {
  TORCH_CHECK_VALUE(size > 0, "[", sampler, "] there is nothing to sample from: got a dataset of ", size, " examples, expected at least 1");
  return size;
}

int64_t checked_batch_size(const char* sampler, int64_t batch_size) {
  TORCH_CHECK_VALUE(batch_size > 0, "[", sampler, "] batch_size: got ", batch_size, ", expected at least 1");
  return batch_size;
}

int64_t ceil_div(int64_t a, int64_t b) {
  return a / b + (a % b != 0);
}

// FNV-1a over the lengths: tells apart datasets of the same size in describe().
uint64_t fingerprint(const std::vector<int64_t>& values) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const int64_t value : values) {
    for (int shift = 0; shift < 64; shift += 8) {
      hash = (hash ^ (static_cast<uint64_t>(value) >> shift & 0xff)) * 0x100000001b3;
    }
  }
  return hash;
}

}  // namespace

Sampler::~Sampler() = default;

SequentialSampler::SequentialSampler(int64_t size) : size_(size) {
  TORCH_CHECK_VALUE(size >= 0, "[SequentialSampler] size: got ", size, ", expected 0 or more");
}

int64_t SequentialSampler::size() const {
  return size_;
}

std::vector<int64_t> SequentialSampler::indices(int64_t) const {
  std::vector<int64_t> indices(static_cast<size_t>(size_));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

std::string SequentialSampler::describe() const {
  return c10::str("sequential(size=", size_, ")");
}

RandomSampler::RandomSampler(int64_t size, uint64_t seed, std::optional<int64_t> num_samples)
    : size_(checked_size("RandomSampler", size)), seed_(seed), num_samples_(num_samples.value_or(size)) {
  TORCH_CHECK_VALUE(num_samples_ > 0, "[RandomSampler] num_samples: got ", num_samples_, ", expected at least 1");
}

int64_t RandomSampler::size() const {
  return num_samples_;
}

std::vector<int64_t> RandomSampler::indices(int64_t epoch) const {
  const at::Generator generator = epoch_generator(seed_, epoch);
  std::vector<int64_t> indices;
  indices.reserve(static_cast<size_t>(num_samples_));
  while (static_cast<int64_t>(indices.size()) < num_samples_) {
    append_permutation(indices, size_, std::min(size_, num_samples_ - static_cast<int64_t>(indices.size())), generator);
  }
  return indices;
}

std::string RandomSampler::describe() const {
  return c10::str("random(size=", size_, ", seed=", seed_, ", num_samples=", num_samples_, ")");
}

PaddedRandomSampler::PaddedRandomSampler(int64_t size, int64_t batch_size, uint64_t seed)
    : RandomSampler(size, seed, ceil_div(size, checked_batch_size("PaddedRandomSampler", batch_size)) * batch_size) {}

LengthGroupedSampler::LengthGroupedSampler(std::vector<int64_t> lengths, int64_t batch_size, uint64_t seed,
                                           std::optional<int64_t> mega_batches)
    : lengths_(std::move(lengths)), batch_size_(checked_batch_size("LengthGroupedSampler", batch_size)), seed_(seed) {
  const int64_t size = checked_size("LengthGroupedSampler", static_cast<int64_t>(lengths_.size()));
  mega_batches_ = mega_batches.value_or(std::clamp<int64_t>(size / (batch_size_ * 4), 1, 50));
  TORCH_CHECK_VALUE(mega_batches_ > 0, "[LengthGroupedSampler] mega_batches: got ", mega_batches_, ", expected at least 1");
}

int64_t LengthGroupedSampler::size() const {
  return static_cast<int64_t>(lengths_.size());
}

std::vector<int64_t> LengthGroupedSampler::indices(int64_t epoch) const {
  std::vector<int64_t> indices;
  append_permutation(indices, size(), size(), epoch_generator(seed_, epoch));
  const auto length = [&](int64_t index) { return lengths_[static_cast<size_t>(index)]; };
  const int64_t mega_batch = mega_batches_ * batch_size_;
  size_t longest = 0;  // where the first of the longest examples stands: always at the head of a mega-batch
  for (int64_t begin = 0; begin < size(); begin += mega_batch) {
    const auto first = indices.begin() + begin;
    const auto last = indices.begin() + std::min(begin + mega_batch, size());
    std::stable_sort(first, last, [&](int64_t a, int64_t b) { return length(a) > length(b); });  // stable, as Python's sort is
    if (length(*first) > length(indices[longest])) {
      longest = static_cast<size_t>(begin);
    }
  }
  std::swap(indices[0], indices[longest]);
  return indices;
}

std::string LengthGroupedSampler::describe() const {
  return c10::str("length_grouped(size=", size(), ", batch_size=", batch_size_, ", mega_batches=", mega_batches_, ", seed=", seed_,
                  ", lengths=", fingerprint(lengths_), ")");
}

DistributedSampler::DistributedSampler(std::shared_ptr<const Sampler> order, int64_t rank, int64_t world_size, bool drop_last)
    : order_(std::move(order)), rank_(rank), world_size_(world_size), drop_last_(drop_last) {
  TORCH_CHECK_VALUE(order_ != nullptr, "[DistributedSampler] order: got none");
  TORCH_CHECK_VALUE(world_size > 0, "[DistributedSampler] world_size: got ", world_size, ", expected at least 1");
  TORCH_CHECK_VALUE(rank >= 0 && rank < world_size, "[DistributedSampler] rank: got ", rank, ", expected 0 to ", world_size - 1);
}

int64_t DistributedSampler::size() const {
  return drop_last_ ? order_->size() / world_size_ : ceil_div(order_->size(), world_size_);
}

std::vector<int64_t> DistributedSampler::indices(int64_t epoch) const {
  const std::vector<int64_t> whole = order_->indices(epoch);
  std::vector<int64_t> part(static_cast<size_t>(size()));
  for (size_t i = 0; i < part.size(); ++i) {
    part[i] = whole[(static_cast<size_t>(rank_) + i * static_cast<size_t>(world_size_)) % whole.size()];
  }
  return part;
}

std::string DistributedSampler::describe() const {
  return c10::str("distributed(", order_->describe(), ", world_size=", world_size_, ", drop_last=", drop_last_ ? "true" : "false", ")");
}

}  // namespace torch_hpu
