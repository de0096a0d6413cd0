#include "csrc/compiler/passes/cse.h"

#include <c10/util/hash.h>

#include <algorithm>
#include <unordered_map>

#include "csrc/ir/op.h"
#include "csrc/ir/relation.h"
#include "csrc/ir/words.h"

namespace torch_hpu::compiler {
namespace {

constexpr size_t kNear = 8;
constexpr size_t kAlways = SIZE_MAX;

using Key = std::vector<uint64_t>;

// Who touches a buffer. Nodes are named by their position.
struct History {
  std::vector<size_t> writes;                          // ascending
  std::vector<std::pair<size_t, ir::WindowId>> reads;  // by these nodes through these windows
  size_t needed = 0;                                   // the last node that reads it; kAlways: somebody may do so after the graph
  uint64_t value = 0;                                  // names the bytes it holds at the node that is looked at; 0: undefined ones
};

class Numbering {
 public:
  explicit Numbering(ir::Graph& graph)
      : graph_(graph), histories_(graph.buffers.size()), reader_(graph.windows.size(), kNobody), writer_(reader_) {
    for (size_t b = 0; b < histories_.size(); ++b) {
      const bool input = graph.buffers[b].kind == ir::BufferKind::kInput;
      histories_[b].value = input ? ++last_value_ : 0;
      histories_[b].needed = input || graph.buffers[b].observable ? kAlways : 0;
    }
    for (size_t n = 0; n < graph.nodes.size(); ++n) {
      add(n);
    }
  }

  void run() {
    std::vector<ir::Node> kept;
    for (size_t n = 0; n < graph_.nodes.size(); ++n) {
      if (!duplicate(n)) {
        kept.push_back(std::move(graph_.nodes[n]));
      }
    }
    graph_.nodes = std::move(kept);
  }

 private:
  static constexpr size_t kNobody = SIZE_MAX, kSeveral = SIZE_MAX - 1;

  struct Class {
    size_t node;  // the one whose results equal nodes may share
    std::vector<ir::WindowId> writes;
    uint64_t first_value;  // of write 0; the others count on
  };

  template <typename F>
  void for_each_read(const ir::Node& node, F f) const {
    for (const ir::Arg& arg : node.args) {
      if (arg.kind == ir::Arg::Kind::kWindow) {
        f(arg.index);
      } else if (arg.kind == ir::Arg::Kind::kWindowList) {
        for (uint32_t k = 0; k < arg.count; ++k) {
          if (const ir::WindowId w = graph_.list_items[arg.index + k]; w != ir::kNone) {
            f(w);
          }
        }
      }
    }
  }

  History& history(ir::WindowId w) {
    return histories_[graph_.windows[w].buffer];
  }

  void add(size_t n) {
    for_each_read(graph_.nodes[n], [&](ir::WindowId w) {
      History& h = history(w);
      h.reads.emplace_back(n, w);
      h.needed = std::max(h.needed, n);
      note(reader_[w], n);
    });
    for (ir::WindowId w : graph_.nodes[n].writes) {
      if (w != ir::kNone) {
        history(w).writes.push_back(n);
        note(writer_[w], n);
      }
    }
  }

  static void note(size_t& who, size_t n) {
    who = who == kNobody || who == n ? n : kSeveral;
  }

  // Numbers what node `n` computes; true when it needs not, because others now read what an equal node has computed.
  bool duplicate(size_t n) {
    const ir::Node& node = graph_.nodes[n];
    uint64_t first_value = last_value_ + 1;
    bool shared = false, known = false;
    if (comparable(node)) {
      const auto [it, added] = classes_.try_emplace(key_of(node), Class{n, {node.writes.begin(), node.writes.end()}, first_value});
      Class& equal = it->second;
      known = !added;
      if (known) {
        first_value = equal.first_value;
        shared = can_share(equal, n);
        if (shared) {
          share(equal, n);
        } else if (std::all_of(node.writes.begin(), node.writes.end(),
                               [&](ir::WindowId w) { return w == ir::kNone || history(w).writes.back() == n; })) {
          equal.node = n;  // its results stay: the better offer for what follows
          equal.writes.assign(node.writes.begin(), node.writes.end());
        }
      }
    }
    last_value_ += known ? 0 : node.writes.size();
    for (size_t i = 0; i < node.writes.size() && !shared; ++i) {
      if (node.writes[i] != ir::kNone) {
        history(node.writes[i]).value = first_value + i;
      }
    }
    return shared;
  }

  bool comparable(const ir::Node& node) const {
    if (node.mutating || node.op->random || node.rng != ir::kNone || node.writes.empty() || !node.op->name.starts_with("aten::") ||
        node.op->handle.hasTag(at::Tag::nondeterministic_seeded)) {
      return false;
    }
    for (size_t i = 0; i < node.writes.size(); ++i) {  // what holds two of its results has no single value
      for (size_t k = 0; k < i; ++k) {
        if (node.writes[i] != ir::kNone && node.writes[k] != ir::kNone &&
            graph_.windows[node.writes[i]].buffer == graph_.windows[node.writes[k]].buffer) {
          return false;
        }
      }
    }
    return true;
  }

  void append_window(c10::SmallVectorImpl<uint64_t>& words, ir::WindowId id) const {
    const ir::Window& w = graph_.windows[id];
    const bool placed = ir::comparable(graph_, w);
    words.push_back(static_cast<uint64_t>(w.dtype) | static_cast<uint64_t>(w.conj) << 8 | static_cast<uint64_t>(w.neg) << 9 |
                    static_cast<uint64_t>(placed) << 10 | w.sizes.size() << 16);
    words.append(w.sizes.begin(), w.sizes.end());
    words.append(w.strides.begin(), w.strides.end());
    words.push_back(placed ? static_cast<uint64_t>(w.offset) : id);
    words.push_back(histories_[w.buffer].value);
  }

  Key key_of(const ir::Node& node) const {
    c10::SmallVector<uint64_t, 64> words;
    words.push_back(static_cast<uint64_t>(node.op->id) << 1 | static_cast<uint64_t>(node.recomputed));
    for (const ir::Arg& arg : node.args) {
      words.push_back(static_cast<uint64_t>(arg.kind) | static_cast<uint64_t>(arg.wrapped) << 8 | static_cast<uint64_t>(arg.dtype) << 16);
      switch (arg.kind) {
        case ir::Arg::Kind::kNone:
          break;
        case ir::Arg::Kind::kWindow:
          append_window(words, arg.index);
          break;
        case ir::Arg::Kind::kWindowList:
          words.push_back(arg.count);
          for (uint32_t k = 0; k < arg.count; ++k) {
            const ir::WindowId w = graph_.list_items[arg.index + k];
            words.push_back(w == ir::kNone);
            if (w != ir::kNone) {
              append_window(words, w);
            }
          }
          break;
        case ir::Arg::Kind::kScalar:
        case ir::Arg::Kind::kScalarTensor:
          words.push_back(arg.index);
          break;
        case ir::Arg::Kind::kConst:
          ir::append_words(words, arg.value);
          break;
      }
    }
    for (ir::WindowId w : node.writes) {
      words.push_back(w == ir::kNone);
      if (w != ir::kNone) {
        append_window(words, w);
        words.push_back(static_cast<uint64_t>(graph_.buffers[graph_.windows[w].buffer].nbytes));
      }
    }
    return {words.begin(), words.end()};
  }

  // Whether everybody who reads results of node `n` can read those of `equal` instead.
  bool can_share(const Class& equal, size_t n) {
    const ir::Node& node = graph_.nodes[n];
    for (size_t i = 0; i < node.writes.size(); ++i) {
      if (node.writes[i] == ir::kNone) {
        continue;
      }
      if (equal.writes[i] == ir::kNone) {
        return false;
      }
      const ir::BufferId from = graph_.windows[node.writes[i]].buffer, to = graph_.windows[equal.writes[i]].buffer;
      const History &theirs = histories_[from], &ours = histories_[to];
      const bool local = graph_.buffers[from].kind == ir::BufferKind::kLocal && graph_.buffers[to].kind == ir::BufferKind::kLocal;
      if (!local || from == to || theirs.needed == kAlways || theirs.writes.back() != n || ours.value != equal.first_value + i) {
        return false;
      }
      if (std::max(ours.needed, equal.node) < n && n - std::max(ours.needed, equal.node) > kNear) {
        return false;
      }
      const auto overwrite = std::upper_bound(ours.writes.begin(), ours.writes.end(), n);
      if (overwrite != ours.writes.end() && *overwrite <= theirs.needed) {
        return false;
      }
      for (const auto& [reader, window] : theirs.reads) {
        const size_t writer = writer_[window];
        if (reader > n && (reader_[window] == kSeveral || (writer != kNobody && writer != n))) {  // it would move for another node, too
          return false;
        }
      }
    }
    return true;
  }

  void share(const Class& equal, size_t n) {
    const ir::Node& node = graph_.nodes[n];
    for (size_t i = 0; i < node.writes.size(); ++i) {
      if (node.writes[i] == ir::kNone) {
        continue;
      }
      const ir::BufferId to = graph_.windows[equal.writes[i]].buffer;
      const History& theirs = history(node.writes[i]);
      History& ours = histories_[to];
      for (const auto& [reader, window] : theirs.reads) {
        if (reader > n) {
          graph_.windows[window].buffer = to;
          ours.reads.emplace_back(reader, window);
        }
      }
      ours.needed = std::max(ours.needed, theirs.needed);
    }
  }

  ir::Graph& graph_;
  std::vector<History> histories_;       // by buffer
  std::vector<size_t> reader_, writer_;  // by window: the node that does, kNobody or kSeveral
  std::unordered_map<Key, Class, c10::hash<Key>> classes_;
  uint64_t last_value_ = 0;
};

}  // namespace

void share_equal_nodes(ir::Graph& graph) {
  Numbering(graph).run();
}

}  // namespace torch_hpu::compiler
