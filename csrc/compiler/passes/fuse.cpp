#include "csrc/compiler/passes/fuse.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "csrc/compiler/access.h"
#include "csrc/compiler/uses.h"

namespace torch_hpu::compiler {
namespace {

using codegen::Access;
using codegen::DimVector;
using codegen::Expr;
using codegen::ExprId;
using codegen::Loop;
using codegen::Op;
using codegen::Store;

constexpr size_t kMaxAccesses = 48, kMaxExprs = 320;
constexpr size_t kSiblingWindow = 6;  // how many loops back a sibling is looked for

bool is_load(const Expr& e) {
  return e.op == Op::kLoad || e.op == Op::kLoadAt;
}
bool is_reduction(const Expr& e) {
  return e.op >= Op::kReduceSum;
}
bool finds_index(const Expr& e) {
  return e.op == Op::kReduceArgMin || e.op == Op::kReduceArgMax;
}
bool has_reduction(const Loop& loop) {
  return std::any_of(loop.exprs.begin(), loop.exprs.end(), is_reduction);
}
bool expensive(const Expr& e) {
  return (e.op >= Op::kExp && e.op <= Op::kSigmoid && e.op != Op::kSqrt && e.op != Op::kRsqrt && e.op != Op::kReciprocal) ||
         e.op == Op::kPow || e.op == Op::kUniform || e.op == Op::kRandomBits || e.op == Op::kAtan2;
}

// A dim as a digit of an address: elements [0, size) times stride.
struct Digit {
  int64_t stride, size;
  size_t dim;
};

std::vector<Digit> digits_of(const DimVector& sizes, const DimVector& strides) {
  std::vector<Digit> digits;
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (sizes[d] > 1 && strides[d] != 0) {
      digits.push_back({strides[d], sizes[d], d});
    }
  }
  std::sort(digits.begin(), digits.end(), [](const Digit& a, const Digit& b) { return a.stride < b.stride; });
  return digits;
}

// Two lists of digits that enumerate the same addresses, cut at each other's borders: for each side, the pieces of every digit, as
// indices into the common list of sizes, inner first. Nothing when they don't.
struct Refinement {
  std::vector<int64_t> sizes;             // of the pieces, by rising stride
  std::vector<std::vector<size_t>> a, b;  // by digit
};

std::optional<Refinement> refine(const std::vector<Digit>& a, const std::vector<Digit>& b) {
  Refinement r;
  r.a.resize(a.size());
  r.b.resize(b.size());
  size_t i = 0, j = 0;
  int64_t done_a = 1, done_b = 1;  // parts of the current digits already cut off
  while (i < a.size() && j < b.size()) {
    if (a[i].stride * done_a != b[j].stride * done_b) {
      return std::nullopt;
    }
    const int64_t rest_a = a[i].size / done_a, rest_b = b[j].size / done_b;
    const int64_t piece = std::min(rest_a, rest_b);
    if (rest_a % piece != 0 || rest_b % piece != 0) {
      return std::nullopt;
    }
    r.a[i].push_back(r.sizes.size());
    r.b[j].push_back(r.sizes.size());
    r.sizes.push_back(piece);
    done_a *= piece;
    done_b *= piece;
    if (done_a == a[i].size) {
      ++i;
      done_a = 1;
    }
    if (done_b == b[j].size) {
      ++j;
      done_b = 1;
    }
  }
  if (i < a.size() || j < b.size()) {
    return std::nullopt;
  }
  return r;
}

// Both loops rewritten to one iteration space.
struct Pair {
  Loop producer, consumer;
  bool same_points;  // false: the consumer has points that repeat the producer's
};

// Both loops over the dims in `order`, of which the first `rows` are kept. A consumer that reduces must have these rows already.
std::optional<Pair> reorder(Pair pair, const DimVector& sizes, const std::vector<size_t>& order, uint32_t rows, bool consumer_reduces,
                            uint32_t kept, std::vector<std::vector<size_t>> consumer_digits,
                            std::vector<std::vector<size_t>> producer_digits) {
  if (consumer_reduces && (kept != rows || !std::is_sorted(order.begin(), order.end()))) {
    return std::nullopt;
  }
  std::vector<size_t> moved(sizes.size());
  DimVector ordered;
  for (size_t i = 0; i < order.size(); ++i) {
    moved[order[i]] = i;
    ordered.push_back(sizes[order[i]]);
  }
  for (auto* all : {&consumer_digits, &producer_digits}) {
    for (auto& list : *all) {
      for (size_t& d : list) {
        d = moved[d];
      }
    }
  }
  respace(pair.consumer, ordered, rows, consumer_digits);
  respace(pair.producer, ordered, rows, producer_digits);
  if (!consumer_reduces) {
    // What was a point of the consumer must stay one: a value that does not depend on the reduced dims would be stored once per row.
    // What reads the producer's point values is a point, too, once they are joined: merge() checks the levels again.
    for (const Store& s : pair.consumer.stores) {
      const auto& strides = pair.consumer.accesses[s.access].strides;
      const bool moves = std::any_of(strides.begin() + rows, strides.end(), [](int64_t x) { return x != 0; });
      if (moves && !point_level(pair.consumer)[static_cast<size_t>(s.value)]) {
        return std::nullopt;
      }
    }
  }
  return pair;
}

// Aligns by a buffer that the producer stores (at `store`) and the consumer loads (through `load`).
std::optional<Pair> align(const Loop& producer, const Access& store, const Loop& consumer, const Access& load) {
  if (store.dtype != load.dtype || store.offset != load.offset || store.dynamic != load.dynamic) {
    return std::nullopt;
  }
  const std::vector<Digit> p = digits_of(producer.sizes, store.strides), c = digits_of(consumer.sizes, load.strides);
  const auto r = refine(p, c);
  if (!r) {
    return std::nullopt;
  }
  // The consumer's dims, cut; the pieces become dims of the common space in the consumer's order.
  std::vector<std::vector<size_t>> consumer_digits(consumer.sizes.size()), producer_digits(producer.sizes.size());
  std::vector<size_t> place(r->sizes.size());  // piece -> common dim
  DimVector sizes;
  std::vector<size_t> free_dims;  // common dims that the producer's store does not move along
  uint32_t kept = 0;
  for (size_t d = 0; d < consumer.sizes.size(); ++d) {
    if (d == consumer.kept) {
      kept = static_cast<uint32_t>(sizes.size());
    }
    const auto digit = std::find_if(c.begin(), c.end(), [&](const Digit& x) { return x.dim == d; });
    if (digit == c.end()) {
      if (consumer.sizes[d] != 1) {
        free_dims.push_back(sizes.size());
        consumer_digits[d] = {sizes.size()};
        sizes.push_back(consumer.sizes[d]);
      }
      continue;
    }
    const auto& pieces = r->b[static_cast<size_t>(digit - c.begin())];
    for (auto it = pieces.rbegin(); it != pieces.rend(); ++it) {
      place[*it] = sizes.size();
      consumer_digits[d].push_back(sizes.size());
      sizes.push_back(r->sizes[*it]);
    }
  }
  if (consumer.kept >= consumer.sizes.size()) {
    kept = static_cast<uint32_t>(sizes.size());
  }
  for (size_t k = 0; k < p.size(); ++k) {
    for (auto it = r->a[k].rbegin(); it != r->a[k].rend(); ++it) {
      producer_digits[p[k].dim].push_back(place[*it]);
    }
  }
  // The producer's dims that its store does not move along are its reduced dims: they must be the consumer's free dims.
  std::vector<size_t> rest;
  for (size_t d = 0; d < producer.sizes.size(); ++d) {
    if (producer.sizes[d] != 1 && producer_digits[d].empty()) {
      rest.push_back(d);
    }
  }
  Pair pair{producer, consumer, true};
  if (producer.kept == producer.sizes.size()) {  // pointwise
    if (!rest.empty()) {
      return std::nullopt;
    }
    pair.same_points = free_dims.empty();
    respace(pair.consumer, sizes, kept, consumer_digits);
    respace(pair.producer, sizes, kept, producer_digits);
    return pair;
  }
  for (size_t d : rest) {
    if (d < producer.kept) {
      return std::nullopt;
    }
  }
  const bool consumer_reduces = consumer.kept < consumer.sizes.size();
  bool point_store = false;
  for (size_t d = producer.kept; d < producer.sizes.size(); ++d) {
    point_store = point_store || !producer_digits[d].empty();
  }
  if (point_store) {
    // The producer's points are the consumer's points: its rows become the consumer's rows.
    if (!rest.empty() || !free_dims.empty()) {
      return std::nullopt;
    }
    std::vector<size_t> order;
    for (size_t d = 0; d < producer.kept; ++d) {
      order.insert(order.end(), producer_digits[d].begin(), producer_digits[d].end());
    }
    std::sort(order.begin(), order.end());
    const auto rows = static_cast<uint32_t>(order.size());
    for (size_t d = 0; d < sizes.size(); ++d) {
      if (std::find(order.begin(), order.begin() + rows, d) == order.begin() + rows) {
        order.push_back(d);
      }
    }
    // What counts along the reduced dims must go on counting in their order.
    std::vector<size_t> counted;
    for (size_t d = producer.kept; d < producer.sizes.size(); ++d) {
      counted.insert(counted.end(), producer_digits[d].begin(), producer_digits[d].end());
    }
    if (!std::is_sorted(counted.begin(), counted.end()) && std::any_of(producer.exprs.begin(), producer.exprs.end(), finds_index)) {
      return std::nullopt;
    }
    return reorder(std::move(pair), sizes, order, rows, consumer_reduces, kept, consumer_digits, producer_digits);
  }
  if (free_dims.empty()) {
    // The consumer works on row results alone: its points are the producer's rows.
    if (consumer_reduces || has_reduction(consumer)) {
      return std::nullopt;
    }
    DimVector all = sizes;
    for (size_t d : rest) {
      producer_digits[d] = {all.size()};
      all.push_back(producer.sizes[d]);
    }
    const auto rows = static_cast<uint32_t>(sizes.size());
    respace(pair.consumer, all, rows, consumer_digits);
    respace(pair.producer, all, rows, producer_digits);
    return pair;
  }
  // The consumer's free dims are the producer's reduced dims, in order.
  if (free_dims.size() != rest.size()) {
    return std::nullopt;
  }
  for (size_t i = 0; i < rest.size(); ++i) {
    if (sizes[free_dims[i]] != producer.sizes[rest[i]]) {
      return std::nullopt;
    }
    producer_digits[rest[i]] = {free_dims[i]};
  }
  // Kept dims first.
  std::vector<size_t> order;
  for (size_t d = 0; d < sizes.size(); ++d) {
    if (std::find(free_dims.begin(), free_dims.end(), d) == free_dims.end()) {
      order.push_back(d);
    }
  }
  const auto rows = static_cast<uint32_t>(order.size());
  order.insert(order.end(), free_dims.begin(), free_dims.end());
  return reorder(std::move(pair), sizes, order, rows, consumer_reduces, kept, consumer_digits, producer_digits);
}

// Loops over the same points, one after the other, as one. The consumer's loads of what the producer stores become the stored values.
std::optional<Loop> merge(const ir::Graph& graph, const Loop& first, const Loop& second) {
  if (first.sizes != second.sizes || first.kept != second.kept || first.accesses.size() + second.accesses.size() > kMaxAccesses ||
      first.exprs.size() + second.exprs.size() > kMaxExprs ||
      (first.rng != ir::kNone && second.rng != ir::kNone && first.rng != second.rng)) {
    return std::nullopt;
  }
  Loop out = first;
  const size_t base_access = first.accesses.size();
  const auto base_scalar = static_cast<int64_t>(first.scalars.size());
  out.accesses.insert(out.accesses.end(), second.accesses.begin(), second.accesses.end());
  // One access for one map: what one loop loads or stores through one window the other may reach through another.
  std::vector<int64_t> access(out.accesses.size());
  for (size_t i = 0; i < access.size(); ++i) {
    access[i] = static_cast<int64_t>(i);
    for (size_t k = 0; k < i; ++k) {
      if (access[k] == static_cast<int64_t>(k) && same_map(graph, out.accesses[i], out.accesses[k])) {
        access[i] = static_cast<int64_t>(k);
        break;
      }
    }
  }
  for (Expr& e : out.exprs) {
    if (is_load(e)) {
      e.imm_i = access[static_cast<size_t>(e.imm_i)];
    }
  }
  for (Store& s : out.stores) {
    s.access = static_cast<uint32_t>(access[s.access]);
  }
  out.scalars.insert(out.scalars.end(), second.scalars.begin(), second.scalars.end());
  out.scalar_ids.insert(out.scalar_ids.end(), second.scalar_ids.begin(), second.scalar_ids.end());
  std::vector<int64_t> scalar(second.scalars.size());
  for (size_t i = 0; i < scalar.size(); ++i) {
    scalar[i] = base_scalar + static_cast<int64_t>(i);
    for (size_t k = 0; k < first.scalar_ids.size(); ++k) {
      if (first.scalar_ids[k] == second.scalar_ids[i]) {
        scalar[i] = static_cast<int64_t>(k);
      }
    }
  }
  if (out.rng == ir::kNone) {
    out.rng = second.rng;
  }
  // What the first loop has stored, by access.
  std::map<int64_t, ExprId> stored;
  for (const Store& s : out.stores) {
    if (s.at != codegen::kNoExpr) {
      return std::nullopt;
    }
    stored[s.access] = s.value;
  }
  std::vector<ExprId> renamed(second.exprs.size());
  for (size_t i = 0; i < second.exprs.size(); ++i) {
    Expr e = second.exprs[i];
    for (ExprId* operand : {&e.a, &e.b, &e.c}) {
      if (*operand != codegen::kNoExpr) {
        *operand = renamed[static_cast<size_t>(*operand)];
      }
    }
    if (is_load(e)) {
      e.imm_i = access[base_access + static_cast<size_t>(e.imm_i)];
      if (e.op == Op::kLoad) {
        if (auto it = stored.find(e.imm_i); it != stored.end()) {
          const Access& a = out.accesses[static_cast<size_t>(e.imm_i)];
          ExprId value = it->second;
          // The value as memory would have held it: half precisions stay in float inside a kernel, see Note [Numerics].
          const c10::ScalarType value_dtype = out.exprs[static_cast<size_t>(value)].dtype;
          TORCH_INTERNAL_ASSERT(value_dtype == e.dtype, "a store of ", value_dtype, " is loaded as ", e.dtype, " from ", a.dtype);
          renamed[i] = value;
          continue;
        }
      }
    } else if (e.op == Op::kScalar) {
      e.imm_i = scalar[static_cast<size_t>(e.imm_i)];
    }
    out.exprs.push_back(e);
    renamed[i] = static_cast<ExprId>(out.exprs.size() - 1);
  }
  for (const Store& s : second.stores) {
    Store t = s;
    t.access = static_cast<uint32_t>(access[base_access + s.access]);
    t.value = renamed[static_cast<size_t>(s.value)];
    if (t.at != codegen::kNoExpr) {
      t.at = renamed[static_cast<size_t>(t.at)];
    }
    // A later store to the same place replaces an earlier one.
    std::erase_if(out.stores, [&](const Store& x) { return x.access == t.access && x.at == codegen::kNoExpr && t.at == codegen::kNoExpr; });
    out.stores.push_back(t);
  }
  // Stores may meet loads and other stores of the loop only at the same point.
  for (const Store& s : out.stores) {
    const Access& target = out.accesses[s.access];
    for (const Expr& e : out.exprs) {
      if (!is_load(e) || out.accesses[static_cast<size_t>(e.imm_i)].buffer != target.buffer) {
        continue;
      }
      const Access& source = out.accesses[static_cast<size_t>(e.imm_i)];
      if (e.op == Op::kLoadAt || s.at != codegen::kNoExpr ||
          (!same_map(graph, source, target) && may_overlap(graph, source, out.sizes, target, out.sizes))) {
        return std::nullopt;
      }
    }
    for (const Store& other : out.stores) {
      const bool displaced =
          &other != &s && out.accesses[other.access].buffer == target.buffer && (other.at != codegen::kNoExpr || s.at != codegen::kNoExpr);
      if (displaced || (other.access != s.access && may_overlap(graph, out.accesses[other.access], out.sizes, target, out.sizes))) {
        return std::nullopt;
      }
    }
  }
  // A row store in one loop and a point value in the other must keep their levels: a store that moves along reduced dims needs a point value.
  const auto point = point_level(out);
  for (const Store& s : out.stores) {
    const auto& strides = out.accesses[s.access].strides;
    const bool moves = std::any_of(strides.begin() + out.kept, strides.end(), [](int64_t x) { return x != 0; });
    if (moves != point[static_cast<size_t>(s.value)]) {
      return std::nullopt;
    }
  }
  out.name = first.name == second.name ? first.name : first.name.size() > 60 ? first.name : first.name + "_" + second.name;
  compact(out);
  return out;
}

class Fuser {
 public:
  explicit Fuser(Program& program) : program_(program), graph_(*program.graph), uses_(program) {}

  void run() {
    items_ = std::move(program_.items);
    program_.items.clear();
    alive_.assign(items_.size(), true);
    for (size_t i = 0; i < items_.size(); ++i) {
      uses_.add(items_[i], i);
    }
    for (size_t i = 0; i < items_.size(); ++i) {
      if (items_[i].kind == Item::Kind::kLoop) {
        grow(i);
      }
    }
    for (size_t i = 0; i < items_.size(); ++i) {
      if (alive_[i]) {
        program_.items.push_back(std::move(items_[i]));
      }
    }
  }

 private:
  // Fuses the loop at `position` with producers and siblings as long as that goes.
  void grow(size_t position) {
    bool changed = true;
    while (changed) {
      changed = false;
      std::set<size_t, std::greater<>> producers;
      for (const Access& a : items_[position].loop.accesses) {
        const size_t p = uses_.last_write_before(a.buffer, position);
        if (p != Uses::kNever && items_[p].kind == Item::Kind::kLoop) {
          producers.insert(p);
        }
      }
      for (size_t p : producers) {
        if (fuse_producer(p, position)) {
          position = where_;
          changed = true;
          break;
        }
      }
      if (!changed) {
        changed = fuse_sibling(position);
        position = where_;
      }
    }
  }

  bool fuse_producer(size_t p, size_t q) {
    const Loop &producer = items_[p].loop, &consumer = items_[q].loop;
    for (const Store& s : producer.stores) {
      const Access& store = producer.accesses[s.access];
      for (const Expr& e : consumer.exprs) {
        if (e.op != Op::kLoad || consumer.accesses[static_cast<size_t>(e.imm_i)].buffer != store.buffer) {
          continue;
        }
        auto pair = align(producer, store, consumer, consumer.accesses[static_cast<size_t>(e.imm_i)]);
        if (!pair) {
          continue;
        }
        if (pair->same_points) {
          if (auto merged = merge(graph_, pair->producer, pair->consumer)) {
            return replace(p, q, std::move(*merged));
          }
        } else if (can_repeat(p, q, pair->producer)) {
          Loop inlined = pair->producer;
          if (auto merged = merge(graph_, inlined, pair->consumer)) {
            // The producer's own stores would be repeated: they must go, and can, because nobody else needs them.
            std::erase_if(merged->stores, [&](const Store& x) {
              const uint32_t buffer = merged->accesses[x.access].buffer;
              return std::any_of(producer.stores.begin(), producer.stores.end(),
                                 [&](const Store& y) { return producer.accesses[y.access].buffer == buffer; });
            });
            compact(*merged);
            return replace(p, q, std::move(*merged));
          }
        }
      }
    }
    return false;
  }

  // Whether the producer may be computed again at points that repeat: cheap, and only q reads what it stores.
  bool can_repeat(size_t p, size_t q, const Loop& producer) const {
    size_t cost = 0;
    for (const Expr& e : producer.exprs) {
      if (is_reduction(e) || expensive(e)) {
        return false;
      }
      cost += is_load(e) ? 2 : 1;
    }
    if (cost > 24) {
      return false;
    }
    for (const Store& s : producer.stores) {
      const uint32_t b = producer.accesses[s.access].buffer;
      if (program_.buffers[b].observable || program_.buffers[b].kind == ir::BufferKind::kInput || uses_.count(b) != 2) {
        return false;
      }
      for (const Store& t : items_[q].loop.stores) {
        if (items_[q].loop.accesses[t.access].buffer == b) {
          return false;
        }
      }
    }
    return uses_.future(p, producer) <= q;
  }

  bool fuse_sibling(size_t q) {
    where_ = q;
    const Loop& loop = items_[q].loop;
    size_t seen = 0;
    for (size_t p = q; p-- > 0 && seen < kSiblingWindow;) {
      if (!alive_[p] || items_[p].kind != Item::Kind::kLoop) {
        continue;
      }
      ++seen;
      const Loop& other = items_[p].loop;
      if (other.sizes != loop.sizes || other.kept != loop.kept || !share_input(other, loop)) {
        continue;
      }
      if (auto merged = merge(graph_, other, loop)) {
        if (replace(p, q, std::move(*merged))) {
          return true;
        }
      }
    }
    return false;
  }

  static bool loads_buffer(const Loop& loop, uint32_t buffer) {
    return std::any_of(loop.exprs.begin(), loop.exprs.end(),
                       [&](const Expr& e) { return is_load(e) && loop.accesses[static_cast<size_t>(e.imm_i)].buffer == buffer; });
  }

  static bool share_input(const Loop& a, const Loop& b) {
    for (const Access& x : a.accesses) {
      for (const Access& y : b.accesses) {
        if (x.buffer == y.buffer && x.strides == y.strides) {
          return true;
        }
      }
    }
    return false;
  }

  // Puts `merged` in the place of p and q, if one of them can move to the other.
  bool replace(size_t p, size_t q, Loop merged) {
    size_t at;
    if (uses_.can_move_down(items_[p], p, q)) {
      at = q;
    } else if (uses_.can_move_up(items_[q], q, p)) {
      at = p;
    } else {
      return false;
    }
    const size_t gone = at == p ? q : p;
    uses_.remove(items_[p], p);
    uses_.remove(items_[q], q);
    // What only passed between the two needs no memory any more.
    std::erase_if(merged.stores, [&](const Store& x) {
      const uint32_t b = merged.accesses[x.access].buffer;
      return program_.buffers[b].kind == ir::BufferKind::kLocal && !program_.buffers[b].observable && uses_.count(b) == 0 &&
             !loads_buffer(merged, b);
    });
    compact(merged);
    alive_[gone] = false;
    items_[at].loop = std::move(merged);
    uses_.add(items_[at], at);
    where_ = at;
    return true;
  }

  Program& program_;
  const ir::Graph& graph_;
  Uses uses_;
  std::vector<Item> items_;
  std::vector<bool> alive_;
  size_t where_ = 0;  // of the loop that the last fusion made
};

}  // namespace

void fuse(Program& program) {
  Fuser(program).run();
}

}  // namespace torch_hpu::compiler
