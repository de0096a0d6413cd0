// Who is still there: every rank of a group leaves a sign of life in the group's store twice a second, with the number and the name of its
// last collective. Nothing acts on it; when a collective fails, diagnose() says which rank is to blame, and the first rank that finds one
// lost tells the others: some fail only when the next process ends, and with that, often, the store.
#pragma once

#include <torch/csrc/distributed/c10d/Store.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace torch_hpu::distributed {

class Liveness {
 public:
  // global_ranks: what the group's ranks are called in messages; empty: as they are in the group.
  Liveness(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size, std::vector<int64_t> global_ranks);
  ~Liveness();  // stop()
  Liveness(const Liveness&) = delete;
  Liveness& operator=(const Liveness&) = delete;

  void entered(const std::string& collective);  // this rank hands its next collective to the engine
  // Watches the others for up to three seconds: "rank 2 is lost: ...", or who waits for whom. Empty when nothing can be said. Where a rank
  // is lost, the answer stays, and rank 0 waits up to three seconds more until the others know it, too. Any thread.
  std::string diagnose();
  std::string rank_name(int rank) const;
  void stop();  // says goodbye to the others; harmless when repeated

 private:
  struct Sign {
    int64_t beat = -1, sequence = 0;
    std::string collective;
    bool left = false, knows = false;  // has said goodbye; knows of a lost rank
  };
  void beat();
  void publish();  // the goodbye once it is stopping
  Sign read(int rank);
  std::vector<Sign> read_all();  // by rank
  void tell(std::vector<int> lost);
  void learn();  // what another rank has told
  bool knows();
  std::string verdict();
  std::string conclude();  // the verdict; rank 0 waits until all the others know
  // Reads the signs of the ranks that are awaited, until none is or three seconds are over.
  void watch(std::vector<Sign>& signs, const std::function<bool(int)>& awaited);
  int64_t global_rank(int rank) const;

  const c10::intrusive_ptr<c10d::Store> store_;
  const int rank_, size_;
  const std::vector<int64_t> global_ranks_;
  std::mutex store_mutex_;  // of calls to the store, so that none waits behind another for long
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::atomic<bool> concluded_{false};
  int64_t beat_ = 0, sequence_ = 0;
  std::string collective_ = "nothing";
  std::vector<int> lost_;  // ranks that this rank or another has given up
  std::thread thread_;
};

}  // namespace torch_hpu::distributed
