#include "csrc/kernels/packed_weights.h"

#include <c10/util/Exception.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <list>
#include <mutex>
#include <unordered_map>

#include "csrc/kernels/shared.h"
#include "csrc/support/hash.h"
#include "csrc/support/packed_bytes.h"

namespace torch_hpu::kernels {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kIdle = std::chrono::seconds(5);  // a copy not used for so long may make room for another

struct Key {
  c10::SmallVector<uint64_t, 2> places;  // memory and offset of each source
  uint32_t layout;
  bool operator==(const Key&) const = default;
};

struct KeyHash {
  size_t operator()(const Key& k) const {
    return hash_words(k.places.data(), k.places.size(), k.layout);
  }
};

using Versions = c10::SmallVector<uint64_t, 1>;

struct Entry {
  Versions versions;
  size_t nbytes = 0;  // of `bytes`; 0: the version was seen once
  std::shared_ptr<const std::byte> bytes;
  Clock::time_point used;
  std::list<Key>::iterator place;  // in Store::order
};

struct Store {
  std::mutex mutex;
  std::unordered_map<Key, Entry, KeyHash> entries;
  std::list<Key> order;  // most recently used first
  size_t total = 0;
  size_t limit;

  // By default a quarter of the machine's memory.
  Store() : limit(static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) / 4 * static_cast<size_t>(sysconf(_SC_PAGESIZE))) {}

  void drop_bytes(Entry& e) {
    total -= e.nbytes;
    packed_bytes -= static_cast<int64_t>(e.nbytes);
    e.bytes.reset();
    e.nbytes = 0;
  }

  // Frees idle copies until `nbytes` more fit. Entries without bytes that nobody asks for go the same way.
  bool make_room(size_t nbytes, Clock::time_point now) {
    while (!order.empty() && (total + nbytes > limit || entries.size() > 65536)) {
      auto it = entries.find(order.back());
      if (now - it->second.used < kIdle) {
        break;
      }
      drop_bytes(it->second);
      order.pop_back();
      entries.erase(it);
    }
    return total + nbytes <= limit;
  }
};

Store& store() {
  static auto* instance = new Store;  // worker threads may ask until the process ends
  return *instance;
}

}  // namespace

uint32_t layout_id(const std::string& description) {
  static std::mutex mutex;
  static auto* ids = new std::unordered_map<std::string, uint32_t>;
  std::lock_guard<std::mutex> lock(mutex);
  return ids->emplace(key_here(description), static_cast<uint32_t>(ids->size())).first->second;
}

std::shared_ptr<const std::byte> packed_weight(c10::ArrayRef<WeightSource> sources, uint32_t layout, size_t nbytes,
                                               const std::function<void(std::byte*)>& pack) {
  Key key{{}, layout};
  Versions versions;
  for (const WeightSource& source : sources) {
    if (source.tag.memory == 0) {
      return nullptr;
    }
    key.places.append({source.tag.memory, static_cast<uint64_t>(source.offset)});
    versions.push_back(source.tag.version);
  }
  Store& s = store();
  const Clock::time_point now = Clock::now();
  {
    std::lock_guard<std::mutex> lock(s.mutex);
    if (s.limit == 0) {
      return nullptr;
    }
    auto [it, fresh] = s.entries.try_emplace(key);
    Entry& e = it->second;
    if (fresh) {
      s.order.push_front(key);
      e.place = s.order.begin();
    } else {
      s.order.splice(s.order.begin(), s.order, e.place);
    }
    e.used = now;
    if (fresh || e.versions != versions) {
      s.drop_bytes(e);
      e.versions = versions;
      return nullptr;
    }
    if (e.bytes != nullptr || !s.make_room(nbytes, now)) {
      return e.bytes;
    }
  }
  std::shared_ptr<const std::byte> bytes;
  {
    AlignedBytes copy = aligned_bytes(nbytes);
    pack(copy.get());
    bytes = std::shared_ptr<const std::byte>(copy.release(), [](const std::byte* p) { std::free(const_cast<std::byte*>(p)); });
  }
  std::lock_guard<std::mutex> lock(s.mutex);
  auto it = s.entries.find(key);
  if (it != s.entries.end() && it->second.versions == versions && it->second.bytes == nullptr && s.total + nbytes <= s.limit) {
    it->second.bytes = bytes;
    it->second.nbytes = nbytes;
    s.total += nbytes;
    packed_bytes += static_cast<int64_t>(nbytes);
  }
  return bytes;
}

void set_packed_limit(size_t nbytes) {
  Store& s = store();
  std::lock_guard<std::mutex> lock(s.mutex);
  s.limit = nbytes;
  if (nbytes == 0) {
    for (auto& [key, e] : s.entries) {
      s.drop_bytes(e);
    }
    s.entries.clear();
    s.order.clear();
  }
}

size_t packed_limit() {
  std::lock_guard<std::mutex> lock(store().mutex);
  return store().limit;
}

}  // namespace torch_hpu::kernels
