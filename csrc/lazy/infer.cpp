#include "csrc/lazy/infer.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "csrc/support/hash.h"

namespace torch_hpu::lazy {
namespace {

struct Entry {
  Words words;
  std::shared_ptr<const Metas> metas;
};

struct Cache {
  std::mutex mutex;
  std::unordered_multimap<uint64_t, Entry> entries;
};

constexpr size_t kCapacity = 1 << 16;  // varying shapes must not grow memory for ever: a full cache starts anew

Cache& cache() {
  static auto* instance = new Cache;
  return *instance;
}

void insert(const Call& call, uint64_t hash, std::shared_ptr<const Metas> metas) {
  Cache& c = cache();
  std::lock_guard<std::mutex> lock(c.mutex);
  if (c.entries.size() >= kCapacity) {
    c.entries.clear();
  }
  c.entries.emplace(hash, Entry{Words(call.words.begin(), call.words.end()), std::move(metas)});
}

}  // namespace

std::shared_ptr<const Metas> infer(const Call& call, c10::function_ref<void()> check) {
  const uint64_t hash = hash_words(call.words.data(), call.words.size());
  {
    Cache& c = cache();
    std::lock_guard<std::mutex> lock(c.mutex);
    auto [first, last] = c.entries.equal_range(hash);
    for (auto it = first; it != last; ++it) {
      if (std::equal(it->second.words.begin(), it->second.words.end(), call.words.begin(), call.words.end())) {
        return it->second.metas;
      }
    }
  }
  if (call.op->infer == nullptr) {
    return nullptr;
  }
  auto metas = std::make_shared<Metas>();
  ir::InferContext context{*call.op, call.args, call.windows, call.list_items, call.scalars, *metas};
  call.op->infer(context);
  check();
  insert(call, hash, metas);
  return metas;
}

void learn(const Call& call, Metas metas) {
  insert(call, hash_words(call.words.data(), call.words.size()), std::make_shared<const Metas>(std::move(metas)));
}

}  // namespace torch_hpu::lazy
