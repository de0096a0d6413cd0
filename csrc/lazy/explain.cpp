#include "csrc/lazy/explain.h"

#include <algorithm>
#include <bit>
#include <deque>
#include <mutex>
#include <sstream>

#include "csrc/ir/op.h"
#include "csrc/lazy/place.h"
#include "csrc/lazy/words.h"
#include "csrc/support/counters.h"
#include "csrc/support/log.h"

namespace torch_hpu::lazy {
namespace {

constexpr size_t kRemembered = 256;                   // graphs, and sentences
constexpr size_t kRememberedWords = size_t{4} << 20;  // of all graphs together

struct Known {
  std::string label;
  Words words;
  std::vector<uint32_t> nodes;
  std::vector<bool> observable;
};

struct History {
  std::mutex mutex;
  std::deque<Known> graphs;  // newest first
  size_t words = 0;
  std::deque<std::string> reasons;
};

History& history() {
  static auto* instance = new History;
  return *instance;
}

struct Reason {
  std::string cause, detail;
};

// One argument's words, or one item of a list.
struct Field {
  const uint64_t* begin;
  Head head;
  explicit Field(const uint64_t* words) : begin(words), head(*words) {}

  std::vector<int64_t> dims(size_t first) const {
    return {begin + 1 + first, begin + 1 + first + head.c};
  }
  bool is(Tag tag) const {
    return head.tag == tag;
  }
  size_t size() const {
    switch (head.tag) {
      case Tag::kTensor:
        return 1 + 2 * head.c;
      case Tag::kConst:
        return constant_size(begin);
      default:
        return 1;
    }
  }

 private:
  static size_t constant_size(const uint64_t* words) {
    const uint64_t n = words[1];
    switch (static_cast<ir::Constant>(Head(words[0]).a)) {
      case ir::Constant::kIntList:
      case ir::Constant::kDoubleList:
      case ir::Constant::kBoolList:
        return 2 + n;
      case ir::Constant::kString:
        return 2 + (n + 7) / 8;
      case ir::Constant::kComplex:
        return 3;
      case ir::Constant::kList: {
        size_t size = 2;
        for (uint64_t i = 0; i < n; ++i) {
          size += constant_size(words + size);
        }
        return size;
      }
      default:
        return 2;
    }
  }
};

std::string text(const std::vector<int64_t>& list) {
  std::ostringstream out;
  out << c10::IntArrayRef(list);
  return out.str();
}

std::string constant_text(const Field& f) {
  const uint64_t value = f.begin[1];
  switch (static_cast<ir::Constant>(f.head.a)) {
    case ir::Constant::kBool:
      return value != 0 ? "true" : "false";
    case ir::Constant::kInt:
      return std::to_string(static_cast<int64_t>(value));
    case ir::Constant::kDouble:
      return std::to_string(std::bit_cast<double>(value));
    case ir::Constant::kIntList:
      return text({f.begin + 2, f.begin + 2 + value});
    default:
      return "another value";
  }
}

std::string now_and_then(const std::string& now, const std::string& then, const std::string& label) {
  return now + ", in graph " + label + " it was " + then;
}

// How two different spellings of one argument differ.
Reason compare(const Field& now, const Field& then, const std::string& name, const std::string& label) {
  if (now.head.tag != then.head.tag) {
    return {"argument", name + " is of another kind than in graph " + label};
  }
  if (now.is(Tag::kConst)) {
    return {"constant", name + " is " + now_and_then(constant_text(now), constant_text(then), label)};
  }
  if (now.is(Tag::kList)) {
    return {"argument", name + " has " + now_and_then(std::to_string(now.head.c) + " tensors", std::to_string(then.head.c), label)};
  }
  if (now.is(Tag::kNumber)) {
    return {"argument", name + " is another kind of number than in graph " + label};
  }
  if (now.head.a != then.head.a) {
    const auto dtype = [](const Field& f) { return std::string(c10::toString(static_cast<c10::ScalarType>(f.head.a))); };
    return {"dtype", name + " is " + now_and_then(dtype(now), dtype(then), label)};
  }
  if (now.is(Tag::kTensor) && now.dims(0) != then.dims(0)) {
    return {"shape", name + " has shape " + now_and_then(text(now.dims(0)), text(then.dims(0)), label)};
  }
  if (now.is(Tag::kTensor) && now.dims(now.head.c) != then.dims(then.head.c)) {
    return {"stride", name + " has strides " + now_and_then(text(now.dims(now.head.c)), text(then.dims(then.head.c)), label)};
  }
  return {"argument", name + " is another kind of tensor (conjugated, negated or a plain number) than in graph " + label};
}

// Two nodes of one op whose words differ.
Reason compare_nodes(const ir::Node& node, const uint64_t* now, const uint64_t* then, size_t n_now, size_t n_then,
                     const std::string& label) {
  const auto& schema = node.op->handle.schema();
  size_t i = 1, k = 1;  // behind the op
  for (size_t a = 0; a < node.args.size() && i < n_now && k < n_then; ++a) {
    const std::string name = "argument '" + (a < schema.arguments().size() ? schema.arguments()[a].name() : "?") + "'";
    uint64_t items = 1;
    for (uint64_t item = 0; item < items; ++item) {
      const Field x(now + i), y(then + k);
      if (x.size() != y.size() || !std::equal(x.begin, x.begin + x.size(), y.begin)) {
        return compare(x, y, name, label);
      }
      if (x.is(Tag::kList)) {
        items += x.head.c;
      }
      i += x.size();
      k += y.size();
    }
  }
  return {"memory", "its operands are other tensors, or other parts of them, than in graph " + label};
}

size_t node_count(const std::vector<uint32_t>& nodes) {
  return nodes.size() - 1;
}

// How many leading nodes have the same op.
size_t common_ops(const Identity& now, const Known& then) {
  const size_t n = std::min(node_count(now.nodes), node_count(then.nodes));
  size_t i = 0;
  while (i < n && now.words[now.nodes[i]] == then.words[then.nodes[i]]) {
    ++i;
  }
  return i;
}

Reason reason_against(const Identity& now, const Known& then) {
  const size_t common = common_ops(now, then);
  if (common < node_count(now.nodes) || common < node_count(then.nodes)) {
    std::string detail = "after " + std::to_string(common) + " nodes as in graph " + then.label;
    detail += common < node_count(now.nodes) ? " comes " + now.graph.nodes[common].op->name + recorded_at(now.places[common]) : " it ends";
    return {"new op sequence", detail};
  }
  for (size_t i = 0; i < common; ++i) {
    const uint64_t *x = now.words.data() + now.nodes[i], *y = then.words.data() + then.nodes[i];
    const size_t n = now.nodes[i + 1] - now.nodes[i], m = then.nodes[i + 1] - then.nodes[i];
    if (n != m || !std::equal(x, x + n, y)) {
      const ir::Node& node = now.graph.nodes[i];
      Reason reason = compare_nodes(node, x, y, n, m, then.label);
      reason.detail = "[" + node.op->name + "] " + reason.detail + recorded_at(now.places[i]);
      return reason;
    }
  }
  if (now.words != then.words) {
    return {"memory", "existing tensors have other sizes, or share memory in another way, than in graph " + then.label};
  }
  return now.observable == then.observable
             ? Reason{"evicted", "it was compiled before and had to make room in the recipe cache (TORCH_HPU_RECIPE_CACHE)"}
             : Reason{"liveness", "other results are still wanted at its end than when it was compiled before"};
}

// The graph that shares the most: all ops if possible, then most words.
const Known* nearest(const Identity& now, const std::deque<Known>& graphs) {
  const Known* best = nullptr;
  std::pair<size_t, size_t> most;
  for (const Known& known : graphs) {
    const size_t n = std::min(now.words.size(), known.words.size());
    const auto same = static_cast<size_t>(
        std::mismatch(now.words.begin(), now.words.begin() + static_cast<std::ptrdiff_t>(n), known.words.begin()).first -
        now.words.begin());
    const std::pair<size_t, size_t> score{common_ops(now, known), same};
    if (best == nullptr || score > most) {
      best = &known;
      most = score;
    }
  }
  return best;
}

}  // namespace

void explain_compilation(const Identity& identity, const std::string& label) {
  History& h = history();
  std::lock_guard<std::mutex> lock(h.mutex);
  const Known* known = nearest(identity, h.graphs);
  const Reason reason = known == nullptr ? Reason{"first", "no graph was compiled before"} : reason_against(identity, *known);
  count_detail(Counter::kCompilations, reason.cause);
  h.reasons.push_back("graph " + label + " (" + std::to_string(node_count(identity.nodes)) + " nodes): " + reason.cause + ": " +
                      reason.detail);
  TORCH_HPU_LOG(1, h.reasons.back());
  h.graphs.push_front({label, identity.words, identity.nodes, identity.observable});
  h.words += identity.words.size();
  while (h.graphs.size() > kRemembered || (h.words > kRememberedWords && h.graphs.size() > 1)) {
    h.words -= h.graphs.back().words.size();
    h.graphs.pop_back();
  }
  if (h.reasons.size() > kRemembered) {
    h.reasons.pop_front();
  }
}

std::vector<std::string> compilation_reasons() {
  History& h = history();
  std::lock_guard<std::mutex> lock(h.mutex);
  return {h.reasons.begin(), h.reasons.end()};
}

}  // namespace torch_hpu::lazy
