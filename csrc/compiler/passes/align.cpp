// Spaces are compared by addresses: the strides of the producer's store and of the consumer's load are read as digits of one number.
#include "csrc/compiler/passes/align.h"

#include <algorithm>

#include "csrc/codegen/op_traits.h"
#include "csrc/compiler/access.h"
#include "csrc/compiler/digits.h"

namespace torch_hpu::compiler {

using codegen::Access;
using codegen::DimVector;
using codegen::Expr;
using codegen::Loop;

namespace {

// The common iteration space of a producer and a consumer, and how the dims of both are put together from its dims.
class Alignment {
 public:
  Alignment(const Loop& producer, const Loop& consumer)
      : producer_(producer), consumer_(consumer), of_producer_(producer.sizes.size()), of_consumer_(consumer.sizes.size()) {}

  bool cut(const Access& store, const Access& load);
  std::optional<Pair> join();

 private:
  using Digits = std::vector<std::vector<size_t>>;  // by dim: dims of the common space, outer first

  bool consumer_reduces() const {
    return consumer_.kept < consumer_.sizes.size();
  }
  std::optional<Pair> join_pointwise() const;
  std::optional<Pair> join_points() const;
  std::optional<Pair> join_row_results();
  std::optional<Pair> join_rows();
  std::optional<Pair> reorder(const std::vector<size_t>& order, uint32_t rows) const;
  Pair respaced(const DimVector& sizes, uint32_t kept, const Digits& of_producer, const Digits& of_consumer, bool same_points) const;

  const Loop& producer_;
  const Loop& consumer_;
  DimVector sizes_;                // of the common space, in the consumer's order
  uint32_t kept_ = 0;              // how many of them are kept dims of the consumer
  std::vector<size_t> free_dims_;  // common dims that the producer's store does not move along
  std::vector<size_t> rest_;       // the producer's dims that its store does not move along
  Digits of_producer_, of_consumer_;
};

// Cuts the dims of both at each other's borders; the pieces become dims of the common space in the consumer's order.
bool Alignment::cut(const Access& store, const Access& load) {
  const std::vector<Digit> p = digits_of(producer_.sizes, store.strides), c = digits_of(consumer_.sizes, load.strides);
  const auto r = refine(p, c);
  if (!r) {
    return false;
  }
  std::vector<size_t> place(r->sizes.size());  // piece -> common dim
  for (size_t d = 0; d < consumer_.sizes.size(); ++d) {
    if (d == consumer_.kept) {
      kept_ = static_cast<uint32_t>(sizes_.size());
    }
    const auto digit = std::find_if(c.begin(), c.end(), [&](const Digit& x) { return x.dim == d; });
    if (digit == c.end()) {
      if (consumer_.sizes[d] != 1) {
        free_dims_.push_back(sizes_.size());
        of_consumer_[d] = {sizes_.size()};
        sizes_.push_back(consumer_.sizes[d]);
      }
      continue;
    }
    const auto& pieces = r->b[static_cast<size_t>(digit - c.begin())];
    for (auto it = pieces.rbegin(); it != pieces.rend(); ++it) {
      place[*it] = sizes_.size();
      of_consumer_[d].push_back(sizes_.size());
      sizes_.push_back(r->sizes[*it]);
    }
  }
  if (!consumer_reduces()) {
    kept_ = static_cast<uint32_t>(sizes_.size());
  }
  for (size_t k = 0; k < p.size(); ++k) {
    for (auto it = r->a[k].rbegin(); it != r->a[k].rend(); ++it) {
      of_producer_[p[k].dim].push_back(place[*it]);
    }
  }
  for (size_t d = 0; d < producer_.sizes.size(); ++d) {
    if (producer_.sizes[d] != 1 && of_producer_[d].empty()) {
      rest_.push_back(d);
    }
  }
  return true;
}

std::optional<Pair> Alignment::join() {
  if (producer_.kept == producer_.sizes.size()) {
    return join_pointwise();
  }
  // What the store of a loop with reductions does not move along must be its reduced dims.
  if (std::any_of(rest_.begin(), rest_.end(), [&](size_t d) { return d < producer_.kept; })) {
    return std::nullopt;
  }
  const bool stores_points =
      std::any_of(of_producer_.begin() + producer_.kept, of_producer_.end(), [](const auto& digits) { return !digits.empty(); });
  return stores_points ? join_points() : free_dims_.empty() ? join_row_results() : join_rows();
}

std::optional<Pair> Alignment::join_pointwise() const {
  if (!rest_.empty()) {
    return std::nullopt;
  }
  return respaced(sizes_, kept_, of_producer_, of_consumer_, /*same_points=*/free_dims_.empty());
}

// The producer's points are the consumer's points: its rows become the consumer's rows.
std::optional<Pair> Alignment::join_points() const {
  if (!rest_.empty() || !free_dims_.empty()) {
    return std::nullopt;
  }
  std::vector<size_t> order;
  for (size_t d = 0; d < producer_.kept; ++d) {
    order.insert(order.end(), of_producer_[d].begin(), of_producer_[d].end());
  }
  std::sort(order.begin(), order.end());
  const auto rows = static_cast<uint32_t>(order.size());
  for (size_t d = 0; d < sizes_.size(); ++d) {
    if (std::find(order.begin(), order.begin() + rows, d) == order.begin() + rows) {
      order.push_back(d);
    }
  }
  // What counts along the reduced dims must go on counting in their order.
  std::vector<size_t> counted;
  for (size_t d = producer_.kept; d < producer_.sizes.size(); ++d) {
    counted.insert(counted.end(), of_producer_[d].begin(), of_producer_[d].end());
  }
  if (!std::is_sorted(counted.begin(), counted.end()) &&
      std::any_of(producer_.exprs.begin(), producer_.exprs.end(), [](const Expr& e) { return codegen::is_arg_reduce(e.op); })) {
    return std::nullopt;
  }
  return reorder(order, rows);
}

// The consumer works on row results alone: its points are the producer's rows.
std::optional<Pair> Alignment::join_row_results() {
  if (consumer_reduces() || std::any_of(consumer_.exprs.begin(), consumer_.exprs.end(), [](const Expr& e) { return is_reduce(e.op); })) {
    return std::nullopt;
  }
  DimVector all = sizes_;
  for (size_t d : rest_) {
    of_producer_[d] = {all.size()};
    all.push_back(producer_.sizes[d]);
  }
  return respaced(all, static_cast<uint32_t>(sizes_.size()), of_producer_, of_consumer_, /*same_points=*/true);
}

// The consumer's free dims are the producer's reduced dims, in order.
std::optional<Pair> Alignment::join_rows() {
  if (free_dims_.size() != rest_.size()) {
    return std::nullopt;
  }
  for (size_t i = 0; i < rest_.size(); ++i) {
    if (sizes_[free_dims_[i]] != producer_.sizes[rest_[i]]) {
      return std::nullopt;
    }
    of_producer_[rest_[i]] = {free_dims_[i]};
  }
  std::vector<size_t> order;
  for (size_t d = 0; d < sizes_.size(); ++d) {
    if (std::find(free_dims_.begin(), free_dims_.end(), d) == free_dims_.end()) {
      order.push_back(d);
    }
  }
  const auto rows = static_cast<uint32_t>(order.size());
  order.insert(order.end(), free_dims_.begin(), free_dims_.end());
  return reorder(order, rows);
}

// Both loops over the common dims in `order`, of which the first `rows` are kept. A consumer that reduces must have these rows already.
std::optional<Pair> Alignment::reorder(const std::vector<size_t>& order, uint32_t rows) const {
  if (consumer_reduces() && (kept_ != rows || !std::is_sorted(order.begin(), order.end()))) {
    return std::nullopt;
  }
  std::vector<size_t> moved(sizes_.size());
  DimVector ordered;
  for (size_t i = 0; i < order.size(); ++i) {
    moved[order[i]] = i;
    ordered.push_back(sizes_[order[i]]);
  }
  const auto renumbered = [&](Digits digits) {
    for (auto& list : digits) {
      for (size_t& d : list) {
        d = moved[d];
      }
    }
    return digits;
  };
  Pair pair = respaced(ordered, rows, renumbered(of_producer_), renumbered(of_consumer_), /*same_points=*/true);
  if (!consumer_reduces()) {
    // What was a point of the consumer must stay one: a value that does not depend on the reduced dims would be stored once per row.
    // What reads the producer's point values is a point, too, once they are joined: merge() checks the levels again.
    const std::vector<bool> point = point_level(pair.consumer);
    for (const codegen::Store& s : pair.consumer.stores) {
      const auto& strides = pair.consumer.accesses[s.access].strides;
      const bool moves = std::any_of(strides.begin() + rows, strides.end(), [](int64_t x) { return x != 0; });
      if (moves && !point[static_cast<size_t>(s.value)]) {
        return std::nullopt;
      }
    }
  }
  return pair;
}

Pair Alignment::respaced(const DimVector& sizes, uint32_t kept, const Digits& of_producer, const Digits& of_consumer,
                         bool same_points) const {
  Pair pair{producer_, consumer_, same_points};
  respace(pair.producer, sizes, kept, of_producer);
  respace(pair.consumer, sizes, kept, of_consumer);
  return pair;
}

}  // namespace

std::optional<Pair> align(const ir::Graph& graph, const Loop& producer, const Access& store, const Loop& consumer, const Access& load) {
  if (!same_origin(graph, store, load)) {
    return std::nullopt;
  }
  Alignment alignment(producer, consumer);
  return alignment.cut(store, load) ? alignment.join() : std::nullopt;
}

}  // namespace torch_hpu::compiler
