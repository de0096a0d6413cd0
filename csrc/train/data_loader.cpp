// Batches from worker threads, in order. The workers claim batch numbers one after the other, at most a window ahead of what was given out;
// next() waits for the number whose turn it is. Each run of batches (an epoch, or the rest of one) is a generation: a worker drops what
// it loads for one that is over.
#include <torch_hpu/training_data.h>

#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <sstream>
#include <thread>

#include "csrc/train/load_example.h"

namespace torch_hpu {
namespace {

struct Loaded {
  Batch batch;
  std::exception_ptr error;
};

std::string list_of(c10::IntArrayRef indices) {
  constexpr size_t kShown = 8;
  std::ostringstream out;
  for (size_t i = 0; i < std::min(indices.size(), kShown); ++i) {
    out << (i > 0 ? ", " : "") << indices[i];
  }
  out << (indices.size() > kShown ? ", ..." : "");
  return out.str();
}

bool pinning_works() {
  const bool works = at::accelerator::getAccelerator().has_value() && at::accelerator::deviceCount() > 0;
  if (!works) {
    TORCH_WARN_ONCE("[DataLoader] pin_memory is set, but there is no accelerator to pin memory for: it is not pinned");
  }
  return works;
}

// While it lives, ops of this thread use this thread alone. A team of OpenMP threads gains nothing on a batch, and where its threads have to
// share cores with workers and with the device, each of its barriers waits for the scheduler: milliseconds for the copy of a megabyte.
class OneThread {
 public:
  // Asking ATen comes first: at its first call in a thread it sets the number itself.
  OneThread() : previous_(at::get_num_threads()) {
    omp_set_num_threads(1);
  }
  ~OneThread() {
    omp_set_num_threads(previous_);
  }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int previous_;
};

}  // namespace

struct DataLoader::State {
  State(std::shared_ptr<const Dataset> dataset, std::shared_ptr<const Sampler> sampler, DataLoaderOptions options);
  ~State();

  int64_t batches() const;
  std::string order() const;
  void go_to(int64_t epoch, int64_t batch);
  void begin();  // hands the epoch to the workers
  Loaded load(int64_t epoch, int64_t batch, const std::vector<int64_t>& indices, uint64_t generation) const;
  void work();
  std::optional<Loaded> take(bool wait);  // the batch at `position`
  Batch to_device(Batch batch) const;
  void stage();

  const std::shared_ptr<const Dataset> dataset;
  const std::shared_ptr<const Sampler> sampler;
  const DataLoaderOptions options;
  const bool pin;

  // Of the thread that calls next().
  int64_t epoch = 0;
  int64_t position = 0;          // the batch that next() gives next
  bool begun = false;            // whether `indices` are those of `epoch`
  std::optional<Loaded> staged;  // the batch at `position`, on its way to the device
  std::vector<std::thread> threads;

  // Shared with the workers.
  std::mutex mutex;
  std::condition_variable to_do, done;
  std::shared_ptr<const std::vector<int64_t>> indices;
  int64_t indices_epoch = 0;
  int64_t claimed = 0;                  // the next batch that a worker takes up
  int64_t taken = 0;                    // the next batch that the loader takes over
  std::map<int64_t, Loaded> finished;   // batches of this generation that wait for their turn
  std::atomic<uint64_t> generation{0};  // changed under the mutex
  bool stopping = false;
};

DataLoader::State::State(std::shared_ptr<const Dataset> dataset, std::shared_ptr<const Sampler> sampler, DataLoaderOptions options)
    : dataset(std::move(dataset)),
      sampler(std::move(sampler)),
      options(std::move(options)),
      pin(this->options.pin_memory && pinning_works()) {
  TORCH_CHECK_VALUE(this->dataset != nullptr, "[DataLoader] dataset: got none");
  TORCH_CHECK_VALUE(this->sampler != nullptr, "[DataLoader] sampler: got none");
  const DataLoaderOptions& o = this->options;
  TORCH_CHECK_VALUE(o.batch_size > 0, "[DataLoader] batch_size: got ", o.batch_size, ", expected at least 1");
  TORCH_CHECK_VALUE(o.num_workers >= 0, "[DataLoader] num_workers: got ", o.num_workers, ", expected 0 or more");
  TORCH_CHECK_VALUE(o.num_workers == 0 || o.prefetch_factor > 0, "[DataLoader] prefetch_factor: got ", o.prefetch_factor,
                    ", expected at least 1 when there are workers");
}

DataLoader::State::~State() {
  {
    const std::lock_guard lock(mutex);
    stopping = true;
    ++generation;
  }
  to_do.notify_all();
  for (std::thread& thread : threads) {
    thread.join();
  }
}

int64_t DataLoader::State::batches() const {
  const int64_t samples = sampler->size(), size = options.batch_size;
  return options.drop_last ? samples / size : samples / size + (samples % size != 0);
}

std::string DataLoader::State::order() const {
  return c10::str(sampler->describe(), "; batch_size=", options.batch_size, "; drop_last=", options.drop_last ? "true" : "false");
}

void DataLoader::State::go_to(int64_t new_epoch, int64_t batch) {
  TORCH_CHECK_VALUE(new_epoch >= 0, "[DataLoader] epoch: got ", new_epoch, ", expected 0 or more");
  TORCH_CHECK_VALUE(batch >= 0 && batch <= batches(), "[DataLoader] batch: got ", batch, ", expected 0 to ", batches(),
                    ", the number of batches in an epoch");
  std::map<int64_t, Loaded> dropped;  // freed after the lock
  const std::lock_guard lock(mutex);
  ++generation;
  claimed = taken = batches();
  dropped.swap(finished);
  staged.reset();
  epoch = new_epoch;
  position = batch;
  begun = false;
}

void DataLoader::State::begin() {
  auto order = std::make_shared<const std::vector<int64_t>>(sampler->indices(epoch));
  TORCH_CHECK(static_cast<int64_t>(order->size()) == sampler->size(), "[DataLoader] the sampler gave ", order->size(),
              " indices for epoch ", epoch, ", expected ", sampler->size());
  {
    const std::lock_guard lock(mutex);
    ++generation;
    indices = std::move(order);
    indices_epoch = epoch;
    claimed = taken = position;
  }
  while (static_cast<int>(threads.size()) < options.num_workers) {
    threads.emplace_back([this] { work(); });
  }
  begun = true;
  to_do.notify_all();
}

Loaded DataLoader::State::load(int64_t of_epoch, int64_t batch, const std::vector<int64_t>& order, uint64_t mine) const {
  const auto first = static_cast<size_t>(batch * options.batch_size);
  const c10::IntArrayRef wanted(order.data() + first, std::min(static_cast<size_t>(options.batch_size), order.size() - first));
  Loaded loaded;
  try {
    const OneThread one_thread;  // in next() too: sums of a collation are then the same bits with any number of workers
    const at::NoGradGuard no_grad;
    const train::AbandonScope abandon(generation, mine);
    if (options.collate) {
      std::vector<Example> examples;
      examples.reserve(wanted.size());
      for (const int64_t index : wanted) {
        examples.push_back(train::load_example(*dataset, index));
      }
      loaded.batch = options.collate(examples);
    } else {
      loaded.batch = dataset->get_batch(wanted);
    }
    TORCH_CHECK(!loaded.batch.empty(), "the collation gave a batch without fields");
    if (pin) {
      for (auto& [name, tensor] : loaded.batch) {
        tensor = tensor.pin_memory();
      }
    }
  } catch (const train::Abandoned&) {
    loaded.batch.clear();
  } catch (...) {
    loaded.batch.clear();
    const std::string text = train::current_exception_text();
    try {
      TORCH_CHECK(false, "[DataLoader] batch ", batch, " of epoch ", of_epoch, " (examples ", list_of(wanted), ") cannot be made: ", text);
    } catch (...) {
      loaded.error = std::current_exception();
    }
  }
  return loaded;
}

void DataLoader::State::work() {
  std::unique_lock lock(mutex);
  while (true) {
    to_do.wait(lock, [&] {
      const int64_t window = static_cast<int64_t>(options.num_workers) * options.prefetch_factor;
      return stopping || claimed < std::min(batches(), taken + window);
    });
    if (stopping) {
      return;
    }
    const int64_t batch = claimed++, of_epoch = indices_epoch;
    const uint64_t mine = generation;
    const auto order = indices;
    lock.unlock();
    Loaded loaded = load(of_epoch, batch, *order, mine);
    lock.lock();
    if (mine == generation) {
      finished.emplace(batch, std::move(loaded));
      done.notify_one();
    } else {
      lock.unlock();
      loaded = {};  // freed outside the lock
      lock.lock();
    }
  }
}

std::optional<Loaded> DataLoader::State::take(bool wait) {
  if (options.num_workers == 0) {
    return load(epoch, position, *indices, generation);
  }
  std::unique_lock lock(mutex);
  if (wait) {
    done.wait(lock, [&] { return finished.count(position) > 0; });
  }
  const auto found = finished.find(position);
  if (found == finished.end()) {
    return std::nullopt;
  }
  Loaded loaded = std::move(found->second);
  finished.erase(found);
  taken = position + 1;
  lock.unlock();
  to_do.notify_all();
  return loaded;
}

Batch DataLoader::State::to_device(Batch batch) const {
  if (options.device) {
    const OneThread one_thread;
    for (auto& [name, tensor] : batch) {
      tensor = tensor.to(at::TensorOptions().device(*options.device), options.non_blocking);
    }
  }
  return batch;
}

void DataLoader::State::stage() {
  if (!options.device || options.num_workers == 0 || position == batches()) {
    return;
  }
  staged = take(/*wait=*/false);
  if (staged && !staged->error) {
    try {
      staged->batch = to_device(std::move(staged->batch));
    } catch (...) {
      staged->error = std::current_exception();  // thrown in its turn
    }
  }
}

DataLoader::DataLoader(std::shared_ptr<const Dataset> dataset, std::shared_ptr<const Sampler> sampler, DataLoaderOptions options)
    : state_(std::make_unique<State>(std::move(dataset), std::move(sampler), std::move(options))) {}

DataLoader::~DataLoader() = default;

int64_t DataLoader::size() const {
  return state_->batches();
}

void DataLoader::start_epoch(int64_t epoch, int64_t batch) {
  state_->go_to(epoch, batch);
}

std::optional<Batch> DataLoader::next() {
  State& s = *state_;
  if (s.position == s.batches()) {
    return std::nullopt;
  }
  if (!s.begun) {
    s.begin();
  }
  const bool copied = s.staged.has_value();
  Loaded loaded = copied ? *std::exchange(s.staged, std::nullopt) : *s.take(/*wait=*/true);
  ++s.position;
  if (loaded.error) {
    std::rethrow_exception(loaded.error);
  }
  Batch batch = copied ? std::move(loaded.batch) : s.to_device(std::move(loaded.batch));
  s.stage();
  return batch;
}

DataPosition DataLoader::position() const {
  return {state_->epoch, state_->position, state_->order()};
}

void DataLoader::restore(const DataPosition& position) {
  TORCH_CHECK_VALUE(position.order == state_->order(), "[DataLoader] the position belongs to another order of the data: got '",
                    position.order, "', expected '", state_->order(), "'");
  state_->go_to(position.epoch, position.batch);
}

const Dataset& DataLoader::dataset() const {
  return *state_->dataset;
}

const Sampler& DataLoader::sampler() const {
  return *state_->sampler;
}

const DataLoaderOptions& DataLoader::options() const {
  return state_->options;
}

}  // namespace torch_hpu
