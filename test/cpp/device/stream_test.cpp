#include <c10/core/DeviceGuard.h>
#include <c10/core/StreamGuard.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "csrc/device/device.h"
#include "csrc/device/event.h"
#include "csrc/device/stream_queue.h"
#include "csrc/support/env.h"
#include "csrc/support/team.h"

namespace torch_hpu::device {
namespace {

// Closed until somebody opens it: a task that waits for it keeps its stream busy.
class Gate {
 public:
  void open() {
    std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

// Threads of this process.
int64_t count_threads() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator());
}

// Whether there will be so few, soon. Other tests' workers may give theirs back, too.
bool becomes(int64_t threads) {
  for (int i = 0; i < 500 && count_threads() > threads; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return count_threads() <= threads;
}

// What gives the calling thread a team of two.
void compute() {
  std::atomic<int> threads{0};
#pragma omp parallel num_threads(2)
  ++threads;
  EXPECT_EQ(threads, 2);
}

TEST(Team, IsReleasedAndMadeAnew) {
  std::thread([] {
    const int64_t before = count_threads();
    for (int i = 0; i < 3; ++i) {
      compute();
      EXPECT_EQ(count_threads(), before + 1);
      release_team();
      EXPECT_TRUE(becomes(before)) << count_threads() << " threads, expected " << before;
      release_team();  // harmless
    }
  }).join();
}

TEST(StreamQueue, AThreadThatWaitsForTheWorkerGivesItsTeamBack) {
  StreamQueue& queue = queue_of(new_stream(0));
  Gate begun, may_end, has_team;
  const uint64_t ticket = queue.enqueue([&] {
    begun.open();
    may_end.pass();
  });
  begun.pass();
  const int64_t before = count_threads();
  std::thread waiting([&] {
    compute();
    has_team.open();
    queue.wait(ticket);
  });
  has_team.pass();
  EXPECT_TRUE(becomes(before + 1)) << count_threads() << " threads, expected " << before + 1;
  may_end.open();
  waiting.join();
}

TEST(StreamQueue, AnIdleWorkerGivesItsTeamBack) {
  StreamQueue& queue = queue_of(new_stream(0));
  Gate done;
  queue.enqueue([&] { compute(); });
  queue.enqueue([&] { done.open(); });
  done.pass();
  const int64_t with_team = count_threads();
  EXPECT_TRUE(becomes(with_team - 1)) << count_threads() << " threads, expected " << with_team - 1;
}

TEST(StreamQueue, TasksRunInTheOrderOfTheirTickets) {
  StreamQueue& queue = queue_of(new_stream(0));
  EXPECT_EQ(queue.last_ticket(), 0);
  EXPECT_TRUE(queue.idle());
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(queue.enqueue([&order, i] { order.push_back(i); }, /*wake=*/i % 3 != 0), static_cast<uint64_t>(i + 1));
  }
  queue.wait(100);
  EXPECT_EQ(queue.finished_ticket(), 100);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(order.at(static_cast<size_t>(i)), i);
  }
}

TEST(StreamQueue, AWaitingThreadRunsTheTasksItself) {
  StreamQueue& queue = queue_of(new_stream(0));
  std::thread::id ran;
  const uint64_t ticket = queue.enqueue([&] { ran = std::this_thread::get_id(); }, /*wake=*/false);
  EXPECT_FALSE(queue.idle());
  queue.wait(ticket);
  EXPECT_EQ(ran, std::this_thread::get_id());
}

TEST(StreamQueue, TheWorkerRunsWhatNobodyWaitsFor) {
  StreamQueue& queue = queue_of(new_stream(0));
  Gate done;
  std::thread::id first, second;
  queue.enqueue([&] { first = std::this_thread::get_id(); }, /*wake=*/false);
  queue.enqueue(
      [&] {
        second = std::this_thread::get_id();
        done.open();
      },
      /*wake=*/true);  // takes the one before it along
  done.pass();
  EXPECT_EQ(first, second);
  EXPECT_NE(first, std::this_thread::get_id());
}

TEST(StreamQueue, ACallersOwnTaskTakesItsTurn) {
  StreamQueue& queue = queue_of(new_stream(0));
  const uint64_t ticket = queue.begin_here();
  EXPECT_EQ(ticket, 1);
  EXPECT_EQ(queue.begin_here(), 0) << "one is running";
  bool ended = false, after = false;
  const uint64_t next = queue.enqueue([&] { after = ended; });
  EXPECT_EQ(next, 2);
  std::thread waiting([&] { queue.wait(next); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(queue.finished_ticket(), 0);
  ended = true;
  queue.end_here();
  waiting.join();
  EXPECT_TRUE(after);
  EXPECT_TRUE(queue.idle());
  const uint64_t queued = queue.enqueue([] {}, /*wake=*/false);
  EXPECT_EQ(queue.begin_here(), 0) << "one is queued";
  queue.wait(queued);
  EXPECT_EQ(queue.begin_here(), 4);
  queue.end_here();
}

TEST(StreamQueue, ADeviceIsIdleWhenAllItsStreamsAre) {
  StreamQueue& queue = queue_of(new_stream(0));
  wait_all(0);  // for what other tests left
  EXPECT_TRUE(idle(0));
  const uint64_t ticket = queue.enqueue([] {}, /*wake=*/false);
  EXPECT_FALSE(idle(0));
  EXPECT_TRUE(idle(1));
  queue.wait(ticket);
  EXPECT_TRUE(idle(0));
}

TEST(StreamQueue, SeveralThreadsWaitForOneTask) {
  StreamQueue& queue = queue_of(new_stream(0));
  Gate gate;
  std::atomic<bool> ran{false};
  queue.enqueue([&] { gate.pass(); }, /*wake=*/true);
  const uint64_t ticket = queue.enqueue([&] { ran = true; }, /*wake=*/true);
  std::atomic<int> early{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      queue.wait(ticket);
      early += !ran;
    });
  }
  gate.open();
  for (auto& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(early, 0);
}

TEST(StreamQueue, StreamsWaitForEachOther) {
  StreamQueue &a = queue_of(new_stream(0)), &b = queue_of(new_stream(0));
  Gate gate;
  int value = 0, seen = 0;
  const uint64_t ticket = a.enqueue(
      [&] {
        gate.pass();
        value = 5;
      },
      /*wake=*/true);
  const uint64_t last = b.enqueue(
      [&] {
        a.wait(ticket);
        seen = value;
      },
      /*wake=*/true);
  EXPECT_LT(b.finished_ticket(), last);
  gate.open();
  b.wait(last);
  EXPECT_EQ(seen, 5);
}

TEST(StreamQueue, WhatATaskHoldsIsFreedBeforeItCountsAsFinished) {
  StreamQueue& queue = queue_of(new_stream(0));
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = held;
  const uint64_t ticket = queue.enqueue([held = std::move(held)] {}, /*wake=*/true);
  queue.wait(ticket);
  EXPECT_TRUE(watch.expired());
}

TEST(StreamQueue, QueuesAreKnownByDevice) {
  const c10::Stream stream = new_stream(0);
  StreamQueue& queue = queue_of(stream);
  EXPECT_EQ(&queue_of(stream), &queue);
  const auto streams = streams_of(0);
  EXPECT_NE(std::find(streams.begin(), streams.end(), stream), streams.end());
  std::atomic<bool> ran{false};
  queue.enqueue([&] { ran = true; }, /*wake=*/false);
  wait_all(0);
  EXPECT_TRUE(ran);
}

TEST(Event, AnEventPassesWhenItsStreamGetsThere) {
  const c10::Stream stream = new_stream(0);
  EventState event(/*timing=*/false);
  EXPECT_TRUE(event.query());  // never recorded
  Gate gate;
  queue_of(stream).enqueue([&] { gate.pass(); }, /*wake=*/true);
  event.record(stream);
  EXPECT_FALSE(event.query());
  gate.open();
  event.synchronize();
  EXPECT_TRUE(event.query());
}

TEST(Event, ABlockedStreamWaits) {
  const c10::Stream first = new_stream(0), second = new_stream(0);
  EventState event(/*timing=*/false);
  Gate gate;
  queue_of(first).enqueue([&] { gate.pass(); }, /*wake=*/true);
  event.record(first);
  event.block(second);
  std::atomic<bool> ran{false};
  const uint64_t ticket = queue_of(second).enqueue([&] { ran = true; }, /*wake=*/true);
  EXPECT_FALSE(ran);
  gate.open();
  queue_of(second).wait(ticket);
  EXPECT_TRUE(ran && event.query());
}

TEST(Event, Timing) {
  const c10::Stream stream = new_stream(0);
  EventState begin(/*timing=*/true), end(/*timing=*/true), plain(/*timing=*/false);
  begin.record(stream);
  queue_of(stream).enqueue([] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); }, /*wake=*/true);
  end.record(stream);
  plain.record(stream);
  plain.synchronize();
  EXPECT_GE(begin.elapsed_ms(end), 20);
  EXPECT_LT(begin.elapsed_ms(end), 20000);
  EXPECT_THROW(begin.elapsed_ms(plain), c10::Error);
  EXPECT_THROW(begin.elapsed_ms(EventState(/*timing=*/true)), c10::Error);
}

TEST(Event, ElapsedTimeNeedsEventsThatHavePassed) {
  const c10::Stream stream = new_stream(0);
  EventState begin(/*timing=*/true), end(/*timing=*/true);
  Gate gate;
  begin.record(stream);
  queue_of(stream).enqueue([&] { gate.pass(); }, /*wake=*/true);
  end.record(stream);
  EXPECT_THROW(begin.elapsed_ms(end), c10::Error);
  gate.open();
  end.synchronize();
  EXPECT_GE(begin.elapsed_ms(end), 0);
}

TEST(Guard, CurrentStreamsBelongToThreads) {
  const c10::Stream stream = new_stream(0);
  EXPECT_NE(stream, default_stream(0));
  {
    const c10::StreamGuard guard(stream);
    EXPECT_EQ(current_stream(0), stream);
    std::thread([&] { EXPECT_EQ(current_stream(0), default_stream(0)); }).join();
  }
  EXPECT_EQ(current_stream(0), default_stream(0));
  EXPECT_EQ(exchange_stream(stream), default_stream(0));
  EXPECT_EQ(exchange_stream(default_stream(0)), stream);
}

TEST(Guard, Devices) {
  set_option("devices", "2");
  EXPECT_EQ(device_count(), 2);
  {
    const c10::DeviceGuard guard(c10::Device(c10::DeviceType::PrivateUse1, 1));
    EXPECT_EQ(current_device(), 1);
    EXPECT_EQ(default_stream(1).device_index(), 1);
  }
  EXPECT_EQ(current_device(), 0);
  EXPECT_THROW(set_device(2), c10::Error);
  EXPECT_THROW(set_device(-1), c10::Error);
  set_option("devices", "1");
}

}  // namespace
}  // namespace torch_hpu::device
