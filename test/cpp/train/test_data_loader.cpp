// Batches: their order, workers, errors in their turn, going on in the middle, and the way to the device.
#include <gtest/gtest.h>
#include <torch_hpu/device.h>
#include <torch_hpu/event.h>
#include <torch_hpu/lazy.h>
#include <torch_hpu/training_data.h>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <set>
#include <thread>

namespace {

using torch_hpu::Batch;
using torch_hpu::DataLoader;
using torch_hpu::DataLoaderOptions;
using torch_hpu::Example;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

template <typename F>
void expect_error(F f, const std::string& text) {
  try {
    f();
    ADD_FAILURE() << "no error; expected one with: " << text;
  } catch (const c10::Error& error) {
    EXPECT_NE(std::string(error.what_without_backtrace()).find(text), std::string::npos) << error.what_without_backtrace();
  }
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Example i is {"x": [i, i]}. Counts what was loaded; some examples are slow, some are broken.
struct Numbers : torch_hpu::Dataset {
  explicit Numbers(int64_t n) : n(n) {}
  int64_t size() const override {
    return n;
  }
  Example get(int64_t index) const override {
    if (delay.count() > 0) {
      std::this_thread::sleep_for(index % 3 == 0 ? delay : delay / 4);
    }
    {
      const std::lock_guard lock(mutex);
      loaded.push_back(index);
      threads.insert(std::this_thread::get_id());
    }
    if (broken.count(index) > 0) {
      throw std::out_of_range("bad page");
    }
    return {{"x", at::full({2}, index, at::kLong)}};
  }
  size_t count() const {
    const std::lock_guard lock(mutex);
    return loaded.size();
  }
  int64_t n;
  std::chrono::microseconds delay{0};
  std::set<int64_t> broken;
  mutable std::mutex mutex;
  mutable std::vector<int64_t> loaded;
  mutable std::set<std::thread::id> threads;
};

std::shared_ptr<torch_hpu::Sampler> in_order(int64_t size) {
  return std::make_shared<torch_hpu::SequentialSampler>(size);
}

std::vector<int64_t> column(const at::Tensor& x) {
  const at::Tensor cpu = x.cpu().select(1, 0).contiguous();
  return {cpu.const_data_ptr<int64_t>(), cpu.const_data_ptr<int64_t>() + cpu.numel()};
}

std::vector<std::vector<int64_t>> rest(DataLoader& loader) {
  std::vector<std::vector<int64_t>> batches;
  while (const auto batch = loader.next()) {
    batches.push_back(column(batch->at("x")));
  }
  return batches;
}

DataLoaderOptions options(int64_t batch_size, int num_workers) {
  DataLoaderOptions o;
  o.batch_size = batch_size;
  o.num_workers = num_workers;
  return o;
}

TEST(Loader, SameBatchesWithAnyNumberOfWorkers) {
  const auto data = std::make_shared<Numbers>(103);
  const auto sampler = std::make_shared<torch_hpu::RandomSampler>(103, 1);
  std::vector<std::vector<int64_t>> expected;
  for (const int workers : {0, 1, 2, 5}) {
    data->delay = workers > 1 ? 200us : 0us;  // workers finish out of order
    DataLoader loader(data, sampler, options(8, workers));
    EXPECT_EQ(loader.size(), 13);
    std::vector<std::vector<int64_t>> got;
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      loader.start_epoch(epoch);
      const auto batches = rest(loader);
      ASSERT_EQ(batches.size(), 13u);
      EXPECT_EQ(batches.back().size(), 7u);
      EXPECT_FALSE(loader.next().has_value());
      got.insert(got.end(), batches.begin(), batches.end());
    }
    EXPECT_NE(got[0], got[13]);
    expected = expected.empty() ? got : expected;
    EXPECT_EQ(got, expected) << workers << " workers";
  }
}

TEST(Loader, DropsTheLastBatch) {
  auto o = options(8, 0);
  o.drop_last = true;
  DataLoader loader(std::make_shared<Numbers>(15), in_order(15), o);
  EXPECT_EQ(loader.size(), 1);
  EXPECT_EQ(rest(loader).size(), 1u);
  DataLoader empty(std::make_shared<Numbers>(0), in_order(0), options(8, 2));
  EXPECT_FALSE(empty.next().has_value());
}

TEST(Loader, GoesOnInTheMiddle) {
  for (const int workers : {0, 3}) {
    const auto data = std::make_shared<Numbers>(64);
    const auto sampler = std::make_shared<torch_hpu::RandomSampler>(64, 9);
    DataLoader first(data, sampler, options(4, workers));
    first.start_epoch(2);
    for (int i = 0; i < 11; ++i) {
      first.next();
    }
    const torch_hpu::DataPosition position = first.position();  // not disturbed by what is loaded ahead
    EXPECT_EQ(position.epoch, 2);
    EXPECT_EQ(position.batch, 11);
    const auto expected = rest(first);
    const auto fresh = std::make_shared<Numbers>(64);
    DataLoader second(fresh, sampler, options(4, workers));
    second.restore(position);
    EXPECT_EQ(rest(second), expected);
    EXPECT_EQ(fresh->count(), 20u);  // 5 batches of 4: what was skipped is not loaded
    first.restore(position);         // also in a loader that is at work
    first.next();
    first.restore(position);
    EXPECT_EQ(rest(first), expected);
    EXPECT_EQ(first.position().batch, 16);
    first.restore(first.position());  // the end of an epoch is a position too
    EXPECT_FALSE(first.next().has_value());
  }
  DataLoader loader(std::make_shared<Numbers>(64), in_order(64), options(4, 0));
  expect_error([&] { loader.restore({0, 3, "random(size=64, seed=9, num_samples=64); batch_size=4; drop_last=false"}); },
               "[DataLoader] the position belongs to another order of the data: got 'random(size=64, seed=9");
  expect_error([&] { loader.start_epoch(0, 17); }, "[DataLoader] batch: got 17, expected 0 to 16");
  expect_error([&] { loader.start_epoch(-1); }, "[DataLoader] epoch: got -1");
}

TEST(Loader, ErrorsComeInTheirTurn) {
  for (const int workers : {0, 1, 4}) {
    const auto data = std::make_shared<Numbers>(20);
    data->broken = {9, 13};
    DataLoader loader(data, in_order(20), options(4, workers));
    EXPECT_EQ(column(loader.next()->at("x")), (std::vector<int64_t>{0, 1, 2, 3}));
    EXPECT_TRUE(loader.next().has_value());
    expect_error([&] { loader.next(); },
                 "[DataLoader] batch 2 of epoch 0 (examples 8, 9, 10, 11) cannot be made: [Dataset] example 9 cannot be loaded: bad page");
    expect_error([&] { loader.next(); }, "example 13 cannot be loaded");
    EXPECT_EQ(column(loader.next()->at("x")), (std::vector<int64_t>{16, 17, 18, 19}));  // what is whole can still be had
    EXPECT_FALSE(loader.next().has_value());
  }
  auto o = options(4, 2);
  o.collate = [](const std::vector<Example>&) -> Batch { throw 42; };
  DataLoader collating(std::make_shared<Numbers>(20), in_order(20), o);
  expect_error([&] { collating.next(); },
               "batch 0 of epoch 0 (examples 0, 1, 2, 3) cannot be made: an exception that is no std::exception");
  DataLoader beyond(std::make_shared<Numbers>(2), in_order(3), options(4, 1));
  expect_error([&] { beyond.next(); }, "[Dataset] example 2 does not exist: the dataset has 2");
}

TEST(Loader, CollatesAsTold) {
  auto o = options(3, 2);
  o.collate = [](const std::vector<Example>& examples) {
    Batch batch = torch_hpu::PadCollate()(examples);
    batch["sum"] = batch.at("x").sum(1);
    return batch;
  };
  DataLoader loader(std::make_shared<Numbers>(3), in_order(3), o);
  EXPECT_EQ(loader.next()->at("sum")[2].item<int64_t>(), 4);
}

TEST(Loader, LoadsOnOneThreadEach) {
  struct Threads : torch_hpu::Dataset {
    int64_t size() const override {
      return 8;
    }
    Example get(int64_t) const override {
      return {{"x", at::full({1}, at::get_num_threads(), at::kLong)}};
    }
  };
  const int before = at::get_num_threads();
  for (const int workers : {0, 2}) {
    DataLoader loader(std::make_shared<Threads>(), in_order(8), options(8, workers));
    EXPECT_EQ(loader.next()->at("x").max().item<int64_t>(), 1);
  }
  EXPECT_EQ(at::get_num_threads(), before);
}

TEST(Loader, LoadsAheadButNoFurtherThanAsked) {
  const auto data = std::make_shared<Numbers>(1000);
  auto o = options(1, 2);
  o.prefetch_factor = 3;
  DataLoader loader(data, in_order(1000), o);
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(data->count(), 0u);  // nothing before the first next()
  loader.next();
  for (int i = 0; i < 200 && data->count() < 7; ++i) {
    std::this_thread::sleep_for(5ms);
  }
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(data->count(), 7u);  // one given out, 2 * 3 ahead
  const std::lock_guard lock(data->mutex);
  EXPECT_EQ(data->threads.count(std::this_thread::get_id()), 0u);
}

TEST(Loader, WorkersWorkAtTheSameTime) {
  const auto data = std::make_shared<Numbers>(24);
  data->delay = 10ms;  // sleeping needs no core
  const auto run = [&](int workers) {
    DataLoader loader(data, in_order(24), options(2, workers));
    const auto start = Clock::now();
    rest(loader);
    return seconds_since(start);
  };
  const double alone = run(0), together = run(4);
  EXPECT_LT(together, alone * 0.6) << alone << " s alone";
}

TEST(Loader, StopsAtOnce) {
  const auto data = std::make_shared<Numbers>(100000);
  data->delay = 20ms;
  const auto start = Clock::now();
  auto o = options(1, 4);
  o.prefetch_factor = 100;  // 8 s of work are claimed or waiting
  auto loader = std::make_unique<DataLoader>(data, in_order(100000), o);
  loader->next();
  loader.reset();
  EXPECT_LT(seconds_since(start), 1.0);
}

TEST(Loader, AbandonsBatchesThatNobodyWaitsFor) {
  struct Gate : torch_hpu::Dataset {
    int64_t size() const override {
      return 10000;
    }
    Example get(int64_t index) const override {
      if (index == 0) {
        throw std::runtime_error("gate");  // batch 0 fails at once, the others are slow
      }
      ++calls;
      std::this_thread::sleep_for(2ms);
      return {{"x", at::ones({1})}};
    }
    mutable std::atomic<int> calls{0};
  };
  const auto data = std::make_shared<Gate>();
  const auto start = Clock::now();
  {
    DataLoader loader(data, in_order(10000), options(5000, 2));
    EXPECT_THROW(loader.next(), c10::Error);
    std::this_thread::sleep_for(30ms);
  }
  EXPECT_LT(seconds_since(start), 2.0);  // not the 10 s of the batch at hand
  EXPECT_GT(data->calls, 0);
  EXPECT_LT(data->calls, 2000);
}

TEST(Loader, BatchesOnTheDevice) {
  for (const int workers : {0, 2}) {
    auto o = options(4, workers);
    o.device = torch_hpu::kDevice;
    o.pin_memory = true;
    const auto data = std::make_shared<Numbers>(18);
    data->broken = {9};
    DataLoader loader(data, in_order(18), o);
    at::Tensor sum;
    int64_t batches = 0, errors = 0;
    for (; batches + errors < loader.size();) {
      try {
        const auto batch = loader.next();
        ASSERT_TRUE(batch.has_value());
        EXPECT_EQ(batch->at("x").device(), torch_hpu::kDevice);
        const at::Tensor part = batch->at("x").sum();
        sum = sum.defined() ? sum + part : part;
        ++batches;
        torch_hpu::mark_step();
      } catch (const c10::Error&) {
        ++errors;
      }
    }
    EXPECT_FALSE(loader.next().has_value());
    EXPECT_EQ(batches, 4);
    EXPECT_EQ(errors, 1);
    EXPECT_EQ(sum.item<int64_t>(), 2 * (17 * 18 / 2 - (8 + 9 + 10 + 11)));
  }
  auto host = options(4, 1);
  host.pin_memory = true;
  DataLoader pinned(std::make_shared<Numbers>(4), in_order(4), host);
  EXPECT_TRUE(pinned.next()->at("x").is_pinned());
}

TEST(Loader, CopiesDoNotWaitForTheDevice) {
  auto o = options(64, 1);
  o.device = torch_hpu::kDevice;
  o.pin_memory = true;
  DataLoader loader(std::make_shared<Numbers>(640), in_order(640), o);
  at::Tensor x = at::ones({768, 768}, torch_hpu::kDevice);
  loader.next();
  bool overlapped = false;
  for (int attempt = 0; attempt < 8 && !overlapped; ++attempt) {
    torch_hpu::synchronize();
    for (int i = 0; i < 20; ++i) {
      x = x.matmul(x) * 1e-3;
    }
    torch_hpu::mark_step();
    torch_hpu::Event end;
    end.record();
    const auto batch = loader.next();
    overlapped = batch.has_value() && !end.query();  // the batch is there before the work recorded earlier is done
    EXPECT_EQ(batch->at("x").cpu()[0][0].item<int64_t>(), 64 * (attempt + 1));
  }
  EXPECT_TRUE(overlapped);
}

TEST(Loader, ManyStartsAndStops) {
  const auto data = std::make_shared<Numbers>(64);
  const auto sampler = std::make_shared<torch_hpu::RandomSampler>(64, 0);
  for (int i = 0; i < 50; ++i) {
    DataLoader loader(data, sampler, options(3, 1 + i % 4));
    for (int64_t epoch = 0; epoch < 4; ++epoch) {
      loader.start_epoch(epoch, (i + epoch) % 20);
      for (int64_t n = 0; n < i % 5; ++n) {
        loader.next();
      }
    }
  }
}

TEST(Loader, RefusesBadOptions) {
  const auto data = std::make_shared<Numbers>(4);
  expect_error([&] { DataLoader(data, in_order(4), options(0, 0)); }, "[DataLoader] batch_size: got 0, expected at least 1");
  expect_error([&] { DataLoader(data, in_order(4), options(1, -1)); }, "[DataLoader] num_workers: got -1, expected 0 or more");
  auto o = options(1, 1);
  o.prefetch_factor = 0;
  expect_error([&] { DataLoader(data, in_order(4), o); }, "[DataLoader] prefetch_factor: got 0");
  expect_error([&] { DataLoader(nullptr, in_order(4)); }, "[DataLoader] dataset: got none");
  expect_error([&] { DataLoader(data, nullptr); }, "[DataLoader] sampler: got none");
}

}  // namespace
